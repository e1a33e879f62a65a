"""`Spikes`: the messages of some samples, a bit each, and their values where they are graded."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

WORD = 64


@dataclass(frozen=True, eq=False)
class Spikes:
    """What one node sent.

    bits: uint64 [samples, time, words]; neuron i is bit i % 64 of word i // 64, other bits are 0.
    size: neurons. active: bits that are set, for messages other than 0. values: int32 [samples, time,
    size], or None where all messages are 0 and 1.
    """

    bits: NDArray[np.uint64]
    size: int
    active: int
    values: NDArray[np.int32] | None = None

    @property
    def activity(self) -> float:
        """Spikes per neuron and step, 0..1."""
        return self.active / (self.bits.shape[0] * self.bits.shape[1] * self.size)


Messages = dict[str, Spikes]
"""By node."""


def words(size: int) -> int:
    """Words that hold so many bits."""
    return -(-size // WORD)


def packed(flat: NDArray[np.uint8]) -> tuple[NDArray[np.uint64], NDArray[np.int64], int]:
    """Bytes 0 and 1 [samples, time, size] as bits; how many are 1 per channel; all bytes, or-ed."""
    bits = np.empty((*flat.shape[:2], words(flat.shape[2])), np.uint64)
    pack(flat, bits)
    return bits, count_messages(flat), int(flat.max(initial=0))


def pack(flags: NDArray[Any], out: NDArray[np.uint64]) -> None:
    """Non-zero elements of bytes [..., size] as bits, into uint64 [..., words]."""
    packed = np.packbits(flags, axis=-1, bitorder="little")
    held = out.view(np.uint8)
    held[..., : packed.shape[-1]] = packed
    held[..., packed.shape[-1] :] = 0


def unpack(bits: NDArray[np.uint64], size: int) -> NDArray[np.uint8]:
    """uint64 [..., words] as bytes 0 and 1 [..., size]."""
    return np.unpackbits(bits.view(np.uint8), axis=-1, count=size, bitorder="little")


def count_messages(messages: NDArray[Any]) -> NDArray[np.int64]:
    """Non-zero messages of [samples, time, size] per channel: int64 [size]."""
    sent = messages if messages.dtype == np.bool_ else messages != 0
    sent = sent.reshape(-1, messages.shape[2]).view(np.uint8)
    counts = np.zeros(messages.shape[2], np.int64)
    # 255 rows are counted in bytes before they are widened.
    for first in range(0, len(sent), 255):
        counts += np.add.reduce(sent[first : first + 255], axis=0, dtype=np.uint8)
    return counts
