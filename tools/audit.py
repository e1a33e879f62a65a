"""`make audit`: known faults of the pinned versions; fails where docs/security.md does not answer one.

audit.py FAULTS [CONSTRAINTS ...]: FAULTS is JSON, {package: [{"id", "cve", "v", "advisory"}]}; "v" are the
versions concerned as in pip's requirements ("<2.6.0", ">=10.3,<12.2"), "advisory" says what it is.
"""

import json
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[1]
ANSWERS = ROOT / "docs" / "security.md"
PINS = (ROOT / "constraints.txt", ROOT / "constraints-core.txt")
_NAMES = re.compile(r"CVE-\d{4}-\d{4,}|GHSA(?:-[0-9a-z]{4}){3}")


@dataclass(frozen=True)
class Fault:
    """What is known against a pinned version: names are those it goes by."""

    package: str
    version: str
    names: tuple[str, ...]
    what: str


def pins(path: Path) -> Iterator[tuple[str, str]]:
    """Package and version of each line `name==version ; marker` of a constraints file."""
    for line in path.read_text().splitlines():
        if not line.startswith("#"):
            requirement = Requirement(line)
            yield canonicalize_name(requirement.name), str(requirement.specifier).removeprefix("==")


def faults(known: dict[str, list[dict[str, str]]], path: Path) -> Iterator[Fault]:
    """Those of a constraints file's versions. Raises packaging's InvalidSpecifier where `v` is none."""
    by_name = {canonicalize_name(name): said for name, said in known.items()}
    for package, version in pins(path):
        for said in by_name.get(package, []):
            if SpecifierSet(said["v"]).contains(version, prereleases=True):
                names = tuple(n for n in (said["cve"], said["id"]) if _NAMES.fullmatch(n))
                yield Fault(package, version, names, said["advisory"])


def unanswered(found: list[Fault], answers: str) -> list[Fault]:
    """Those of which no name stands in the answers."""
    answered = set(_NAMES.findall(answers))
    return [fault for fault in found if not answered & set(fault.names)]


def main(arguments: list[str]) -> int:
    """1 where a fault is not answered."""
    known = json.loads(Path(arguments[0]).read_text())
    status = 0
    for path in map(Path, arguments[1:] or PINS):
        found = list(faults(known, path))
        missing = unanswered(found, ANSWERS.read_text())
        covered = len(
            {canonicalize_name(name) for name in known} & {name for name, _ in pins(path)}
        )
        print(
            f"{path.name}: {len(list(pins(path)))} pins, {covered} in the file of faults, ", end=""
        )
        print(f"{len(found)} faults, {len(missing)} not answered in docs/security.md")
        for fault in missing:
            print(f"  {fault.package} {fault.version}: {' '.join(fault.names)}: {fault.what}")
        status |= bool(missing)
    return status


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
