"""Which samples calibration sees: never one that is evaluated."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from deploy.errors import BadInput
from neuroclip.data.spikes import Spikes

Messages = Mapping[str, NDArray[Any]]

RECORDINGS = 20
"""Of a data set of recordings, calibration takes so many; of a file of spikes, all."""

# Where all samples of the only data would be evaluated, calibration takes one of so many.
_HELD_OUT = 4


@dataclass(frozen=True, eq=False)
class Chosen:
    """inputs: {input: messages [samples, time, *shape]}; positions: of these samples in their data."""

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
    return Chosen(inputs, tuple(first + i for i in kept), notes)


def _digests(inputs: Messages) -> list[bytes]:
    """Of each sample, what tells its messages from others."""
    found = []
    for i in range(len(next(iter(inputs.values())))):
        digest = hashlib.blake2b(digest_size=16)
        for name, messages in sorted(inputs.items()):
            digest.update(f"{name} {messages.shape[1:]}".encode())
            digest.update(np.ascontiguousarray(messages[i], np.int32).tobytes())
        found.append(digest.digest())
    return found
