"""What `neuroclip train network` and `neuroclip evaluate` do with a network of a person's own."""

import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from deploy.errors import BadInput
from deploy.files import write_json
from deploy.output import claim
from neuroclip.chip.network import ChipNetwork
from neuroclip.clip.zero_shot import Accuracy
from neuroclip.commands.actions.told import tell_seen
from neuroclip.compute.devices import device_of
from neuroclip.convert.watch.layout import Layout
from neuroclip.data.seen import Seen
from neuroclip.data.spikes import Messages
from neuroclip.data.split import counted
from neuroclip.network.checkpoint import (
    Evaluated,
    NetworkCheckpoint,
    load_network,
    message_ids,
    save_network,
)
from neuroclip.network.evaluation import evaluated_part
from neuroclip.network.frames import Fit, fit_of_module
from neuroclip.network.module_file import module_of
from neuroclip.network.parts import Parts, parts_of
from neuroclip.network.samples import Framing, Samples, framing_of, open_samples
from neuroclip.network.train import (
    Examples,
    Recipe,
    Trained,
    chip_scores,
    predictions,
    read_module,
    tensors,
    train_network,
)
from neuroclip.results.plots import plot_history
from neuroclip.training.loop import Session

CPU = torch.device("cpu")
# How the three accuracies are told.
_TOLD = {"float": "float", "quantized": "quantized", "tuned": "fine-tuned"}


@dataclass(frozen=True)
class Asked:
    """Which data: a name or path, the frames of recordings, where data sets lie, whether bad ones go."""

    data: str
    frame_ms: float | None = None
    steps: int | None = None
    root: str | None = None
    skip_bad: bool = False
    sensor: tuple[int, int] | None = None

    @property
    def framing(self) -> Framing | None:
        """Raises BadInput as `framing_of` does."""
        return framing_of(self.frame_ms, self.steps)

    def open(self, seed: int) -> Samples:
        """The samples. Raises BadInput as `open_samples` does."""
        return open_samples(
            self.data, self.framing, root=self.root, skip_bad=self.skip_bad, seed=seed,
            sensor=self.sensor,
        )  # fmt: skip


def train(
    model: str, asked: Asked, out: Path, *, weights: str | None, recipe: Mapping[str, Any],
    layout: Layout | None, output: str | None, device: str | None, resume: bool,
) -> int:  # fmt: skip
    """Train a network of a person's own, keep its checkpoint, and print its accuracies.

    recipe: see `Recipe`. The test part is looked at when everything is chosen.
    """
    full, where = Recipe(**recipe), device_of(device)
    file = model.rpartition(":")[0]
    claim(
        out, {"FILE": file, "--data": asked.data, "--data-root": asked.root, "--weights": weights}
    )
    torch.manual_seed(full.seed)
    module = module_of(model, weights)
    samples = asked.open(full.seed)
    for note in samples.notes:
        print(note, file=sys.stderr)
    parts = parts_of(samples, full.seed)
    print(_counts(samples, parts))
    fit = _fit(samples, module, layout)
    held = {
        name: samples.messages(getattr(parts, name), fit)
        for name in ("train", "validation", "test")
    }
    read = partial(
        read_module, messages=held["train"], layout=layout, output=output, seed=full.seed
    )
    trained = train_network(
        module, full, Examples.of(held["train"]), Examples.of(held["validation"]),
        len(samples.class_names), read, where, Session(out, resume),
    )  # fmt: skip
    found = {name: _classes(trained, held[name]) for name in ("validation", "test")}
    accuracy = {
        part: {name: _share(classes, held[part]) for name, classes in each.items()}
        for part, each in found.items()
    }
    ids = {name: message_ids(each) for name, each in held.items()}
    evaluated = Evaluated(
        np.concatenate([ids["validation"], ids["test"]]),
        np.concatenate([found["validation"]["float"], found["test"]["float"]]),
    )
    checkpoint = NetworkCheckpoint(
        model.rpartition(":")[2], trained.chip, trained.quantized, samples.class_names, asked.data,
        asked.framing, fit, full.seed, evaluated, Seen.of(ids["train"], ids["validation"]), accuracy,
        {"recipe": asdict(full), "samples": {name: len(each) for name, each in ids.items()}},
    )  # fmt: skip
    save_network(out, checkpoint, trained.module)
    write_json(out / "history.json", trained.history)
    if trained.history:
        plot_history(trained.history, out / "history.svg")
    for part, each in accuracy.items():
        for name, share in each.items():
            print(f"{part:10} {_TOLD[name]:10} {Accuracy(**share)}")
    print(f"checkpoint: {out}")
    return 0


def evaluate(
    folder: str, data: str | None, split: str, root: str | None, skip_bad: bool,
    sensor: tuple[int, int] | None,
) -> int:  # fmt: skip
    """Accuracy of a trained network on a part of its data, or of others of the same kind."""
    loaded = load_network(folder)
    part = evaluated_part(loaded, folder, data, split, root, skip_bad, sensor=sensor)
    sent = tensors(part.messages)
    tell_seen(loaded.seen, part.seen, part.seen + len(next(iter(sent.values()))), split)
    if part.messages.labels is None:
        raise BadInput(f"{part.name}: no labels, so there is no accuracy")
    rows = {"float": loaded.evaluated.predictions(message_ids(part.messages))}
    rows |= {
        name: predictions(partial(chip_scores, network), sent, CPU)
        for name, network in (("quantized", loaded.quantized), ("tuned", loaded.chip))
    }
    for name, classes in rows.items():
        told = (
            "not known for these samples"
            if classes is None
            else str(Accuracy(**_share(classes, part.messages)))
        )
        print(f"{_TOLD[name]:10} {told}")
    return 0


def _counts(samples: Samples, parts: Parts) -> str:
    """The parts and classes in words, before anything is trained."""
    each = ", ".join(f"{len(getattr(parts, n))} {n}" for n in ("train", "validation", "test"))
    assert samples.labels is not None
    return counted(samples.name, each, samples.labels, samples.class_names)


def _fit(samples: Samples, module: nn.Module, layout: Layout | None) -> Fit:
    if samples.frame is None:
        return Fit()
    return fit_of_module(samples.name, module, samples.frame, samples.steps, layout)


def _classes(trained: Trained, messages: Messages) -> dict[str, NDArray[np.int64]]:
    """What each of the three networks answers."""
    given = tensors(messages)
    chips: dict[str, ChipNetwork] = {"quantized": trained.quantized, "tuned": trained.chip}
    found = {"float": predictions(partial(trained.answer.scores, trained.module), given, CPU)}
    return found | {n: predictions(partial(chip_scores, c), given, CPU) for n, c in chips.items()}


def _share(classes: NDArray[np.int64], messages: Messages) -> dict[str, int]:
    right = int((classes == messages.labels).sum())
    return {"correct": right, "total": len(classes)}
