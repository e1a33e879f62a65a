"""What `neuroclip table` and `neuroclip sweep` do: every method, several seeds, one knob."""

from dataclasses import replace
from typing import Any

import numpy as np

from deploy.errors import BadInput
from deploy.files import write_json, write_text
from deploy.output import claim
from neuroclip.adapter.methods import CHIP, Task
from neuroclip.adapter.model import AdapterConfig
from neuroclip.adapter.tables import (
    Cell,
    accuracy_markdown,
    accuracy_table,
    accuracy_text,
    computed,
    task_of,
    unseen_table,
    unseen_text,
)
from neuroclip.adapter.train import Recipe
from neuroclip.clip.model import Clip, load_clip
from neuroclip.commands.actions.adapter import opened, unseen_part
from neuroclip.commands.actions.asked import Runs, clip_inputs
from neuroclip.results.plots import plot_accuracy, plot_operations


def table(runs: Runs, *, shots: tuple[int, ...], unseen: int) -> int:
    """Accuracy of every method at every number of shots; writes table.json, .txt, .md and .svg."""
    if unseen and len(shots) != 1:
        raise BadInput(f"--unseen {unseen}: it takes one number of --shots, not {len(shots)}")
    encoder, tasks, base = _prepared(runs, min(shots), max(shots))
    classes = len(tasks[0].text)
    if not 0 <= unseen <= classes - 2:
        raise BadInput(f"--unseen {unseen}: of {classes} classes at least two are trained on")
    recipes = _recipes(encoder, runs)
    cells = [
        Cell(k, seed, base, recipes[seed], classes - unseen if unseen else None)
        for k in shots
        for seed in range(runs.seeds)
    ]
    results = computed(cells, tasks, runs.out / "cells", runs.jobs, runs.resume)
    if unseen:
        found, text = unseen_table(cells, results), unseen_text(unseen_table(cells, results))
    else:
        found = accuracy_table(cells, results)
        text = accuracy_text(found)
    write_json(runs.out / "table.json", {"data": runs.source.data, "clip": runs.clip.model} | found)
    write_text(runs.out / "table.txt", text + "\n")
    if not unseen:
        write_text(runs.out / "table.md", accuracy_markdown(found) + "\n")
        plot_accuracy(found, runs.out / "table.svg")
    print(text)
    print(f"written: {runs.out}")
    return 0


def sweep(
    runs: Runs, *, shots: int, rates: tuple[float, ...], message_exponents: tuple[int, ...]
) -> int:
    """Accuracy against operations over spike-rate targets and message resolutions."""
    encoder, tasks, base = _prepared(runs, shots, shots)
    recipes = _recipes(encoder, runs)
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
        for seed in range(runs.seeds)
    ]
    results = computed(cells, tasks, runs.out / "cells", runs.jobs, runs.resume)
    found: list[dict[str, Any]] = []
    for i, (rate, exponent) in enumerate(points):
        own = results[i * runs.seeds : (i + 1) * runs.seeds]
        accuracy = [100 * float(np.mean(r["correct"][CHIP])) for r in own]
        found.append(
            {
                "spike_rate": rate,
                "message_exponent": exponent,
                "accuracy": float(np.mean(accuracy)),
                "accuracies": accuracy,
                "deviation": float(np.std(accuracy, ddof=min(1, runs.seeds - 1))),
                "operations": float(np.mean([r["operations"][CHIP] for r in own])),
            }
        )
    about = {"data": runs.source.data, "shots": shots, "seeds": runs.seeds}
    write_json(runs.out / "sweep.json", about | {"points": found})
    plot_operations(found, runs.out / "sweep.svg")
    print(f"{'messages':>10}{'rate target':>13}{'accuracy':>16}{'operations':>13}")
    for p in found:
        target = "none" if p["spike_rate"] is None else f"{100 * p['spike_rate']:g} %"
        accuracy_shown = f"{p['accuracy']:.1f} ± {p['deviation']:.1f} %"
        steps = f"2^{-p['message_exponent']}"
        print(f"{steps:>10}{target:>13}{accuracy_shown:>16}{p['operations']:13,.0f}")
    print(f"written: {runs.out}")
    return 0


def _prepared(runs: Runs, fewest: int, shots: int) -> tuple[Clip, dict[int, Task], AdapterConfig]:
    """The encoder, a task by seed with the most shots, and the folded cut's configuration."""
    for name, value in (("shots", fewest), ("seeds", runs.seeds), ("jobs", runs.jobs)):
        if value < 1:
            raise BadInput(f"--{name} {value}: at least one is needed")
    claim(runs.out, runs.source.inputs | clip_inputs(runs.clip))
    encoder = load_clip(runs.clip)
    tasks = {}
    for seed in range(runs.seeds):
        dataset = opened(runs.source, seed, ("train", "validation", "test"))
        dataset = replace(dataset, test=unseen_part(dataset, "test", encoder.seen, tell=not seed))
        if not seed:
            print(dataset.counts)
        frames = replace(dataset.card.frames, **runs.frames)
        tasks[seed] = task_of(encoder, dataset, frames, shots, runs.variants, seed)
    features = tasks[0].text.shape[1]
    config = AdapterConfig(
        features=features, hidden=max(1, features // 2), steps=tasks[0].train.features.shape[2]
    )
    return encoder, tasks, config


def _recipes(encoder: Clip, runs: Runs) -> list[Recipe]:
    temperature = float(encoder.module.logit_scale.detach().exp())
    return [Recipe(seed=seed, temperature=temperature, **runs.recipe) for seed in range(runs.seeds)]
