"""Relays or synaptic delays: the cheaper one under all limits of the chip, and its mapping is legal."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from deploy.connections import Conv2d
from deploy.errors import CheckFailed
from deploy.hardware.chip import Chip, Limit, load_chip
from deploy.map.lower import DELAYS, MIXED, NONE, RELAYS, lower_to_chip
from deploy.map.partition import partition
from deploy.map.validate import validate
from deploy.program.program import Dense, Output, Program, make_input, make_population


def limited(**values: int) -> Chip:
    given = {name: Limit(value, "a test") for name, value in values.items()}
    return replace(load_chip("loihi2"), **given)  # type: ignore[arg-type]


def skip(wide: int, deep: int = 2) -> Program:
    """x [wide] → deep layers of 4, and x → the last of them."""
    names = ["x", *(f"n{i}" for i in range(deep))]
    sizes = [wide] + [4] * deep
    dense = [
        Dense(f"d{i}", names[i], names[i + 1], np.full((4, sizes[i]), 2, np.int32))
        for i in range(deep)
    ]
    late = Dense("skip", "x", names[-1], np.full((4, wide), 2, np.int32))
    populations = tuple(make_population(name, (4,)) for name in names[1:])
    outputs = (Output("out", names[-1], "s"),)
    return Program((make_input("x", (wide,)),), populations, (*dense, late), outputs)


def test_nothing_waits_in_a_chain() -> None:
    program = skip(3, deep=1)
    found = lower_to_chip(
        replace(program, connections=program.connections[:1]), load_chip("loihi2")
    )
    assert (found.way, found.cores) == (NONE, {NONE: 1})
    assert found.to_json()["relays"] == found.to_json()["delayed"] == 0


def test_delays_cost_no_core_where_synapses_have_room() -> None:
    found = lower_to_chip(skip(40), load_chip("loihi2"))
    assert found.way == DELAYS and found.cores == {DELAYS: 2, RELAYS: 3}
    assert found.to_json()["delayed"] == 1 and not found.timed.relays


def test_relays_where_a_chip_has_no_delays_or_delayed_synapses_no_room() -> None:
    without = lower_to_chip(skip(40), limited(max_delay=0))
    assert without.way in (DELAYS, RELAYS) and without.timed.relays == {"x.relay1": "x"}
    # 40 lists of 4 synapses: 82 bits are 2 words, delayed 106 bits too; two layers of 40 lists in all.
    words = limited(synapse_words=100, delay_bits=60)
    found = lower_to_chip(skip(40), words)
    assert found.way == RELAYS and found.cores[DELAYS] is not None
    assert found.cores[RELAYS] is not None and found.cores[RELAYS] < found.cores[DELAYS]


def test_each_source_waits_where_it_is_cheaper() -> None:
    """A wide image that drives much, and a small one whose synapses would not fit once delayed."""
    program = skip(40)
    kernels = np.full((8, 2, 3, 3), 2, np.int32)
    more = (
        Conv2d("c0", "image", "m0", kernels[:2], (8, 8), padding=(1, 1)),
        Conv2d("c1", "m0", "m1", kernels, (8, 8), padding=(1, 1)),
        Conv2d("c2", "image", "m1", kernels, (8, 8), padding=(1, 1)),
    )
    both = Program(
        (*program.inputs, make_input("image", (2, 8, 8))),
        (*program.populations, make_population("m0", (2, 8, 8)), make_population("m1", (8, 8, 8))),
        (*program.connections, *more),
        program.outputs,
    )
    found = lower_to_chip(both, limited(synapse_words=120, delay_bits=60, neurons=128))
    assert MIXED in found.cores and found.cores[MIXED] == min(n for n in found.cores.values() if n)
    assert set(found.timed.relays.values()) == {"x"}


def test_what_fits_in_no_way_is_refused() -> None:
    with pytest.raises(CheckFailed, match="synapse words"):
        lower_to_chip(skip(40), limited(synapse_words=10))


@pytest.mark.parametrize("seed", range(6))
def test_the_mapping_of_a_lowered_program_is_legal(
    random_program: Callable[..., Program], seed: int
) -> None:
    program = random_program(seed, kinds="all")
    on = lower_to_chip(program, load_chip("loihi2"))
    mapping = partition(on.timed.program, load_chip("loihi2"))
    assert validate(on.timed.program, load_chip("loihi2"), mapping) == []
