"""The mapping validator: every mutation of a legal mapping is caught, by the rule's name."""

import ast
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import deploy.map.validate
from deploy.connections import Connection, Conv2d, Sparse
from deploy.errors import CheckFailed
from deploy.hardware.chip import LIMITS, Chip, Limit, load_chip
from deploy.hardware.mapping import Core, Mapping, Place, Slice
from deploy.hardware.mesh import placed
from deploy.map.core.costs import RESOURCES, core_report
from deploy.map.cut.slices import by_layer
from deploy.map.validate import require_valid, validate
from deploy.program.program import Dense, Program, make_input, make_population


def small() -> Program:
    """in [5] → a [12] → b [7] → c [3], b recurrent with a delay, two thresholds in a."""
    rng = np.random.default_rng(0)

    def dense(name: str, source: str, target: str, shape: tuple[int, int], **more: int) -> Dense:
        return Dense(name, source, target, 2 * rng.integers(-9, 9, shape, dtype=np.int32), **more)

    return Program(
        (make_input("in", (5,)),),
        (
            make_population("a", (12,), vth=np.repeat([4, 9], 6)),
            make_population("b", (7,), vth=3),
            make_population("c", (3,), kind="integrator"),
        ),
        (
            dense("fc0", "in", "a", (12, 5)),
            dense("fc1", "a", "b", (7, 12), exponent=1),
            dense("rec", "b", "b", (7, 7), delay=1),
            dense("fc2", "b", "c", (3, 7)),
        ),
        (),
    )


CHIP = replace(load_chip("loihi2"), neurons=Limit(5, "a test"))


def legal() -> tuple[Program, Mapping]:
    program = small()
    return program, by_layer(program, CHIP)


def rules(mapping: Mapping, chip: Chip = CHIP) -> set[str]:
    return {v.rule for v in validate(small(), chip, mapping)}


def with_core(mapping: Mapping, position: int, core: Core) -> Mapping:
    cores = list(mapping.cores)
    cores[position] = core
    return replace(mapping, cores=tuple(cores))


def test_the_partitioners_mapping_is_legal() -> None:
    program, mapping = legal()
    assert [c.slices[0].population for c in mapping.cores] == ["a", "a", "a", "b", "b", "c"]
    assert validate(program, CHIP, mapping) == []
    require_valid(program, CHIP, mapping)


def test_dropping_a_core_is_caught() -> None:
    _, mapping = legal()
    for i in range(len(mapping.cores)):
        cut = replace(mapping, cores=mapping.cores[:i] + mapping.cores[i + 1 :])
        assert rules(cut) == {"neurons_mapped_once"}


def test_dropping_one_neuron_is_caught_and_named() -> None:
    program, mapping = legal()
    part = mapping.cores[1].slices[0]
    cut = with_core(mapping, 1, replace(mapping.cores[1], slices=(replace(part, start=5),)))
    violations = validate(program, CHIP, cut)
    assert [v.rule for v in violations] == ["neurons_mapped_once"]
    assert violations[0].message == "layer 'a': 1 neurons are on no core, the first is 4"


def test_duplicating_a_neuron_is_caught() -> None:
    _, mapping = legal()
    part = mapping.cores[1].slices[0]
    wide = with_core(mapping, 1, replace(mapping.cores[1], slices=(replace(part, start=3),)))
    assert rules(wide) == {"neurons_mapped_once"}


def test_duplicating_a_core_is_caught_twice() -> None:
    _, mapping = legal()
    assert rules(replace(mapping, cores=(*mapping.cores, mapping.cores[0]))) == {
        "neurons_mapped_once",
        "core_indices",
    }


def test_moving_neurons_into_a_full_core_is_caught() -> None:
    _, mapping = legal()
    moved = with_core(mapping, 0, Core(0, (Slice("a", 0, 6),)))
    moved = with_core(moved, 1, Core(1, (Slice("a", 6, 8),)))
    assert rules(moved) == {"neurons"}


def test_moving_a_population_onto_anothers_core_counts_both() -> None:
    program, mapping = legal()
    joined = with_core(mapping, 5, Core(5, (Slice("c", 0, 3), Slice("b", 4, 7))))
    joined = with_core(joined, 4, Core(4, (Slice("b", 3, 4),)))
    assert {v.where for v in validate(program, CHIP, joined)} == {"core 5"}
    assert rules(joined) == {"neurons"}


def test_illegal_core_indices_are_caught() -> None:
    _, mapping = legal()
    for index in (-1, 120, 3):
        changed = with_core(mapping, 0, replace(mapping.cores[0], index=index))
        assert rules(changed) == {"core_indices"}


def test_two_cores_on_one_mesh_position_are_caught() -> None:
    _, mapping = legal()
    there = placed(CHIP, mapping)
    assert rules(there) == set()
    for position in (0, 1, 2, 3):  # cores 0..3 share a router, cores 4 and 5 the next
        moved = with_core(there, position, replace(there.cores[position], place=Place(0, 1, 0)))
        assert rules(moved) == {"core_places"}
    alone = replace(CHIP, cores_per_router=Limit(1, "a test"))
    there = placed(alone, mapping)
    joined = with_core(there, 0, replace(there.cores[0], place=there.cores[1].place))
    assert [v.message for v in validate(small(), alone, joined)] == [
        "core 0: placed at (chip, x, y) (0, 1, 0), cores of this index are at (0, 0, 0)",
        "2 cores at chip 0, x 1, y 0, one router has 1",
    ]


def test_neurons_that_do_not_exist_are_caught() -> None:
    _, mapping = legal()
    for part in (Slice("c", 0, 4), Slice("c", 2, 2), Slice("c", -1, 3), Slice("d", 0, 3)):
        assert "slices_exist" in rules(with_core(mapping, 5, Core(5, (part,))))


def test_a_mapping_for_another_chip_is_caught() -> None:
    _, mapping = legal()
    assert rules(replace(mapping, chip="loihi1")) == {"same_chip"}


@pytest.mark.parametrize("resource", RESOURCES)
def test_one_more_than_a_limit_is_caught_by_that_rule_alone(resource: str) -> None:
    program, mapping = legal()
    used = [load["used"][resource] for load in core_report(program, CHIP, mapping)["list"]]
    exact = replace(CHIP, **{resource: Limit(max(used), "a test")})
    assert validate(program, exact, mapping) == []
    below = replace(CHIP, **{resource: Limit(max(used) - 1, "a test")})
    violations = validate(program, below, mapping)
    assert {v.rule for v in violations} == {resource}
    assert len(violations) == used.count(max(used))
    assert (violations[0].used, violations[0].limit) == (max(used), max(used) - 1)


# What breaks each limit of the chip format, beginning with a mapping that is legal, and by which rule.
BREAKS: dict[str, tuple[int, str]] = {
    "cores_per_chip": (5, "core_indices"),
    "neurons": (4, "neurons"),
    "synapse_words": (3, "synapse_words"),
    "input_axons": (4, "input_axons"),
    "output_axons": (3, "output_axons"),
    "neuron_groups": (1, "neuron_groups"),
    "synapse_formats": (1, "synapse_formats"),
    "message_bits": (0, "message_bits"),
    "word_bits": (1, "synapse_words"),
    "synapse_bits": (10_000, "synapse_words"),
    "delay_bits": (100_000, "synapse_words"),
    "axon_bits": (100_000, "synapse_words"),
    "synapses_per_block": (1, "synapse_words"),
    "index_bits": (100_000, "synapse_words"),
    "shared_kernels": (0, "synapse_words"),
    "max_delay": (1, "max_delay"),
    "cores_per_router": (1, "core_places"),
    "mesh_columns": (1, "core_places"),
}
# Costs of a way, and how chips lie beside each other: nothing that a mapping could exceed.
BOUNDS_NOTHING = {"chip_columns", "chip_crossing"}


def test_every_limit_of_the_chip_format_has_a_rule_or_bounds_nothing() -> None:
    assert BREAKS.keys() | BOUNDS_NOTHING == set(LIMITS)
    assert not BREAKS.keys() & BOUNDS_NOTHING


def with_limit(chip: Chip, name: str, value: int) -> Chip:
    return replace(chip, **{name: Limit(value, "a test")})


def all_limits() -> tuple[Program, Chip, Mapping]:
    """A legal mapping of a program in which every limit has something to bound."""
    program = small()
    kernels = Conv2d("conv", "image", "d", np.full((1, 2, 3, 3), 2, np.int32), (8, 8))
    rows = np.arange(4, dtype=np.int32)
    listed = Sparse("list", "b", "c", np.full(3, 2, np.int32), rows[:-1], rows, 7)
    late = replace(program.connections[2], name="late", delay=3)
    program = replace(
        program,
        inputs=(*program.inputs, make_input("image", (2, 8, 8), -3, 3)),
        populations=(*program.populations, make_population("d", (1, 6, 6), vth=5)),
        connections=(*program.connections, kernels, listed, late),
    )
    chip = replace(CHIP, neurons=Limit(40, "a test"), max_delay=Limit(3, "a test"))
    cores = [Core(i, (Slice(p.name, 0, p.size),)) for i, p in enumerate(program.populations)]
    cores += [Core(5, cores.pop().slices)]
    return program, chip, placed(chip, Mapping(chip.name, tuple(cores)))


@pytest.mark.parametrize("limit", BREAKS)
def test_each_limit_is_broken_by_its_rule(limit: str) -> None:
    program, chip, mapping = all_limits()
    # Of words as few as it needs, so that one more is too many.
    needed = max(v.used for v in validate(program, with_limit(chip, "synapse_words", 0), mapping))
    chip = with_limit(chip, "synapse_words", needed)
    assert validate(program, chip, mapping) == []
    value, rule = BREAKS[limit]
    found = validate(program, with_limit(chip, limit, value), mapping)
    # Places follow from the cores of a chip.
    assert {v.rule for v in found} - ({"core_places"} if limit == "cores_per_chip" else set()) == {
        rule
    }
    assert all(v.used > v.limit for v in found if v.rule == rule != "core_places")


@pytest.mark.parametrize("name", ["loihi1", "loihi2"])
def test_validator_and_partitioner_cost_the_same_without_sharing_code(name: str) -> None:
    """A limit below what the partitioner counts is broken by exactly what the validator counts."""
    program = small()
    chip = replace(load_chip(name), synapses_per_block=Limit(2, "a test"))
    mapping = by_layer(program, chip)
    for core in core_report(program, chip, mapping)["list"]:
        for resource, used in core["used"].items():
            if used == 0:
                continue
            below = replace(chip, **{resource: Limit(used - 1, "a test")})
            found = {
                v.used
                for v in validate(program, below, mapping)
                if (v.rule, v.where) == (resource, f"core {core['index']}")
            }
            assert found == {used}


@pytest.mark.parametrize(
    ("low", "high", "bits"),
    [(0, 1, 0), (0, 2, 2), (0, 255, 8), (-1, 1, 2), (-128, 127, 8), (-129, 0, 9), (-3, 200, 9)],
)
def test_graded_messages_need_payload_bits(low: int, high: int, bits: int) -> None:
    program = replace(small(), inputs=(make_input("in", (5,), low, high),))
    mapping = by_layer(program, replace(CHIP, message_bits=Limit(bits, "a test")))
    assert validate(program, replace(CHIP, message_bits=Limit(bits, "a test")), mapping) == []
    if bits:
        below = replace(CHIP, message_bits=Limit(bits - 1, "a test"))
        found = [(v.rule, v.used) for v in validate(program, below, mapping)]
        assert found == [("message_bits", bits)]
        with pytest.raises(CheckFailed, match=f"'in': graded messages of {bits} bits"):
            by_layer(program, below)


def test_the_validator_computes_everything_itself() -> None:
    """Of `deploy` it knows the data that it judges, and nothing that computes with them."""
    tree = ast.parse(Path(deploy.map.validate.__file__).read_text())
    imported = {n.module for n in ast.walk(tree) if isinstance(n, ast.ImportFrom)}
    imported |= {a.name for n in ast.walk(tree) if isinstance(n, ast.Import) for a in n.names}
    assert {name for name in imported if str(name).startswith("deploy")} == {
        "deploy.connections",
        "deploy.errors",
        "deploy.hardware.chip",
        "deploy.hardware.mapping",
        "deploy.neurons",
        "deploy.program.program",
    }
    # Of the kinds of neurons and of connections it asks for data alone: fields, sizes, and the list of
    # synapses of a connection that says nothing else.
    used = {n.attr for n in ast.walk(tree) if isinstance(n, ast.Attribute)}
    computed = {name for name in dir(Connection) if not name.startswith("__")} - {
        *("kind", "listed", "source_size", "target_size", "weight")
    }
    assert {"spread", "lists", "stored", "heard", "fan_in", "classes", "pattern"} <= computed
    assert not used & {"group_registers", "registers", *computed}


def test_require_valid_names_the_first_violation_and_how_many_more() -> None:
    program, mapping = legal()
    with pytest.raises(CheckFailed, match=r"core 0 is listed 2 times \(and 1 more\)"):
        require_valid(program, CHIP, replace(mapping, cores=(*mapping.cores, mapping.cores[0])))
