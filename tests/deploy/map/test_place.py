"""Places on the mesh: coordinates, hops by hand, and the mapping file that carries them."""

import json
from pathlib import Path

import numpy as np
import pytest

from deploy.errors import BadInput
from deploy.hardware.chip import Chip, load_chip
from deploy.hardware.mapping import Core, Mapping, Place, Slice, load_mapping, save_mapping
from deploy.hardware.mesh import apart, coordinates, distances, place_of, placed


def test_cores_four_to_a_router_eight_routers_to_a_row() -> None:
    chip = load_chip("loihi1")
    assert [place_of(chip, i) for i in (0, 3, 4, 31, 32, 127)] == [
        Place(0, 0, 0), Place(0, 0, 0), Place(0, 1, 0), Place(0, 7, 0), Place(0, 0, 1), Place(0, 7, 3),
    ]  # fmt: skip
    assert place_of(load_chip("kapoho-point"), 120 * 5 + 4) == Place(5, 1, 0)


def way(chip: Chip, a: int, b: int) -> tuple[int, int, int]:
    """(east–west, north–south, chips) from one core to another."""
    start, end = (coordinates(chip, np.array(i)) for i in (a, b))
    found = apart(start, end)
    return int(found.east_west), int(found.north_south), int(found.chips)


def test_hops_by_hand() -> None:
    chip = load_chip("loihi1")
    assert way(chip, 0, 3) == (0, 0, 0)
    assert way(chip, 0, 127) == way(chip, 127, 0) == (7, 3, 0)
    board = load_chip("kapoho-point")  # chips 4 × 2, each of 8 × 4 routers
    assert way(board, 0, 120) == (8, 0, 1)
    assert way(board, 0, 120 * 7 + 4) == (3 * 8 + 1, 4, 4)


def test_distances_are_the_hops_of_every_pair() -> None:
    board = load_chip("kapoho-point")
    indices = [0, 5, 119, 120, 500, 959]
    found = distances(board, indices)
    for a, i in enumerate(indices):
        for b, j in enumerate(indices):
            one = way(board, i, j)
            assert (found.east_west[a, b], found.north_south[a, b], found.chips[a, b]) == one
            assert found.cost(board)[a, b] == one[0] + one[1] + 16 * one[2]


def test_a_placed_mapping_survives_its_file_and_one_without_places_loads(tmp_path: Path) -> None:
    chip = load_chip("loihi2")
    mapping = Mapping("loihi2", (Core(0, (Slice("a", 0, 3),)), Core(9, (Slice("a", 3, 5),))))
    there = placed(chip, mapping)
    assert [core.place for core in there.cores] == [Place(0, 0, 0), Place(0, 2, 0)]
    path = tmp_path / "mapping.json"
    save_mapping(path, there)
    assert load_mapping(path) == there
    old = json.loads(path.read_text())
    for core in old["cores"]:
        del core["place"]
    path.write_text(json.dumps(old))
    assert load_mapping(path) == mapping


@pytest.mark.parametrize(
    "place", [{"chip": 0, "x": -1, "y": 0}, {"chip": 0, "x": 0}, {"chip": 0, "x": 0, "y": 0, "z": 0}, 7]
)  # fmt: skip
def test_a_damaged_place_is_refused_naming_file_and_key(tmp_path: Path, place: object) -> None:
    path = tmp_path / "mapping.json"
    core = {"index": 0, "slices": [], "place": place}
    entry = {"format": "neuroclip-mapping", "version": 1, "chip": "loihi2", "cores": [core]}
    path.write_text(json.dumps(entry))
    with pytest.raises(BadInput, match=r"mapping\.json: .*cores\[0\]\.place"):
        load_mapping(path)
