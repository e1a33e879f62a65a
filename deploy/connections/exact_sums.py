"""Synaptic sums in the arithmetic that is exact for them, a few samples at a time."""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

Int64 = NDArray[np.int64]
# messages int64 [samples, source size] → sums int64 [samples, target size].
Sums = Callable[[Int64], Int64]

# Every integer up to here is a float64, so a float64 matrix product of integers whose partial sums
# stay below it is exact, and runs on BLAS.
_FLOAT64_EXACT = 2**53
# Elements of a temporary array; samples are taken in blocks that stay below it.
_BLOCK = 1 << 22


def in_exact_type(
    weight: NDArray[np.int32],
    inputs: int,
    product: Callable[[NDArray[Any], NDArray[Any]], NDArray[Any]],
) -> Sums:
    """product(messages, weight) in float64 where its bound says that this is exact, else in int64.

    inputs: the most synapses that one target has.
    """
    floats = weight.astype(np.float64, order="C")
    heaviest = int(np.abs(weight).max(initial=0))

    def sums(messages: Int64) -> Int64:
        if int(np.abs(messages).max(initial=0)) * heaviest * inputs >= _FLOAT64_EXACT:
            return product(messages, weight.astype(np.int64))
        return product(messages.astype(np.float64), floats).astype(np.int64)

    return sums


def in_blocks(sums: Sums, elements: int) -> Sums:
    """`sums`, a few samples at a time, where one sample needs temporaries of so many elements."""
    block = max(1, _BLOCK // max(elements, 1))

    def blocked(messages: Int64) -> Int64:
        parts = [sums(messages[i : i + block]) for i in range(0, len(messages), block)]
        return np.concatenate(parts) if len(parts) > 1 else parts[0]

    return blocked
