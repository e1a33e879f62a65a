"""`Mapping`: which neurons live on which neurocore, where each core is, and its file `mapping.json`.

    {"format": "neuroclip-mapping", "version": 1, "chip": NAME, "cores": [{"index": 0,
     "slices": [{"population": NAME, "start": 0, "stop": 9}], "place": {"chip": 0, "x": 0, "y": 0}}]}

`place` may be null or left out: the core is not placed.
"""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any

from msgspec import Meta, convert

from deploy.decode import structure
from deploy.errors import BadInput
from deploy.fields import Described, described
from deploy.files import write_json

FORMAT = "neuroclip-mapping"
VERSION = 1

_Count = Annotated[int, Meta(ge=0, lt=2**31)]


@dataclass(frozen=True)
class Slice:
    """Neurons start ≤ i < stop of a population, in C order of its shape."""

    population: str
    start: _Count
    stop: _Count

    @property
    def size(self) -> int:
        """Number of neurons."""
        return self.stop - self.start


@dataclass(frozen=True)
class Place:
    """Where a core is: its chip, and its router on the chip's mesh (x to the east, y to the south)."""

    chip: _Count
    x: _Count
    y: _Count


@dataclass(frozen=True)
class Core:
    """One neurocore of the system; its chip is index // cores_per_chip.

    place: where it is (`deploy.hardware.mesh.place_of` of its index), or None before placement.
    """

    index: _Count
    slices: tuple[Slice, ...]
    place: Place | None = None


@dataclass(frozen=True)
class Mapping:
    """Every used core of the system `chip` with its neurons. Inputs stay on the host."""

    chip: str
    cores: tuple[Core, ...]

    def cores_of(self, population: str) -> tuple[Core, ...]:
        """The cores that hold neurons of a population."""
        return tuple(c for c in self.cores if any(s.population == population for s in c.slices))


_Slice: Any = structure(Slice)
_Place: Any = structure(Place)
_Core: Any = structure(Core, slices=tuple[_Slice, ...], place=_Place | None)


class _MappingFile(Described, frozen=True):
    chip: str
    cores: tuple[_Core, ...]


def save_mapping(path: str | Path, mapping: Mapping) -> None:
    """Write a mapping to one versioned JSON file, atomically."""
    path = Path(path)
    write_json(path, {"format": FORMAT, "version": VERSION} | asdict(mapping))


def load_mapping(path: str | Path) -> Mapping:
    """Read a mapping file. Raises BadInput naming the file and the key.

    Whether it fits a program and a chip is the validator's business (`deploy.map.validate`).
    """
    path = Path(path)
    found = described(path, FORMAT, VERSION, _MappingFile)
    cores = convert(found.cores, tuple[Core, ...], from_attributes=True)
    seen: set[int] = set()
    for i, core in enumerate(cores):
        if core.index in seen:
            raise BadInput(f"{path}: key 'cores[{i}].index' is {core.index}, used twice")
        seen.add(core.index)
        for j, part in enumerate(core.slices):
            if part.start >= part.stop:
                raise BadInput(
                    f"{path}: key 'cores[{i}].slices[{j}]' is {part.start}..{part.stop}, "
                    "not a range of neurons"
                )
    return Mapping(found.chip, cores)
