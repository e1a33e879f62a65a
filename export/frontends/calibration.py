"""Which samples calibration sees: never one that is evaluated."""

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from deploy.errors import BadInput
from neuroclip.data.spikes import Messages as Evaluation
from neuroclip.data.spikes import Spikes, called

Messages = Mapping[str, NDArray[Any]]

RECORDINGS = 20
"""Of a data set of recordings, calibration takes so many; of a file of spikes, all."""

# Where all samples of the only data would be evaluated, calibration takes one of so many.
_HELD_OUT = 4


@dataclass(frozen=True, eq=False)
class Chosen:
    """name: of the data; inputs: {input: messages [samples, time, *shape]}; positions: of these samples
    in their data."""

    name: str
    inputs: Messages
    positions: tuple[int, ...]
    notes: tuple[str, ...]


def same_data(data: str | Spikes, calibrate: str | Spikes | None) -> bool:
    """Whether the data of calibration are those of the evaluation, under whatever path."""
    if isinstance(data, str) and isinstance(calibrate, str):
        return data == calibrate or Path(data).resolve() == Path(calibrate).resolve()
    return data is calibrate


def evaluated(name: str, total: int, samples: int | None) -> int:
    """How many of the samples of the only data are evaluated: the rest is left to calibration.

    name: of the data. samples: that were asked for. Raises BadInput for a single sample.
    """
    if samples is not None and samples < total:
        return samples
    if total < 2:
        raise BadInput(f"{name}: its only sample cannot be both evaluated and calibrated on")
    return total - min(RECORDINGS, max(1, total // _HELD_OUT))


def apart(
    read: Callable[[str | Spikes, int | None], Evaluation],
    data: str | Spikes,
    calibrate: str | Spikes,
    samples: int | None,
) -> tuple[Evaluation, Chosen]:
    """The samples to evaluate, and those to calibrate on, none of which is evaluated.

    read: so many samples of data, or all. calibrate: other data, or the same, of which the samples after
    those evaluated are taken, and a note says so. Raises BadInput where none is left for either.
    """
    if not same_data(data, calibrate):
        found = read(data, samples)
        return found, unseen(
            called(calibrate, whole=True), read(calibrate, RECORDINGS).inputs, 0, found.inputs
        )
    name = called(data, whole=True)
    everything = read(data, None if samples is None else samples + RECORDINGS)
    total = len(next(iter(everything.inputs.values())))
    count = evaluated(name, total, samples)
    found = everything.first(count)
    rest = {node: messages[count:] for node, messages in everything.inputs.items()}
    chosen = unseen(name, rest, count, found.inputs)
    split = f"{name}: calibrated on samples {count}..{total - 1}, evaluated on the {count} before"
    return found, replace(chosen, notes=(split, *chosen.notes))


def unseen(name: str, calibration: Messages, first: int, evaluated: Messages) -> Chosen:
    """The samples of calibration data that are not among those evaluated, by their messages.

    first: the position of the first sample in its data. Raises BadInput naming the data where none
    is left.
    """
    known = set(_digests(evaluated))
    digests = _digests(calibration)
    kept = [i for i, digest in enumerate(digests) if digest not in known]
    if not kept:
        raise BadInput(
            f"{name}: every sample is among those evaluated; give calibration other data, or evaluate "
            "fewer with --samples"
        )
    notes: tuple[str, ...] = ()
    if len(kept) < len(digests):
        notes = (
            f"{name}: {len(digests) - len(kept)} of {len(digests)} samples are evaluated too and are "
            "left out of calibration",
        )
    inputs = {node: messages[kept] for node, messages in calibration.items()}
    return Chosen(name, inputs, tuple(first + i for i in kept), notes)


def _digests(inputs: Messages) -> list[bytes]:
    """Of each sample, what tells its messages from others."""
    found = []
    for i in range(len(next(iter(inputs.values())))):
        digest = hashlib.blake2b(digest_size=16)
        for name, messages in sorted(inputs.items()):
            digest.update(f"{name} {messages.shape[1:]}".encode())
            # Most are zeros, whose hash would take longer than to read the recordings.
            flat = messages[i].reshape(-1)
            sent = np.flatnonzero(flat)
            digest.update(sent.tobytes())
            digest.update(flat[sent].astype(np.int32).tobytes())
        found.append(digest.digest())
    return found
