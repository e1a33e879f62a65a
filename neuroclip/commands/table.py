"""The subcommands `neuroclip table` and `neuroclip sweep`: every method, several seeds, one knob."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from deploy.errors import BadInput
from deploy.files import staged, write_json, write_text
from neuroclip.adapter.methods import CHIP, Task
from neuroclip.adapter.model import AdapterConfig
from neuroclip.adapter.tables import (
    Cell,
    accuracy_table,
    accuracy_text,
    computed,
    task_of,
    unseen_table,
    unseen_text,
)
from neuroclip.adapter.train import Recipe
from neuroclip.clip.model import Clip, ClipSpec, load_clip
from neuroclip.commands.learning import framing, opened
from neuroclip.results.plots import plot_accuracy, plot_operations


def table(
    *,
    data: str,
    data_root: str | None,
    skip_bad: bool,
    clip: str,
    pretrained: str | None,
    frame_options: Mapping[str, Any],
    shots: tuple[int, ...],
    seeds: int,
    variants: int,
    epochs: int | None,
    quantized_epochs: int | None,
    unseen: int,
    out: Path,
    jobs: int,
    resume: bool,
) -> int:
    """Accuracy of every method at every number of shots; writes table.json, table.txt, table.svg."""
    if unseen and len(shots) != 1:
        raise BadInput(f"--unseen {unseen}: it takes one number of --shots, not {len(shots)}")
    _check(min(shots), seeds, jobs)
    with staged(out, ()):
        pass
    encoder, tasks, base = _prepared(
        data, data_root, skip_bad, ClipSpec(clip, pretrained), frame_options, max(shots), seeds, variants
    )  # fmt: skip
    classes = len(tasks[0].text)
    if not 0 <= unseen <= classes - 2:
        raise BadInput(f"--unseen {unseen}: of {classes} classes at least two are trained on")
    recipes = _recipes(encoder, seeds, epochs, quantized_epochs)
    cells = [
        Cell(k, seed, base, recipes[seed], classes - unseen if unseen else None)
        for k in shots
        for seed in range(seeds)
    ]
    results = computed(cells, tasks, out / "cells", jobs, resume)
    if unseen:
        found, text = unseen_table(cells, results), unseen_text(unseen_table(cells, results))
    else:
        found = accuracy_table(cells, results)
        text = accuracy_text(found)
    write_json(out / "table.json", {"data": data, "clip": clip} | found)
    write_text(out / "table.txt", text + "\n")
    if not unseen:
        plot_accuracy(found, out / "table.svg")
    print(text)
    print(f"written: {out}")
    return 0


def sweep(
    *,
    data: str,
    data_root: str | None,
    skip_bad: bool,
    clip: str,
    pretrained: str | None,
    frame_options: Mapping[str, Any],
    shots: int,
    seeds: int,
    variants: int,
    epochs: int | None,
    quantized_epochs: int | None,
    rates: tuple[float, ...],
    message_exponents: tuple[int, ...],
    out: Path,
    jobs: int,
    resume: bool,
) -> int:
    """Accuracy against operations over spike-rate targets and message resolutions."""
    _check(shots, seeds, jobs)
    with staged(out, ()):
        pass
    encoder, tasks, base = _prepared(
        data, data_root, skip_bad, ClipSpec(clip, pretrained), frame_options, shots, seeds, variants
    )  # fmt: skip
    recipes = _recipes(encoder, seeds, epochs, quantized_epochs)
    points = [(rate, exponent) for exponent in message_exponents for rate in (None, *rates)]
    cells = [
        Cell(
            shots,
            seed,
            replace(base, message_exponent=exponent),
            replace(recipes[seed], spike_rate=rate),
            only_chip=True,
        )
        for rate, exponent in points
        for seed in range(seeds)
    ]
    results = computed(cells, tasks, out / "cells", jobs, resume)
    found: list[dict[str, Any]] = []
    for i, (rate, exponent) in enumerate(points):
        own = results[i * seeds : (i + 1) * seeds]
        accuracy = [100 * float(np.mean(r["correct"][CHIP])) for r in own]
        found.append(
            {
                "spike_rate": rate,
                "message_exponent": exponent,
                "accuracy": float(np.mean(accuracy)),
                "deviation": float(np.std(accuracy, ddof=min(1, seeds - 1))),
                "operations": float(np.mean([r["operations"][CHIP] for r in own])),
            }
        )
    write_json(out / "sweep.json", {"data": data, "shots": shots, "seeds": seeds, "points": found})
    plot_operations(found, out / "sweep.svg")
    print(f"{'messages':>10}{'rate target':>13}{'accuracy':>16}{'operations':>13}")
    for p in found:
        target = "none" if p["spike_rate"] is None else f"{100 * p['spike_rate']:g} %"
        accuracy_shown = f"{p['accuracy']:.1f} ± {p['deviation']:.1f} %"
        steps = f"2^{-p['message_exponent']}"
        print(f"{steps:>10}{target:>13}{accuracy_shown:>16}{p['operations']:13,.0f}")
    print(f"written: {out}")
    return 0


def _check(shots: int, seeds: int, jobs: int) -> None:
    for name, value in (("shots", shots), ("seeds", seeds), ("jobs", jobs)):
        if value < 1:
            raise BadInput(f"--{name} {value}: at least one is needed")


def _prepared(
    data: str,
    data_root: str | None,
    skip_bad: bool,
    spec: ClipSpec,
    frame_options: Mapping[str, Any],
    shots: int,
    seeds: int,
    variants: int,
) -> tuple[Clip, dict[int, Task], AdapterConfig]:
    """The encoder, a task by seed with the most shots, and the folded cut's configuration."""
    encoder = load_clip(spec)
    tasks = {}
    for seed in range(seeds):
        dataset = opened(data, seed, data_root, skip_bad, ("train", "validation", "test"))
        frames = framing(dataset, frame_options)
        tasks[seed] = task_of(encoder, dataset, frames, shots, variants, seed)
    features = tasks[0].text.shape[1]
    config = AdapterConfig(
        features=features, hidden=max(1, features // 2), steps=tasks[0].train.features.shape[2]
    )
    return encoder, tasks, config


def _recipes(
    encoder: Clip, seeds: int, epochs: int | None, quantized_epochs: int | None
) -> list[Recipe]:
    given = {"epochs": epochs, "quantized_epochs": quantized_epochs}
    changed = {name: value for name, value in given.items() if value is not None}
    temperature = float(encoder.module.logit_scale.detach().exp())
    return [Recipe(seed=seed, temperature=temperature, **changed) for seed in range(seeds)]
