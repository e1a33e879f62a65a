"""Lines of numbers read by a loop that numba compiles; imported only where numba is installed.

All compiled functions share this file, since numba's cache sees changes of a caller's file only.
"""

from typing import Any

import numpy as np
from numba import njit

from deploy.compiled import can_cache

# Integers up to 2^53 and powers of ten up to 10^22 are doubles, and so their quotient is the nearest one.
_WHOLE = 1 << 53
_POWERS = np.array([float(10**n) for n in range(23)])
# So many fit 64 bits whatever they are.
_MOST_DIGITS = 18


# Indices without a sign, which numba does not look at for counting from the end.
_ONE = np.uint64(1)


@njit(inline="always")  # type: ignore[misc, unused-ignore]
def _parts(byte: Any) -> bool:
    """Whether a byte parts two numbers of a line: a space, comma, tab, semicolon or carriage return."""
    return byte == 32 or byte == 44 or byte == 9 or byte == 59 or byte == 13


@njit(cache=can_cache())  # type: ignore[misc, unused-ignore]
def rows(text: Any, table: Any, pointed: bool) -> int:
    """Fill table [columns, lines] with the numbers of a text and return how many lines have some.

    text: uint8, numbers apart as `_parts` has it, lines by line feeds. table: int64, or float64 where
    numbers are `pointed`. −1, of which the caller makes out what it means: a line of more or fewer numbers,
    and anything but a sign, 18 digits at most and a point among them.
    """
    columns, line, column = table.shape[0], 0, 0
    byte: Any
    size: Any
    at, end = np.uint64(0), np.uint64(len(text))
    while at < end:
        byte = np.int64(text[at])
        if _parts(byte):
            at += _ONE
            continue
        if byte == 10:
            if column == columns:
                line += 1
            elif column:
                return -1
            column = 0
            at += _ONE
            continue
        negative = byte == 45
        if negative or byte == 43:
            at += _ONE
        # Behind the point, where there is one; a number cannot end before it begins.
        value, begin, behind = 0, at, np.uint64(0)
        while at < end:
            byte = np.int64(text[at])
            if 48 <= byte <= 57:
                value = 10 * value + (byte - 48)
            elif byte == 46 and not behind:
                behind = at + _ONE
            else:
                break
            at += _ONE
        ends = at == end or byte == 10 or _parts(byte)
        digits = np.int64(at - begin) - (behind > 0)
        if not ends or not 0 < digits <= _MOST_DIGITS or column == columns:
            return -1
        if behind and (not pointed or value > _WHOLE):
            return -1
        if pointed:
            size = value / _POWERS[np.int64(at - behind)] if behind else float(value)
            table[column, line] = -size if negative else size
        else:
            table[column, line] = -value if negative else value
        column += 1
    if column == columns:
        return line + 1
    return line if column == 0 else -1
