"""Where two runs first differ, in the order of causes: what went in, the network, what it did, its place."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from deploy.compare.parity import entry_differences, register_differences
from deploy.emulate.trace import load_trace
from deploy.errors import BadInput
from deploy.files import read_npz
from deploy.hardware.mapping import load_mapping
from deploy.program.file import load_program
from deploy.program.program import registers
from deploy.run.evidence import INPUTS


@dataclass(frozen=True)
class Stage:
    """One cause. first: where the runs first differ in it, in words; None where they are equal.

    compared: whether both runs hold it. parts: (name, values that differ, of how many) of what differs.
    """

    title: str
    first: str | None
    parts: tuple[tuple[str, int, int], ...] = ()
    compared: bool = True


def stages(a: Path, b: Path) -> list[Stage]:
    """What two runs' folders hold, cause by cause. Raises BadInput naming a file that cannot be read."""
    of: dict[str, tuple[str, Callable[[Path], Any], Callable[[Any, Any], Found]]] = {
        "the inputs": (INPUTS, read_npz, _arrays),
        "the network": ("program.npz", lambda path: registers(load_program(path)), _registers),
        "what the network did": ("trace.npz", load_trace, _trace),
        "the place on the cores": ("mapping.json", load_mapping, _mapping),
    }
    found = []
    for title, (name, load, compare) in of.items():
        paths = a / name, b / name
        if not all(path.is_file() for path in paths):
            found.append(Stage(title, None, compared=False))
            continue
        held = [load(path) for path in paths]
        try:
            parts = compare(*held)
        except BadInput as error:  # of other shapes or names: no value has a counterpart
            found.append(Stage(title, str(error)))
            continue
        first = parts[0][1] if parts else None
        found.append(Stage(title, first, tuple((part, n, of) for part, _, n, of in parts)))
    return found


# (part, where it first differs, values that differ, of how many) of every part that differs.
Found = list[tuple[str, str, int, int]]
Arrays = dict[str, NDArray[Any]]


def _arrays(a: Arrays, b: Arrays) -> Found:
    found = []
    for name in [*a, *(n for n in b if n not in a)]:
        if name not in a or name not in b or a[name].shape != b[name].shape:
            shapes = [str(held[name].shape) if name in held else "none" for held in (a, b)]
            raise BadInput(f"'{name}': shape {shapes[0]} in A, {shapes[1]} in B")
        unequal = np.argwhere(a[name] != b[name])
        if len(unequal):
            at = tuple(int(i) for i in unequal[0])
            said = f"'{name}'{list(at)}: A holds {a[name][at]}, B holds {b[name][at]}"
            found.append((name, said, len(unequal), int(a[name].size)))
    return found


def _registers(a: Arrays, b: Arrays) -> Found:
    found = []
    for first, differ, size in register_differences(a, b):
        said = f"register '{first.register}'{list(first.index)}"
        said += f": A holds {first.a}, B holds {first.b}"
        found.append((first.register, said, differ, size))
    return found


def _trace(a: Arrays, b: Arrays) -> Found:
    if a.keys() != b.keys():
        odd = sorted(a.keys() ^ b.keys())[0]
        raise BadInput(f"entry '{odd}' is in one of the traces only")
    rows = [row for row in entry_differences("A", a, "B", b) if row.first is not None]
    # The earliest step leads to the cause; the order of the network decides between equal ones.
    rows.sort(key=lambda row: (row.first.step, row.first.sample) if row.first else (0, 0))
    found = []
    for row in rows:
        first = row.first
        assert first is not None
        said = f"'{row.node}/{row.quantity}', sample {first.sample}, step {first.step}, index "
        said += f"{list(first.index)}: A has {first.a}, B has {first.b}"
        found.append((f"{row.node}/{row.quantity}", said, row.differ, row.compared))
    return found


def _mapping(a: Any, b: Any) -> Found:
    cores = max(len(a.cores), len(b.cores))
    other = [i for i, (x, y) in enumerate(zip(a.cores, b.cores, strict=False)) if x != y]
    other += range(min(len(a.cores), len(b.cores)), cores)
    if not other:
        return []
    return [("cores", f"core {other[0]} holds other neurons or lies elsewhere", len(other), cores)]
