"""`make figures`: runs the commands of docs/figures.md again and fails where a figure left its interval.

A row of its table is | figure | value | from – to | command | key of report.json | said in | measured |;
the command of a row that is left empty is that of the row above. A key "printed: EXPRESSION" is of a command
without a report: the number is the first group of the expression, in what it prints. Rows without an interval
name what is run by hand, and for how long. Commands to Lava are run where it is installed.
"""

import json
import re
import shlex
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

PRINTED = "printed: "
ROOT = Path(__file__).parents[1]
TABLE = ROOT / "docs" / "figures.md"


@dataclass(frozen=True)
class Figure:
    """A figure, where its report has it, and between which ends it has to be."""

    name: str
    low: float
    high: float
    command: str
    key: str


def figures(text: str) -> list[Figure]:
    """The rows of the table that have an interval. Raises ValueError naming one that cannot be read."""
    found: list[Figure] = []
    command = ""
    for line in text.splitlines():
        cells = [cell.strip() for cell in line.strip()[1:-1].split("|")]
        if not line.startswith("| ") or len(cells) != 7 or cells[0] in ("figure", "---"):
            continue
        command = cells[3].strip("`") or command
        ends = cells[2].split(" – ")
        if len(ends) != 2:
            continue
        try:
            low, high = (float(end.replace(" ", "")) for end in ends)
        except ValueError as error:
            raise ValueError(f"{TABLE.name}: '{cells[0]}': no interval: {cells[2]}") from error
        found.append(Figure(cells[0], low, high, command, cells[4].strip("`")))
    return found


def at(report: Any, key: str) -> float:
    """The number under a path of keys and list positions, parts of it joined by dots."""
    for part in key.split("."):
        report = report[int(part)] if isinstance(report, list) else report[part]
    return float(report)


def printed(text: str, key: str) -> float:
    """The number that a key's expression finds. Raises ValueError where it finds none."""
    found = re.search(key.removeprefix(PRINTED), text)
    if found is None:
        raise ValueError(f"nothing printed fits '{key}'")
    return float(re.sub("[ ,]", "", found[1]))


def main() -> int:
    """Run every command once; the status is 1 where a figure left its interval."""
    rows = figures(TABLE.read_text(encoding="utf-8"))
    left = 0
    for command in dict.fromkeys(row.command for row in rows):
        of_command = [row for row in rows if row.command == command]
        reports = not any(row.key.startswith(PRINTED) for row in of_command)
        report = None
        with tempfile.TemporaryDirectory() as folder:
            program, *arguments = shlex.split(command)
            run = [str(Path(sys.executable).with_name(program)), *arguments]
            run += ["--out", folder] if reports else []
            print(f"$ {command}", flush=True)
            if "lava" in arguments and find_spec("lava") is None:
                print("  not run: there is no Lava here")
                continue
            done = subprocess.run(run, cwd=ROOT, stdout=subprocess.PIPE, text=True, check=False)
            if done.returncode:
                print(f"  status {done.returncode}")
                left += 1
                continue
            if reports:
                report = json.loads((Path(folder) / "report.json").read_text(encoding="utf-8"))
        for row in of_command:
            value = at(report, row.key) if reports else printed(done.stdout, row.key)
            inside = row.low <= value <= row.high
            left += not inside
            print(
                f"  {'ok  ' if inside else 'LEFT'} {row.name}: {value:g} ({row.low:g} – {row.high:g})"
            )
    print(f"{len(rows)} figures, {left} left their interval")
    return 1 if left else 0


if __name__ == "__main__":
    sys.exit(main())
