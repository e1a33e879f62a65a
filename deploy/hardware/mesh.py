"""Where cores are on the mesh, and how far messages go between them.

Routers form a mesh on every chip, and chips a grid. A message goes east–west, then north–south:

    cost = |Δx| + |Δy| + chip_crossing · (|Δchip x| + |Δchip y|)

with x, y counted over the whole system, as if the meshes of neighbouring chips were joined. Core i
of a chip is at router i // cores_per_router, router r at (r mod mesh_columns, r // mesh_columns).
Every destination core gets a message of its own, as on Loihi. Inputs come from the host, which
is nowhere on the mesh: their messages take no hops here.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from deploy.hardware.chip import Chip, amount
from deploy.hardware.mapping import Core, Mapping, Place

Ints = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Distances:
    """How far messages go: hops of the mesh both ways, and steps from chip to chip. int64 each."""

    east_west: Ints
    north_south: Ints
    chips: Ints

    @property
    def hops(self) -> Ints:
        """All hops of the mesh."""
        return self.east_west + self.north_south

    def cost(self, chip: Chip) -> Ints:
        """Hops, with every step from chip to chip as chip_crossing of them."""
        return self.hops + amount(chip.chip_crossing) * self.chips


def place_of(chip: Chip, index: int) -> Place:
    """Where the core of an index is."""
    on, within = divmod(index, amount(chip.cores_per_chip))
    y, x = divmod(within // amount(chip.cores_per_router), amount(chip.mesh_columns))
    return Place(on, x, y)


def placed(chip: Chip, mapping: Mapping) -> Mapping:
    """The mapping with the place of every core written in."""
    cores = (Core(core.index, core.slices, place_of(chip, core.index)) for core in mapping.cores)
    return Mapping(mapping.chip, tuple(cores))


def distances(chip: Chip, indices: Sequence[int] | Ints) -> Distances:
    """How far messages go between all the cores of these indices: [cores, cores], row to column."""
    at = coordinates(chip, np.asarray(indices, np.int64))
    return apart(at[:, :, None], at[:, None, :])


def apart(a: Ints, b: Ints) -> Distances:
    """How far messages go from each of some coordinates (as `coordinates` gives them) to another."""
    x, y, chip_x, chip_y = np.abs(a - b)
    return Distances(x, y, chip_x + chip_y)


def coordinates(chip: Chip, indices: Ints) -> Ints:
    """Rows x, y, chip x, chip y of cores in the whole system, x and y of routers: int64 [4, cores]."""
    per_chip, per_router = amount(chip.cores_per_chip), amount(chip.cores_per_router)
    columns = amount(chip.mesh_columns)
    rows = (per_chip - 1) // per_router // columns + 1
    on, within = np.divmod(indices, per_chip)
    chip_y, chip_x = np.divmod(on, amount(chip.chip_columns))
    y, x = np.divmod(within // per_router, columns)
    return np.stack([chip_x * columns + x, chip_y * rows + y, chip_x, chip_y])
