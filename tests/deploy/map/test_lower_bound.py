"""The lower bound on packets: below every legal mapping's, whatever made it, and reached where it can be."""

from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace

import numpy as np
import pytest

from deploy.connections import Dense, Sparse, expand
from deploy.errors import CheckFailed
from deploy.hardware.chip import Chip, Limit, load_chip
from deploy.hardware.mapping import Core, Mapping, Slice
from deploy.map.cut.slices import by_layer, to_mapping
from deploy.map.lower_bound import fewest_packets
from deploy.map.partition import partition
from deploy.map.validate import validate
from deploy.program.program import Program, make_input, make_population

Make = Callable[..., Program]


def chip_of(**limits: int | None) -> Chip:
    changed = {name: Limit(value, "a test") for name, value in limits.items()}
    return replace(load_chip("loihi2"), chips=100, **changed)


def packets(program: Program, mapping: Mapping, sent: dict[str, np.ndarray]) -> int:
    """Messages to cores other than the sender's own, by the list of every synapse."""
    core_of = {node.name: np.full(node.size, -1) for node in program.sources}
    for core in mapping.cores:
        for part in core.slices:
            core_of[part.population][part.start : part.stop] = core.index
    total = 0
    for node in program.sources:
        reached: set[tuple[int, int]] = set()
        for c in program.out_of(node.name):
            of = expand(c)
            rows = np.repeat(core_of[c.target], np.diff(of.indptr))
            reached |= set(zip(of.indices.tolist(), rows.tolist(), strict=True))
        messages, home = sent[node.name].reshape(-1), core_of[node.name]
        total += sum(int(messages[i]) for i, core in reached if home[i] != core)
    return total


def dealt(program: Program, chip: Chip, rng: np.random.Generator) -> Mapping | None:
    """A legal mapping in which layers share cores, filled as far as one more neuron fits; or None."""
    names = [(p.name, i) for p in program.populations for i in range(p.size)]
    if rng.random() < 0.5:
        names = [names[i] for i in rng.permutation(len(names))]
    for per_core in (60, 24, 12, 6, 3, 1):
        cores = tuple(
            Core(k, tuple(Slice(n, i, i + 1) for n, i in names[first : first + per_core]))
            for k, first in enumerate(range(0, len(names), per_core))
        )
        mapping = Mapping(chip.name, cores)
        if not validate(program, chip, mapping):
            return mapping
    return None


@pytest.mark.parametrize("kinds", ["plain", "all"])
@pytest.mark.parametrize("words", [40, 300, 12_000])
def test_no_legal_mapping_has_fewer_packets(random_program: Make, kinds: str, words: int) -> None:
    checked = reached = 0
    for seed in range(7):
        rng = np.random.default_rng(seed)
        program = random_program(seed, kinds=kinds)
        sent = {n.name: rng.integers(0, 9, n.shape) for n in program.sources}
        chip = chip_of(
            neurons=int(rng.integers(5, 40)), synapse_words=words, neuron_groups=1000,
            shared_kernels=int(rng.integers(0, 2)), synapses_per_block=int(rng.integers(2, 60)),
        )  # fmt: skip
        bound = fewest_packets(program, chip, sent)
        found = [dealt(program, chip, rng) for _ in range(3)]
        with suppress(CheckFailed):  # what fits only with layers on one core
            found += [by_layer(program, chip), partition(program, chip, sent, library=False)]
        for mapping in found:
            if mapping is not None:
                assert validate(program, chip, mapping) == []
                number = packets(program, mapping, sent)
                assert bound <= number
                checked, reached = checked + 1, reached + (0 < bound == number)
    assert checked >= 6
    assert reached or words != 12_000 or kinds != "plain"


def test_two_layers_fill_one_core_each_with_a_resource_of_its_own() -> None:
    """Nine neurons take nine tenths of a core's neurons, the tenth nearly all of its words."""
    rows = np.arange(10, dtype=np.int32)
    program = Program(
        (make_input("in", (600,)),),
        (make_population("many", (9,), vth=9), make_population("heavy", (1,), vth=9)),
        (
            Sparse("few", "in", "many", np.full(9, 2, np.int32), rows[:-1], rows, 600),
            Dense("all", "in", "heavy", np.full((1, 600), 2, np.int32)),
        ),
        (),
    )
    chip = chip_of(neurons=10, synapse_words=660)
    slices = (Slice("many", 0, 9), Slice("heavy", 0, 1))
    mapping = Mapping(chip.name, (Core(0, slices),))
    assert validate(program, chip, mapping) == []
    sent = {node.name: np.ones(node.shape, int) for node in program.sources}
    assert fewest_packets(program, chip) == packets(program, mapping, sent) == 600


def test_the_bound_is_reached_by_one_layer_in_as_few_cores_as_hold_it() -> None:
    weight = np.full((8, 5), 2, np.int32)
    program = Program(
        (make_input("in", (5,)),),
        (make_population("a", (8,), vth=9), make_population("b", (8,), vth=9)),
        (
            Dense("fc", "in", "a", weight),
            Dense("on", "a", "b", np.full((8, 8), 2, np.int32)),
        ),
        (),
    )
    chip = chip_of(neurons=4)
    assert fewest_packets(program, chip) == 5 * 2 + 8 * 2
    parts = {"a": np.repeat([0, 1], 4), "b": np.repeat([2, 3], 4)}
    sent = {node.name: np.ones(node.shape, int) for node in program.sources}
    assert packets(program, to_mapping(chip, parts), sent) == 26
