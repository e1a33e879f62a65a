"""Tiles of channels and positions: legal, the fewest that fit, and fewer cores than any one order."""

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from deploy.connections import Connection, Conv2d, Dense, sum_pool
from deploy.errors import CheckFailed
from deploy.hardware.chip import Chip, Limit, load_chip
from deploy.map.cut.orders import orders
from deploy.map.cut.slices import by_layer, to_mapping
from deploy.map.cut.tiles import tile_parts
from deploy.map.partition import partition, require_fit
from deploy.map.validate import validate
from deploy.program.program import Program, make_input, make_population


def chip_of(name: str = "loihi2", **limits: int) -> Chip:
    return replace(load_chip(name), **{k: Limit(v, "a test") for k, v in limits.items()})  # type: ignore[arg-type]


def network(
    channels: tuple[int, ...], side: int, kernel: int = 3, groups: int = 1, stride: int = 1
) -> Program:
    """Convolutions one after another, padded, of these channels; the first are the input's."""
    connections: list[Connection] = []
    populations = []
    shape = (channels[0], side, side)
    source = make_input("in", shape)
    for i, (a, b) in enumerate(pairwise(channels)):
        weight = np.full((b, a // groups, kernel, kernel), 2, np.int32)
        size, pad = (shape[1], shape[2]), (kernel // 2, kernel // 2)
        name = "in" if i == 0 else f"l{i - 1}"
        c = Conv2d(f"c{i}", name, f"l{i}", weight, size, (stride, stride), pad, groups=groups)
        connections.append(c)
        shape = c.target_shape
        populations.append(make_population(f"l{i}", shape))
    return Program((source,), tuple(populations), tuple(connections), ())


def rectangles(part: np.ndarray, shape: tuple[int, int, int]) -> bool:
    """Whether every part is a group of channels over a rectangle of positions."""
    for i in range(int(part.max()) + 1):
        held = np.argwhere((part == i).reshape(shape))
        if not len(held) or int(np.prod(held.max(0) - held.min(0) + 1)) != len(held):
            return False
    return True


def test_a_wide_convolution_needs_channels_and_positions_split() -> None:
    """By hand: 40 of 80 output channels are 64 · 102 = 6 528 words, and 4 rows see 64 · 5 · 8 axons."""
    program = network((64, 80), 8)
    chip = chip_of(synapse_words=6528, input_axons=64 * 5 * 8)
    found = tile_parts(program, chip)
    assert found is not None
    assert int(found["l0"].max()) + 1 == 4 and rectangles(found["l0"], (80, 8, 8))
    assert validate(program, chip, to_mapping(chip, found)) == []
    tight = chip_of(synapse_words=6527, input_axons=64 * 5 * 8)
    more = tile_parts(program, tight)
    assert more is not None and int(more["l0"].max()) + 1 == 6  # of 27 channels
    for ordering in (None, orders(program)):
        assert len(by_layer(program, replace(chip, chips=8), ordering).cores) > 4
    mapping = partition(program, chip)
    assert len(mapping.cores) == 4 and validate(program, chip, mapping) == []


@settings(max_examples=20, deadline=None)
@given(
    width=st.integers(1, 6),
    side=st.integers(1, 9),
    kernel=st.sampled_from([1, 3]),
    stride=st.integers(1, 2),
    grouped=st.booleans(),
    neurons=st.integers(4, 60),
    words=st.integers(20, 200),
    axons=st.integers(30, 200),
    sent=st.integers(10, 200),
)
def test_tiles_are_legal_rectangles(
    width: int, side: int, kernel: int, stride: int, grouped: bool, neurons: int, words: int,
    axons: int, sent: int,
) -> None:  # fmt: skip
    program = network((width, width, width, width), side, kernel, width if grouped else 1, stride)
    chip = chip_of(
        "hala-point", neurons=neurons, synapse_words=words, input_axons=axons, output_axons=sent
    )
    found = tile_parts(program, chip)
    if found is None:
        return
    assert validate(program, chip, to_mapping(chip, found)) == []
    mapping = partition(program, chip, library=False)
    assert validate(program, chip, mapping) == []
    assert len(mapping.cores) <= max(int(part.max()) for part in found.values()) + 1


def test_other_populations_are_cut_in_their_order() -> None:
    image = network((4, 8), 6)
    weight = np.full((50, 8 * 36), 2, np.int32)
    program = Program(
        image.inputs,
        (*image.populations, make_population("sum", (8, 1, 1)), make_population("out", (50,))),
        (
            *image.connections,
            sum_pool("total", "l0", "sum", (8, 6, 6), (6, 6)),
            Dense("fc", "l0", "out", weight),
        ),
        (),
    )
    chip = chip_of(neurons=36)
    found = tile_parts(program, chip)
    assert found is not None
    assert [len(np.unique(part)) for part in found.values()] == [8, 1, 2]
    assert validate(program, chip, to_mapping(chip, found)) == []


def test_a_loop_is_cut_until_nothing_changes() -> None:
    weight = np.full((8, 8, 3, 3), 2, np.int32)
    program = network((8, 8), 8)
    own = Conv2d("own", "l0", "l0", weight, (8, 8), padding=(1, 1), delay=1)
    program = replace(program, connections=(*program.connections, own))
    chip = chip_of(neurons=64, output_axons=200)
    found = tile_parts(program, chip)
    assert found is not None
    assert validate(program, chip, to_mapping(chip, found)) == []


def test_what_does_not_fit_is_refused_by_the_layers_as_before() -> None:
    program = network((64, 80), 8)
    chip = chip_of(input_axons=64 * 4 - 1)
    assert tile_parts(program, chip) is None
    with pytest.raises(CheckFailed, match=r"layer 'l0': .* input axons of a single neuron"):
        require_fit(program, chip)
    few = chip_of(synapse_words=1000, cores_per_chip=4)
    assert not isinstance(tile_parts(program, few), dict)
    with pytest.raises(CheckFailed, match="exceed the 4 of 'loihi2'"):
        require_fit(program, few)


@pytest.mark.parametrize("words", [700, 1000, 2000])
def test_a_system_of_as_many_cores_as_the_refusal_tells_holds_the_network(words: int) -> None:
    program = network((16, 16, 16), 8)
    large = chip_of(synapse_words=words, cores_per_chip=500)
    parts = tile_parts(program, large)
    assert isinstance(parts, dict)
    needed = 1 + max(int(part.max()) for part in parts.values())
    small = chip_of(synapse_words=words, cores_per_chip=needed - 1)
    with pytest.raises(
        CheckFailed, match=rf" of {needed} cores that .* by 1; use a system of 2 chips"
    ):
        require_fit(program, small)
    require_fit(program, chip_of(synapse_words=words, cores_per_chip=needed))
