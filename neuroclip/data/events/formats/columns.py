"""Events in columns: which column is x, y, t and p, in which unit its times are, by rule or refused.

Names: `x`, `y`, `t`, `p` and what people call them, a unit behind (`t_us`, `time [s]`). Without names, four
columns are in one of the orders that data sets have (`ORDERS`), and the values must fit exactly one: p holds
two values, t never falls by much, x and y are pixels. Times are µs where they are integers, seconds where
they have fractions; what could be either is refused.
"""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from deploy.errors import BadInput
from neuroclip.data.events.formats.raw import MAX_LATE_US, RawEvents, Sensor, check_count

# v2e, RPG and EventCLIP's text; N-ImageNet, MVSEC and N-Caltech101 as arrays; tonic's DVS Gesture.
ORDERS = ("txyp", "xytp", "xypt")

_NAMES = {
    "x": ("x", "xs", "col", "column", "x_pos", "pos_x", "x_coordinate"),
    "y": ("y", "ys", "row", "y_pos", "pos_y", "y_coordinate"),
    "t": ("t", "ts", "time", "times", "timestamp", "timestamps"),
    "p": ("p", "ps", "pol", "polarity", "polarities", "on", "is_on", "sign"),
}
_UNITS = {
    "s": ("s", "sec", "secs", "second", "seconds", "float s"),
    "ms": ("ms", "msec", "millisecond", "milliseconds"),
    "us": ("us", "usec", "µs", "μs", "microsecond", "microseconds"),
    "ns": ("ns", "nsec", "nanosecond", "nanoseconds"),
}
_IN_US = {"s": 1e6, "ms": 1e3, "us": 1}
# Nobody's recording is longer: times of more are no seconds, integers of less may be.
_LONGEST_S = 10_000.0
# Beyond, doubles skip integers.
_MOST_US = 1 << 53
# Rows and columns are small numbers, but of pixels one after the other half are smaller than one before.
_MOST_LATE = 0.1


def named(names: Sequence[str]) -> tuple[dict[str, str], str | None] | None:
    """{x, y, t, p: its name} among names and the unit that is said, one of `_UNITS`; None without all four.

    Raises BadInput where a column is there twice.
    """
    found: dict[str, str] = {}
    unit = None
    for name in names:
        bare, said = _split(name)
        column = next((c for c, known in _NAMES.items() if bare in known), None)
        if column is None:
            continue
        if column in found:
            raise BadInput(f"columns '{found[column]}' and '{name}' are both {column}")
        found[column] = name
        if column == "t" and said:
            unit = next((u for u, known in _UNITS.items() if said in known), None)
    return (found, unit) if len(found) == 4 else None


def _split(name: str) -> tuple[str, str]:
    """A name without its unit, and the unit, which stands in brackets or behind a space or underscore."""
    name = name.strip().strip("\"'").lower()
    units = "|".join(u for known in _UNITS.values() for u in known)
    parts = re.fullmatch(rf"(.+?)(?:[ _]*[\[(] *({units}) *[\])]|[ _]+({units}))", name)
    return (parts[1].strip(), parts[2] or parts[3]) if parts else (name, "")


def from_columns(
    path: Path,
    columns: Mapping[str, NDArray[Any]],
    unit: str | None = None,
    sensor: Sensor | None = None,
    likely: Sensor | None = None,
) -> RawEvents:
    """Events of columns x, y, t, p. Raises BadInput: values that are no pixels, times or polarities."""
    check_count(path, max(column.size for column in columns.values()))
    for name, column in columns.items():
        if column.ndim != 1 or column.dtype.kind not in "biuf" or column.dtype.itemsize > 8:
            raise BadInput(
                f"{path}: {name} has type {column.dtype} and shape {column.shape}, expected one number "
                "of 64 bits at most per event"
            )
    return RawEvents(
        _whole(path, "x", columns["x"]),
        _whole(path, "y", columns["y"]),
        _microseconds(path, columns["t"], unit),
        _bits(_whole(path, "p", columns["p"])),
        sensor,
        likely,
    )


def from_table(
    path: Path, table: NDArray[Any], sensor: Sensor | None = None, likely: Sensor | None = None
) -> RawEvents:
    """Events of a table [events, 4] without names. Raises BadInput where its order cannot be told."""
    if table.ndim != 2 or table.shape[1] != 4 or table.dtype.kind not in "iuf":
        raise BadInput(
            f"{path}: numbers of type {table.dtype} and shape {table.shape}; events are four columns, "
            f"{', '.join(ORDERS)}, or have names"
        )
    if not len(table):
        raise BadInput(f"{path}: the recording holds zero events")
    # Of most orders the first events tell enough.
    fitting = [
        order
        for order in ORDERS
        if all(_fits(dict(zip(order, part.T, strict=True))) for part in (table[:1000], table))
    ]
    if len(fitting) != 1:
        found = " or ".join(fitting) or "none of them"
        raise BadInput(
            f"{path}: its four columns have no names and could be {found}; known orders are "
            f"{', '.join(ORDERS)}"
        )
    return from_columns(path, dict(zip(fitting[0], table.T, strict=True)), None, sensor, likely)


def _fits(columns: dict[str, NDArray[Any]]) -> bool:
    polarities = set(np.unique(columns["p"][:100_000]).tolist())
    if not (polarities <= {0, 1} or polarities <= {-1, 1}):
        return False
    for name in "xy":
        pixels = columns[name]
        if pixels.min() < 0 or pixels.max() > 65_535 or not (pixels == np.rint(pixels)).all():
            return False
    t = columns["t"]
    seconds = t.dtype.kind == "f" and bool((t != np.rint(t)).any())
    late = MAX_LATE_US * (1e-6 if seconds else 1)
    behind = np.maximum.accumulate(t) - t
    return bool((behind <= late).all()) and np.count_nonzero(behind) <= _MOST_LATE * len(t)


def _whole(path: Path, name: str, values: NDArray[Any]) -> NDArray[Any]:
    """Numbers that are integers as such."""
    if values.dtype.kind != "f":
        return values
    bad = np.flatnonzero(~(np.abs(values) < 1 << 31) | (values != np.rint(values)))
    if len(bad):
        raise BadInput(f"{path}: event {int(bad[0])} has {name} = {values[bad[0]]}, no integer")
    return values.astype(np.int64)


def _microseconds(path: Path, t: NDArray[Any], unit: str | None) -> NDArray[Any]:
    """Times as integers of µs; see the module for those that do not say their unit."""
    if t.dtype.kind != "f" and unit in (None, "us", "ns"):
        if unit is None and len(t) and int(t.max()) > _MOST_US:
            raise BadInput(
                f"{path}: its times reach {t.max()}: no µs; a column's name may say its unit: t_ns"
            )
        return t // 1000 if unit == "ns" else t
    if not len(t):
        return t.astype(np.int64)
    t = t.astype(np.float64)  # a half would end at 65 504 µs
    bad = np.flatnonzero(~np.isfinite(t))
    if len(bad):
        raise BadInput(f"{path}: event {int(bad[0])} has t = {t[bad[0]]}")
    long = float(t.max() - t.min()) >= _LONGEST_S
    if unit is None:
        fractions = bool((t != np.rint(t)).any())
        if fractions == long:
            what = "have fractions" if fractions else "have none"
            raise BadInput(
                f"{path}: its times span {t.max() - t.min():g} and {what}: they could be seconds or µs"
            )
        unit = "s" if fractions else "us"
    with np.errstate(over="ignore"):  # refused below
        # As of integers: the microsecond that has begun.
        micros = np.floor(t / 1000) if unit == "ns" else np.rint(t * _IN_US[unit])
    if np.abs(micros).max() > _MOST_US:
        i = int(np.abs(micros).argmax())
        raise BadInput(f"{path}: event {i} has t = {t[i]} {unit.replace('us', 'µs')}")
    return micros.astype(np.int64)


def _bits(p: NDArray[Any]) -> NDArray[Any]:
    """Polarities −1 and 1 as 0 and 1; everything else stays for the checks of `Recording`."""
    if p.dtype.kind == "i" and len(p) and p.min() == -1 and not (p == 0).any():
        return np.where(p == -1, 0, p)
    return p
