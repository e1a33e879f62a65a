"""`neuroclip diff`: where two runs, programs or recorded traces first differ."""

import argparse
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from deploy.errors import BadInput
from deploy.reading import opened_zip

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from deploy.program.program import Program

HELP = "where two runs, programs or traces first differ"
EXAMPLES = """\
neuroclip diff runs/a runs/b
neuroclip diff runs/a/program.npz runs/b/program.npz
neuroclip diff a/trace.npz b/trace.npz
neuroclip diff a/trace.npz chip.npz --hardware-reading"""

PROGRAM, TRACE = "program.npz", "trace.npz"


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of the command."""
    what = f"folder of a run, {PROGRAM} or {TRACE}"
    parser.add_argument("a", type=Path, metavar="A", help=what)
    parser.add_argument("b", type=Path, metavar="B", help=f"another {what}")
    parser.add_argument(
        "--hardware-reading",
        action="store_true",
        help="B was read from a chip: v reads 128 at a spike, and all comes a step later per layer",
    )
    parser.add_argument(
        "--program", type=Path, help="that both ran, for the layers (default: program.npz beside A)"
    )


@dataclass(frozen=True, eq=False)
class _Side:
    """What one side of the comparison holds."""

    path: Path
    program: "Program | None"
    trace: "dict[str, NDArray[Any]] | None"


def run(options: argparse.Namespace) -> int:
    """Print registers, then layers, then the first differences; the status is 1 where any differs."""
    a, b = _side(options.a), _side(options.b)
    if options.hardware_reading:
        a, b = _read_from_chip(a, b, options.program)
    elif options.program is not None:
        raise BadInput("--program: only --hardware-reading asks for the program")
    held = [_registers(a, b), _values(a, b)]
    if held == [None, None]:
        raise BadInput(f"{a.path} and {b.path}: one holds a program, the other a trace")
    return 1 if False in held else 0


def _registers(a: _Side, b: _Side) -> bool | None:
    """Print which registers differ; whether none does, or None where a side has no program."""
    from deploy.compare.parity import register_differences
    from deploy.program.file import digest
    from deploy.program.program import registers

    if a.program is None or b.program is None:
        return None
    held = registers(a.program)
    found = list(register_differences(held, registers(b.program)))
    same = digest(a.program) == digest(b.program)
    verdict = f"{len(found)} of {len(held)} differ" if found else f"all {len(held)} equal"
    if not found and not same:
        verdict += ", but names, kinds or ranges of the programs differ"
    print(f"registers: {verdict}")
    for first, differ, values in found:
        print(f"  {differ} of {values} values: {first}")
    return same


def _values(a: _Side, b: _Side) -> bool | None:
    """Print what differs of each layer; whether nothing does, or None where a side has no trace."""
    from deploy.compare.parity import compare_recordings, entry_differences

    if a.trace is None or b.trace is None:
        return None
    program = a.program or b.program
    silent = [p.name for p in program.populations if p.is_readout] if program else []
    parity = compare_recordings(str(a.path), a.trace, str(b.path), b.trace, silent=silent)
    print(parity.describe())
    rows = entry_differences(str(a.path), a.trace, str(b.path), b.trace, silent=silent)
    if not parity.ok:
        for row in rows:
            print(f"  {row.node}/{row.quantity}: {row.differ} of {row.compared} differ")
        order = list(dict.fromkeys(row.node for row in rows))
        in_network = min(
            (row.first for row in rows if row.first is not None),
            key=lambda x: (order.index(x.node), x.step, x.sample),
        )
        print(f"first in time: {parity.first_divergence}")
        print(f"first in the order of the network: {in_network}")
    return parity.ok


def _side(path: Path) -> _Side:
    """A run's folder, a program or a trace; which of the files it is, its content says."""
    from deploy.emulate.trace import load_trace
    from deploy.program.file import load_program

    if path.is_dir():
        program, trace = path / PROGRAM, path / TRACE
        if not program.is_file() and not trace.is_file():
            raise BadInput(f"{path}: not the folder of a run: no {PROGRAM} and no {TRACE} in it")
        return _Side(
            path,
            load_program(program) if program.is_file() else None,
            load_trace(trace) if trace.is_file() else None,
        )
    if _is_program(path):
        return _Side(path, load_program(path), None)
    return _Side(path, None, load_trace(path))


def _is_program(path: Path) -> bool:
    try:
        with opened_zip(path) as archive:
            return "program.json.npy" in archive.namelist()
    except BadInput:
        # Whatever it is, reading it as a trace says what is wrong with it.
        return False


def _read_from_chip(a: _Side, b: _Side, program: Path | None) -> tuple[_Side, _Side]:
    from deploy.compare.hardware_reading import hardware_reading
    from deploy.program.file import load_program
    from deploy.program.pipeline_latency import latency_steps

    if a.trace is None or b.trace is None:
        raise BadInput("--hardware-reading: both sides must hold a trace")
    beside = (a.path if a.path.is_dir() else a.path.parent) / PROGRAM
    ran = a.program or load_program(program or beside)
    try:
        first, second = hardware_reading(a.trace, b.trace, latency_steps(ran))
    except BadInput as error:
        raise BadInput(f"{b.path}: {error}") from error
    return _Side(a.path, None, first), _Side(b.path, None, second)
