"""`Chip`: the limits of neuromorphic hardware as data, each with its source.

A user's own chip is a JSON file of this form, given by its path wherever a chip's name is:

    {"format": "neuroclip-chip", "version": 1, "name": "mine", "description": "what it is",
     "extends": "loihi2",
     "chips": 2,
     "limits": {"neurons": {"value": 2048, "source": "data sheet, page 7", "assumption": false}}}

`extends` names a bundled chip whose limits hold wherever this file gives none; without it every
limit of `Chip` must be given. `assumption` is true for a value that nobody has published.
"""

from dataclasses import dataclass, fields
from pathlib import Path
from typing import Annotated, Any

from msgspec import UNSET, Meta, UnsetType, defstruct
from msgspec.structs import asdict, astuple

from deploy.errors import BadInput
from deploy.fields import Described, bundled, described, find_described

FORMAT = "neuroclip-chip"
VERSION = 1


@dataclass(frozen=True)
class Limit:
    """One number of a chip: its value, where it is from, and whether it is our assumption.

    A value of None: not published, so neither used nor checked.
    """

    value: int | None
    source: str
    assumption: bool = False


@dataclass(frozen=True)
class Chip:
    """A system of equal chips and the limits of each neurocore.

    The costs behind the limits, for a core of n target neurons (see `deploy.map.core.costs`):
    an input axon's synapse list takes n·(synapse_bits [+ delay_bits] [+ index_bits]) + axon_bits
    bits, in blocks of at most synapses_per_block synapses, each rounded up to words of word_bits.
    """

    name: str
    description: str
    chips: int
    """Chips in the system."""
    cores_per_chip: Limit
    neurons: Limit
    """Neurons a core."""
    synapse_words: Limit
    """Words of synapse memory a core."""
    input_axons: Limit
    """Synapse lists a core can be addressed by."""
    output_axons: Limit
    """(Neuron, destination core) pairs a core can send to."""
    neuron_groups: Limit
    """Distinct (du, dv, vth) a core, as far as a kind has them, counted per population; the bias is
    per neuron."""
    synapse_formats: Limit
    """Distinct (exponent, delayed or not) a core."""
    message_bits: Limit
    """Payload bits of a graded message; 0 where a message is a bare spike."""
    word_bits: Limit
    synapse_bits: Limit
    """Bits of one 8-bit synapse in a dense list."""
    delay_bits: Limit
    """Further bits of a synapse that has a delay."""
    axon_bits: Limit
    """Bits of a synapse block's header."""
    synapses_per_block: Limit
    """Synapses under one header; None for any number."""
    index_bits: Limit
    """Further bits of a synapse in a sparse list: which target it is for."""
    shared_kernels: Limit
    """1 where a core stores a convolution's kernels once, 0 where it lists every synapse."""
    max_delay: Limit
    """Steps that a synapse can be delayed by."""
    cores_per_router: Limit
    """Cores at one router of the mesh; a message between them takes no hop."""
    mesh_columns: Limit
    """Routers of a chip from east to west; router r is at (r mod columns, r // columns)."""
    chip_columns: Limit
    """Chips of the system from east to west; chip c is at (c mod columns, c // columns)."""
    chip_crossing: Limit
    """What one step from a chip to its neighbour costs, in hops of the mesh."""

    @property
    def cores(self) -> int:
        """Neurocores of the whole system."""
        return self.chips * amount(self.cores_per_chip)

    @property
    def assumptions(self) -> tuple[str, ...]:
        """Names of the limits that are assumptions."""
        return tuple(name for name in LIMITS if getattr(self, name).assumption)


LIMITS = tuple(f.name for f in fields(Chip) if f.name not in ("name", "description", "chips"))
# Limits that may be unknown (null): what they bound is then not checked.
_OPTIONAL = ("synapse_formats", "synapses_per_block", "output_axons")

_MAY_BE_ZERO = (
    *("message_bits", "delay_bits", "axon_bits", "index_bits", "shared_kernels"),
    *("max_delay", "chip_crossing"),
)

# What a description that gives neither these nor `extends` gets: they came later than the format.
_UNSAID = {
    "max_delay": Limit(62, "not given; the 62 steps that every program keeps to", True),
    "cores_per_router": Limit(1, "not given; a router for each core", True),
    "mesh_columns": Limit(8, "not given; as on Loihi", True),
    "chip_columns": Limit(1, "not given; chips in one row from north to south", True),
    "chip_crossing": Limit(16, "not given; the cost of leaving a chip is not public", True),
}


def _entry(name: str) -> type:
    """How a file gives one limit."""
    number: Any = Annotated[int, Meta(ge=0 if name in _MAY_BE_ZERO else 1, lt=2**31)]
    keys: list[tuple[str, Any]] = [
        ("value", number | None if name in _OPTIONAL else number), ("source", str),
        ("assumption", bool),
    ]  # fmt: skip
    return defstruct(name, keys, forbid_unknown_fields=True)


_given: list[Any] = [(name, _entry(name) | UnsetType, UNSET) for name in LIMITS]
_Limits: Any = defstruct("Limits", _given, forbid_unknown_fields=True)


class _ChipFile(Described, frozen=True, kw_only=True):
    name: str
    description: str
    chips: Annotated[int, Meta(ge=1, lt=2**31)]
    limits: _Limits
    extends: str | None = None


def amount(limit: Limit) -> int:
    """The value of a limit that every chip must give."""
    assert limit.value is not None  # load_chip refuses null where a value is needed
    return limit.value


def known_chips() -> tuple[str, ...]:
    """Names of the bundled chips."""
    return tuple(bundled("hardware/chips"))


def load_chip(name_or_path: str | Path) -> Chip:
    """Read a bundled chip by name or a user's own by path.

    Raises BadInput: an unknown name (listing the known ones), or a damaged file (naming its key).

        >>> load_chip("loihi2").cores
        120
    """
    path = find_described("chip", "hardware/chips", name_or_path)
    found = described(path, FORMAT, VERSION, _ChipFile)
    limits = dict(_UNSAID)
    if found.extends is not None:
        base, chips = found.extends, bundled("hardware/chips")
        if base not in chips or chips[base] == path:
            raise BadInput(f"{path}: key 'extends' is {base!r}, expected one of {', '.join(chips)}")
        parent = load_chip(base)
        limits = {name: getattr(parent, name) for name in LIMITS}
    given = {name: entry for name, entry in asdict(found.limits).items() if entry is not UNSET}
    limits |= {name: Limit(*astuple(entry)) for name, entry in given.items()}
    for name in LIMITS:
        if name not in limits:
            raise BadInput(f"{path}: key 'limits.{name}' is missing")
        if not limits[name].source.strip():
            raise BadInput(f"{path}: key 'limits.{name}.source' is empty; every limit needs one")
    return Chip(found.name, found.description, found.chips, **limits)
