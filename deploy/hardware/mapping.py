"""`Mapping`: which neurons live on which neurocore, where each core is, and its file `mapping.json`.

    {"format": "neuroclip-mapping", "version": 1, "chip": NAME, "cores": [{"index": 0,
     "slices": [{"population": NAME, "start": 0, "stop": 9}], "place": {"chip": 0, "x": 0, "y": 0}}]}

`place` may be null or left out: the core is not placed.
"""

from dataclasses import asdict, dataclass
from pathlib import Path

from deploy.errors import BadInput
from deploy.fields import described, field, only
from deploy.files import write_json

FORMAT = "neuroclip-mapping"
VERSION = 1


@dataclass(frozen=True)
class Slice:
    """Neurons start ≤ i < stop of a population, in C order of its shape."""

    population: str
    start: int
    stop: int

    @property
    def size(self) -> int:
        """Number of neurons."""
        return self.stop - self.start


@dataclass(frozen=True)
class Place:
    """Where a core is: its chip, and its router on the chip's mesh (x to the east, y to the south)."""

    chip: int
    x: int
    y: int


@dataclass(frozen=True)
class Core:
    """One neurocore of the system; its chip is index // cores_per_chip.

    place: where it is (`deploy.hardware.mesh.place_of` of its index), or None before placement.
    """

    index: int
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


def save_mapping(path: Path, mapping: Mapping) -> None:
    """Write a mapping to one versioned JSON file, atomically."""
    write_json(path, {"format": FORMAT, "version": VERSION} | asdict(mapping))


def load_mapping(path: Path) -> Mapping:
    """Read a mapping file. Raises BadInput naming the file and the key.

    Whether it fits a program and a chip is the validator's business (`deploy.map.validate`).
    """
    path = Path(path)
    entry = described(path, FORMAT, VERSION)
    only(path, "", entry, ("format", "version", "chip", "cores"))
    cores = []
    seen: set[int] = set()
    for i, item in enumerate(field(path, "", entry, "cores", list)):
        where = f"cores[{i}]"
        index = field(path, where, item, "index", int)
        only(path, where, item, ("index", "slices", "place"))
        if index < 0 or index in seen:
            raise BadInput(f"{path}: key '{where}.index' is {index}, negative or used twice")
        seen.add(index)
        slices = tuple(
            _read_slice(path, f"{where}.slices[{j}]", part)
            for j, part in enumerate(field(path, where, item, "slices", list))
        )
        cores.append(Core(index, slices, _read_place(path, f"{where}.place", item.get("place"))))
    return Mapping(field(path, "", entry, "chip", str), tuple(cores))


def _read_slice(path: Path, where: str, entry: object) -> Slice:
    part = Slice(
        field(path, where, entry, "population", str),
        field(path, where, entry, "start", int),
        field(path, where, entry, "stop", int),
    )
    assert isinstance(entry, dict)  # `field` has refused anything else
    only(path, where, entry, ("population", "start", "stop"))
    if not 0 <= part.start < part.stop:
        raise BadInput(
            f"{path}: key '{where}' is {part.start}..{part.stop}, not a range of neurons"
        )
    return part


def _read_place(path: Path, where: str, entry: object) -> Place | None:
    if entry is None:
        return None
    place = Place(*(field(path, where, entry, key, int) for key in ("chip", "x", "y")))
    assert isinstance(entry, dict)  # `field` has refused anything else
    only(path, where, entry, ("chip", "x", "y"))
    if min(place.chip, place.x, place.y) < 0:
        raise BadInput(f"{path}: key '{where}' is {place}, outside every mesh")
    return place
