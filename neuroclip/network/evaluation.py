"""Which samples a trained network of a person's own is evaluated on: none that it has seen."""

from dataclasses import dataclass

import numpy as np

from deploy.errors import BadInput
from neuroclip.data.spikes import Messages, Spikes, called
from neuroclip.data.split import to_draw
from neuroclip.network.checkpoint import NetworkCheckpoint, message_ids
from neuroclip.network.frames import Fit, fit_of_shape
from neuroclip.network.parts import parts_of
from neuroclip.network.samples import Samples, open_samples


@dataclass(frozen=True, eq=False)
class Part:
    """name: of the data. messages: of the samples. seen: how many were left out."""

    name: str
    messages: Messages
    seen: int
    notes: tuple[str, ...]


def evaluated_part(
    held: NetworkCheckpoint, folder: str, data: str | Spikes | None, split: str = "test",
    root: str | None = None, skip_bad: bool = False, samples: int | None = None, seed: int = 0,
    sensor: tuple[int, int] | None = None,
) -> Part:  # fmt: skip
    """The samples of a part of the data that a network was trained on, or of others.

    data: may be left out where it was trained on the bundled ones. split: "test" or "validation", as they
    were dealt out in training; whatever trained it, or chose its epoch, is left out of a test. samples: so
    many of them, drawn by `seed`. Raises BadInput where there are no such data, or of another shape or
    classes.
    """
    if data is None and held.data != "digits":
        # A path that a checkpoint names is not opened.
        raise BadInput(
            f"{folder}: was trained on '{held.data}'; give these or other data by --data"
        )
    source = "digits" if data is None else data
    framing = held.framing
    found = open_samples(
        source, framing, root=root, skip_bad=skip_bad, seed=held.seed, sensor=sensor
    )
    if not _same_classes(found.class_names, held.class_names):
        raise BadInput(
            f"{found.name}: its classes {list(found.class_names)} are not those of {folder}, "
            f"{list(held.class_names)}"
        )
    fit = _fit(held, found)
    indices = np.arange(found.size)
    if found.labels is not None and (found.frame is not None or split == "validation"):
        indices = getattr(parts_of(found, held.seed), split)
    messages = found.messages(indices, fit)
    left = np.flatnonzero(~held.seen.among(message_ids(messages), split))
    if not len(left):
        raise BadInput(f"{found.name}: the network has seen all {len(indices)} of its samples")
    chosen = to_draw(left, samples, seed)[:samples]
    kept = Messages(
        {name: x[chosen] for name, x in messages.inputs.items()},
        None if messages.labels is None else messages.labels[chosen],
        messages.class_names,
    )
    return Part(called(source), kept, len(indices) - len(left), found.notes)


def _same_classes(found: tuple[str, ...], known: tuple[str, ...]) -> bool:
    """Whether labels mean the same; those that data only number may lack the last ones."""
    numbered = found == tuple(map(str, range(len(found))))
    return found == known or (numbered and len(found) <= len(known))


def _fit(held: NetworkCheckpoint, found: Samples) -> Fit:
    """What makes frames fit, as in training; refuses spikes or frames of another shape."""
    shape = next(iter(held.chip.inputs.values()))
    if found.frame is None:
        return Fit()
    if held.fit.pool <= min(found.frame[1:]) and held.fit.shape(found.frame) == shape:
        return held.fit
    return fit_of_shape(found.name, found.frame, shape)
