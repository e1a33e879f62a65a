"""Widths of the chip's registers, and the checks by which nodes and connections refuse values."""

from collections.abc import Iterable
from dataclasses import fields
from functools import cache
from typing import Any, get_type_hints

import numpy as np
from numpy.typing import NDArray

from deploy.errors import BadInput

IntArray = NDArray[np.int32]
Shape = tuple[int, ...]

# Register widths of Loihi: Davies et al. 2018, and the docstring of lava.proc.lif's PyLifModelBitAcc.
DECAY_MAX = 4095
VTH_MAX = 2**17 - 1
BIAS_MANT_MIN, BIAS_MANT_MAX = -4096, 4095
BIAS_EXP_MAX = 7
# Mixed-sign 8-bit weights: [-256, 255] with the lowest bit dropped, so even values only.
WEIGHT_MIN, WEIGHT_MAX = -254, 254
WEIGHT_EXP_MIN, WEIGHT_EXP_MAX = -7, 7
# Graded messages carry at most 24 bits; delays at most 62 steps (one of 63 is the layer's own).
MESSAGE_MIN, MESSAGE_MAX = -(2**23), 2**23 - 1
DELAY_MAX = 62
# Loihi 1's register is this plus one, 1..63: nengo-loihi 1.1's hardware/nxsdk_objects.py.
REFRACTORY_MAX = 62
# Widths in lava-nc 0.10.0's lava.proc.graded and lava.proc.sdn: messages and states of 24 bits, a
# bias of 16, exponents of 3. Graded messages below 8 bits would save nothing.
GRADED_BITS_MIN, GRADED_BITS_MAX = 8, 24
SDN_BIAS_MAX = 2**15 - 1
EXPONENT_MAX = 7
# A program larger than this in one array cannot be for any machine that exists.
MAX_NEURONS = 1 << 31


@cache
def array_fields(of: type) -> tuple[str, ...]:
    """The fields of a node's class that are integer arrays, in their order; all others are plain values."""
    types = get_type_hints(of)
    return tuple(f.name for f in fields(of) if types[f.name] == IntArray)


def as_register(name: str, register: str, values: Any, shape: Shape) -> IntArray:
    """`values` as a read-only int32 array of `shape`, refusing fractions and what does not fit."""
    array = np.asarray(values)
    if array.dtype == object or not np.issubdtype(array.dtype, np.integer):
        raise BadInput(f"node '{name}': {register} has type {array.dtype}, expected integers")
    if array.size and (array.min() < -(2**31) or array.max() >= 2**31):
        raise BadInput(f"node '{name}': {register} does not fit 32 bits")
    try:
        return np.broadcast_to(array.astype(np.int32), shape)
    except ValueError:
        raise BadInput(
            f"node '{name}': {register} of shape {array.shape} does not fit the node's shape {shape}"
        ) from None


def is_integer(value: Any) -> bool:
    """Whether a value is a whole number by its type, NumPy's included, and no truth value."""
    return isinstance(value, int | np.integer) and not isinstance(value, bool)


def check_shape(name: str, shape: Iterable[int]) -> None:
    shape = tuple(shape)
    if not shape or any(not isinstance(n, int) or n < 1 for n in shape):
        raise BadInput(f"node '{name}': shape {shape} is not a tuple of positive sizes")
    if int(np.prod([int(n) for n in shape], dtype=object)) > MAX_NEURONS:
        raise BadInput(f"node '{name}': shape {shape} has more than {MAX_NEURONS} elements")


def distinct(values: IntArray) -> IntArray:
    """`values` without repetitions along axes that they were broadcast over, which then have length 1.

    A register that is one number takes no time and no memory to check, whatever the shape.
    """
    return values[tuple(slice(0, 1) if step == 0 else slice(None) for step in values.strides)]


def check_range(name: str, register: str, values: IntArray, low: int, high: int) -> None:
    values = distinct(values)
    bad = (values < low) | (values > high)
    if bad.any():
        index = tuple(int(i) for i in np.argwhere(bad)[0])
        raise BadInput(
            f"node '{name}': {register} {int(values[index])} at index {list(index)} "
            f"is outside {low}..{high}"
        )


def check_number(name: str, setting: str, value: Any, low: int, high: int) -> None:
    """Refuse a number of a whole population that is not an integer in low..high (BadInput)."""
    if not isinstance(value, int) or not low <= value <= high:
        raise BadInput(f"node '{name}': {setting} is {value!r}, expected {low}..{high}")
