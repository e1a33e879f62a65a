"""`neuroclip inspect`: what a program or a mapping holds; which of them a file is, its content says."""

import argparse
import sys
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from deploy.errors import BadInput
from deploy.reading import opened

if TYPE_CHECKING:
    from deploy.hardware.chip import Chip

HELP = "layers, registers, proof and cost of a program; which neurons a mapping puts where"
EXAMPLES = """\
neuroclip inspect demo/program.npz
neuroclip inspect demo/mapping.json
neuroclip inspect demo"""

PROGRAM, MAPPING = "program.npz", "mapping.json"
# What was mapped, in the steps of the chip; runs of before it have the program alone.
ON_CHIP = "chip_program.npz"
DEFAULT_CHIP = "loihi2"


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of the command."""
    parser.add_argument("path", type=Path, help=f"{PROGRAM}, {MAPPING}, or the folder of a run")
    parser.add_argument("--timesteps", type=int, default=10, help="steps per sample of a program")
    parser.add_argument(
        "--chip", metavar="NAME|FILE",
        help=f"chip description (default: {DEFAULT_CHIP}, or the one that a mapping names)",
    )  # fmt: skip


def run(options: argparse.Namespace) -> int:
    """Print what is there; the status is 1 where a mapping breaks a rule of its chip."""
    path: Path = options.path
    if path.is_dir():
        found = [path / name for name in (PROGRAM, MAPPING) if (path / name).is_file()]
        if not found:
            raise BadInput(f"{path}: not the folder of a run: no {PROGRAM} and no {MAPPING} in it")
    else:
        found = [path]
    status = 0
    for i, file in enumerate(found):
        if i:
            print()
        if _is_json(file):
            status = _inspect_mapping(file, options.chip)
        else:
            from deploy.program.file import load_program
            from deploy.report.inspect import inspect

            program = load_program(file)
            _say_changed(file)
            print(inspect(program, options.timesteps, options.chip or DEFAULT_CHIP))
    return status


def _say_changed(file: Path) -> None:
    """Warn where a program is no longer the one of the run in whose folder it lies."""
    from deploy.report.words.read import read_report
    from deploy.run.evidence import changed

    beside = file.parent / "report.json"
    if not beside.is_file():
        return
    with suppress(BadInput):  # another's file, or a damaged one: it says nothing of the program
        for line in changed(file.parent, read_report(beside)):
            if line.startswith(file.name):
                print(f"neuroclip inspect: warning: {file.parent}: {line}", file=sys.stderr)


def _is_json(path: Path) -> bool:
    """Whether a file is a JSON object, not an archive of arrays. Raises BadInput where it is neither."""
    with opened(path) as stream:
        start = stream.read(64).lstrip()
    if not start.startswith((b"PK", b"{")):
        raise BadInput(f"{path}: neither a program ({PROGRAM}) nor a mapping ({MAPPING})")
    return start.startswith(b"{")


def _inspect_mapping(path: Path, chip_name: str | None) -> int:
    from deploy.hardware.mapping import load_mapping
    from deploy.map.validate import validate
    from deploy.program.file import load_program
    from deploy.report.inspect_mapping import inspect_mapping

    mapping = load_mapping(path)
    beside = [file for name in (ON_CHIP, PROGRAM) if (file := path.parent / name).is_file()]
    program = load_program(beside[0]) if beside else None
    chip = _chip(mapping.chip, chip_name)
    broken = [] if program is None or chip is None else validate(program, chip, mapping)
    print(inspect_mapping(mapping, program, chip, broken))
    return 1 if broken else 0


def _chip(mapped: str, given: str | None) -> "Chip | None":
    """The chip that is given, else the one that the mapping names, where it is a bundled one."""
    from deploy.hardware.chip import known_chips, load_chip

    if given is None and mapped not in known_chips():
        return None
    return load_chip(given or mapped)
