"""Cuts layer by layer: calibration against Intel's compiler, limits, errors, and the mapping file."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from deploy.errors import BadInput, CheckFailed
from deploy.hardware.chip import Chip, Limit, load_chip
from deploy.hardware.mapping import Core, Mapping, Slice, load_mapping, save_mapping
from deploy.map.core.costs import RESOURCES, axon_words, core_report
from deploy.map.cut.slices import by_layer
from deploy.map.validate import validate
from deploy.program.program import Dense, Program, make_input, make_population


def network(*sizes: int, delay: int = 0, vth: Any = 100, recurrent: int | None = None) -> Program:
    """A dense network in → l0 → l1 → …, optionally with a recurrent connection on one layer."""
    names = ["in", *(f"l{i}" for i in range(len(sizes) - 1))]
    connections = [
        Dense(
            f"fc{i}",
            names[i],
            names[i + 1],
            np.zeros((sizes[i + 1], sizes[i]), np.int32),
            delay=delay,
        )
        for i in range(len(sizes) - 1)
    ]
    if recurrent is not None:
        n = sizes[recurrent + 1]
        own = Dense("rec", f"l{recurrent}", f"l{recurrent}", np.zeros((n, n), np.int32), delay=2)
        connections.append(own)
    populations = tuple(
        make_population(name, (n,), vth=vth) for name, n in zip(names[1:], sizes[1:], strict=True)
    )
    return Program((make_input("in", (sizes[0],)),), populations, tuple(connections), ())


def limited(**values: int | None) -> Chip:
    """loihi2 with some limits replaced."""
    changed = {name: Limit(value, "a test") for name, value in values.items() if name != "chips"}
    return replace(
        load_chip("loihi2"), **changed, **{k: v for k, v in values.items() if k == "chips"}
    )  # type: ignore[arg-type]


def slices(mapping: Mapping) -> list[tuple[str, int, int]]:
    return [(s.population, s.start, s.stop) for core in mapping.cores for s in core.slices]


# What Intel's compiler printed in public notebooks (lava-dl netx/oxford/runLoihi.ipynb and
# run.ipynb), synapse words of one core: (axons, neurons, words, compiler).
PRINTED_WORDS = [
    (256, 200, 14592, "August 2022"),
    (200, 256, 14600, "August 2022"),
    (256, 128, 9472, "August 2022"),
    (256, 200, 16128, "September 2022"),
    (200, 256, 16200, "September 2022"),
]


def test_words_of_an_axon_against_the_allocations_that_intels_compiler_prints() -> None:
    chip = load_chip("loihi2")
    print("\nsynapse words of one core: Intel's compiler, ours, deviation")
    deviations = []
    for axons, neurons, printed, compiler in PRINTED_WORDS:
        ours = axons * int(axon_words(chip, np.int64(neurons), delayed=False))
        deviations.append(ours / printed - 1)
        print(f"  {axons} × {neurons} ({compiler}): {printed} {ours} {deviations[-1]:+.1%}")
    assert deviations[:3] == [0, 0, 0]  # the one whose costing ours is
    assert all(-0.10 < d < -0.09 for d in deviations[3:])  # 20 bits a synapse instead of 18


def test_mnist_network_against_intels_compiler() -> None:
    """784-128-64-10: Intel's compiler used 3 + 1 + 1 cores and 78.4 / 16.8 / 1.6 % synapse words."""
    program, chip = network(784, 128, 64, 10), load_chip("loihi2")
    report = core_report(program, chip, by_layer(program, chip))
    limit = report["utilisation"]["synapse_words"]["limit"]
    print("\nMNIST 784-128-64-10 on loihi2: cores and mean synapse use per core, Intel's, ours")
    deviations = {}
    for name, cores, share in (("l0", 3, 0.784), ("l1", 1, 0.168), ("l2", 1, 0.016)):
        used = [
            core["used"]["synapse_words"]
            for core in report["list"]
            if core["slices"][0]["population"] == name
        ]
        ours = sum(used) / len(used) / limit
        deviations[name] = ours / share - 1
        print(
            f"  {name}: {cores} {len(used)} cores, {share:.1%} {ours:.1%} "
            f"({deviations[name]:+.1%}; per core {', '.join(f'{u / limit:.1%}' for u in used)})"
        )
        assert len(used) == cores
    assert report["used"] == 5
    # Not equal, and on the cautious side: how the compiler gets to 16.8 % is not public.
    assert 0.05 < deviations["l0"] < 0.06
    assert 0.20 < deviations["l1"] < 0.21
    assert abs(deviations["l2"]) < 0.001


def test_oxford_network_needs_one_core_less_than_intels_compiler_used() -> None:
    """200-256-200 took Intel's compiler 3 + 2 cores; its search halves, ours takes the fewest."""
    mapping = by_layer(network(200, 256, 200), load_chip("loihi2"))
    assert [len(mapping.cores_of(name)) for name in ("l0", "l1")] == [2, 2]


def test_words_of_an_axon_by_hand() -> None:
    loihi1, loihi2 = load_chip("loihi1"), load_chip("loihi2")
    # Loihi 1: blocks of 64 synapses: 64·8 + 10 = 522 bits are 9 words; 2·8 + 10 bits are 1 word.
    assert axon_words(loihi1, 64, False) == 9
    assert axon_words(loihi1, 130, False) == 9 + 9 + 1
    assert axon_words(loihi1, 64, True) == 15  # 64·14 + 10 = 906 bits
    # Loihi 2: one block: 3·18 + 10 = 64 bits are 1 word, 4·18 + 10 = 82 are 2; delayed 3·24 + 10.
    assert [axon_words(loihi2, n, False) for n in (0, 1, 3, 4)] == [0, 1, 1, 2]
    assert axon_words(loihi2, 3, True) == 2


def test_slices_are_equal_and_as_few_as_possible() -> None:
    mapping = by_layer(network(3, 10, 4), limited(neurons=4))
    assert slices(mapping) == [("l0", 0, 3), ("l0", 3, 6), ("l0", 6, 10), ("l1", 0, 4)]
    assert [core.index for core in mapping.cores] == [0, 1, 2, 3]
    assert mapping.chip == "loihi2"


def test_output_axons_of_a_layer_grow_with_the_cores_of_its_target() -> None:
    # An axon word holds 3 synapses, so l1 takes 3 cores, and each neuron of l0 3 output axons.
    mapping = by_layer(network(1, 6, 8), limited(neurons=3, synapse_words=6, output_axons=12))
    assert len(mapping.cores_of("l1")) == 3
    assert len(mapping.cores_of("l0")) == 2
    mapping = by_layer(network(1, 6, 8), limited(neurons=3, synapse_words=6, output_axons=6))
    assert len(mapping.cores_of("l0")) == 3


def test_a_recurrent_layer_counts_its_own_cores_as_destinations() -> None:
    program = network(2, 8, recurrent=0)
    mapping = by_layer(program, limited(neurons=4, output_axons=8))
    assert slices(mapping) == [("l0", 0, 4), ("l0", 4, 8)]
    assert core_report(program, limited(), mapping)["list"][0]["used"]["output_axons"] == 8
    with pytest.raises(CheckFailed, match="output axons of a single neuron"):
        by_layer(program, limited(neurons=4, output_axons=1))


def test_neuron_groups_cut_where_parameters_change() -> None:
    vth = np.array([1, 1, 1, 2, 3, 3, 3, 3, 4])
    mapping = by_layer(network(2, 9, vth=vth), limited(neuron_groups=2))
    assert slices(mapping) == [("l0", 0, 4), ("l0", 4, 9)]
    assert len(by_layer(network(2, 9, vth=vth), limited(neuron_groups=1)).cores) == 4


def test_an_even_cut_that_breaks_a_limit_is_not_taken() -> None:
    mapping = by_layer(network(2, 6, vth=np.array([1, 2, 3, 3, 3, 3])), limited(neuron_groups=2))
    assert slices(mapping) == [("l0", 0, 2), ("l0", 2, 6)]


def test_bias_makes_no_group() -> None:
    population = make_population("p", (20,), vth=5, bias=np.arange(20))
    program = Program(
        (make_input("in", (1,)),),
        (population,),
        (Dense("fc", "in", "p", np.zeros((20, 1), np.int32)),),
        (),
    )
    assert len(by_layer(program, limited(neuron_groups=1)).cores) == 1


@pytest.mark.parametrize(
    ("program", "chip", "parts"),
    [
        (network(20_000, 4), limited(), ["'l0'", "input axons", "20000", "16000", "by 4000"]),
        (network(13_000, 4), limited(), ["'l0'", "synapse words", "13000", "12000", "by 1000"]),
        (network(4, 4, 9), limited(neurons=1, output_axons=8), ["'l0'", "output axons", "9", "8"]),
        (network(4, 500), limited(neurons=4), ["'l0'", "125", "120", "by 5", "2 chips"]),
        (
            network(4, 5, recurrent=0),
            limited(synapse_formats=1),
            ["'l0'", "synapse formats", "2", "by 1"],
        ),
        (network(4, 700, 900), limited(neurons=10), ["'l1'", "160", "by 40", "chips"]),
    ],
)
def test_what_cannot_fit_names_layer_resource_excess_and_help(
    program: Program, chip: Chip, parts: list[str]
) -> None:
    with pytest.raises(CheckFailed) as error:
        by_layer(program, chip)
    assert all(part in str(error.value) for part in parts), str(error.value)
    assert "\n" not in str(error.value)


def test_more_chips_help() -> None:
    program = network(4, 500)
    mapping = by_layer(program, limited(neurons=4, chips=2))
    assert core_report(program, limited(neurons=4, chips=2), mapping)["chips"] == 2


@settings(max_examples=60, deadline=None)
@given(
    sizes=st.lists(st.integers(1, 30), min_size=2, max_size=4),
    delay=st.sampled_from([0, 2]),
    groups=st.integers(1, 6),
    neurons=st.integers(1, 12),
    words=st.integers(20, 200),
    output_axons=st.integers(4, 200),
    recurrent=st.booleans(),
    thresholds=st.integers(1, 8),
)
def test_a_partition_is_legal_and_no_layer_has_a_core_too_many(
    sizes: list[int],
    delay: int,
    groups: int,
    neurons: int,
    words: int,
    output_axons: int,
    recurrent: bool,
    thresholds: int,
) -> None:
    chip = limited(
        neurons=neurons, synapse_words=words, output_axons=output_axons, neuron_groups=groups
    )
    program = network(*sizes, delay=delay, recurrent=0 if recurrent else None)
    rng = np.random.default_rng(thresholds)
    populations = tuple(
        replace(p, vth=rng.integers(0, thresholds, p.shape, dtype=np.int32))
        for p in program.populations
    )
    program = replace(program, populations=populations)
    try:
        mapping = by_layer(program, chip)
    except CheckFailed:
        return
    assert validate(program, chip, mapping) == []
    assert by_layer(program, chip) == mapping
    for p in program.populations:
        cores = len(mapping.cores_of(p.name))
        if cores == 1 or (recurrent and p.name == "l0"):
            continue
        edges = [p.size * i // (cores - 1) for i in range(cores)]
        others = [c for c in mapping.cores if c.slices[0].population != p.name]
        free = [c.index for c in mapping.cores_of(p.name)]
        fewer = [Core(free[i], (Slice(p.name, edges[i], edges[i + 1]),)) for i in range(cores - 1)]
        assert validate(program, chip, Mapping(chip.name, (*others, *fewer)))


def test_core_report_of_a_network_by_hand() -> None:
    program, chip = network(3, 10, 4), limited(neurons=5)
    report = core_report(program, chip, by_layer(program, chip))
    assert (report["used"], report["available"], report["chips"]) == (3, 120, 1)
    # Five neurons: 5·18 + 10 = 100 bits, 2 words an axon, 3 axons. l0 sends to the one core of l1.
    used = {
        "neurons": 5,
        "synapse_words": 6,
        "input_axons": 3,
        "output_axons": 5,
        "neuron_groups": 1,
        "synapse_formats": 1,
    }
    first = report["list"][0]
    assert first | {"load": None} == {
        "index": 0,
        "chip": 0,
        "slices": [{"population": "l0", "start": 0, "stop": 5}],
        "used": used,
        "load": None,
    }
    # A share of every limit that is known; Loihi 2's synapse formats are not.
    assert first["load"] == {
        "neurons": 1.0,
        "synapse_words": 6 / 12000,
        "input_axons": 3 / 16000,
        "output_axons": 5 / 16384,
        "neuron_groups": 1 / 8,
    }
    assert report["per_node"] == {"l0": 2, "l1": 1}
    assert (report["chip"], report["chips_available"]) == ("loihi2", 1)
    assert set(report["utilisation"]) == set(RESOURCES)
    neurons = report["utilisation"]["neurons"]
    assert (neurons["used_max"], neurons["used_mean"]) == (5, 14 / 3)
    assert (neurons["max"], neurons["mean"]) == (1.0, 14 / 15)
    formats = report["utilisation"]["synapse_formats"]
    assert (formats["used_max"], formats["max"], formats["mean"]) == (1, None, None)
    json.dumps(report, allow_nan=False)


def test_mapping_file_round_trip(tmp_path: Path) -> None:
    mapping = by_layer(network(784, 128, 64, 10), load_chip("loihi2"))
    save_mapping(tmp_path / "mapping.json", mapping)
    assert load_mapping(tmp_path / "mapping.json") == mapping


@pytest.mark.parametrize(
    ("cores", "key"),
    [
        ([{"index": 0}], "cores[0].slices"),
        ([{"index": -1, "slices": []}], "cores[0].index"),
        ([{"index": 0, "slices": []}, {"index": 0, "slices": []}], "cores[1].index"),
        ([{"index": True, "slices": []}], "cores[0].index"),
        ([7], "cores[0]"),
        ([{"index": 0, "slices": [], "extra": 1}], "cores[0].extra"),
        ([{"index": 0, "slices": [{"population": "a", "start": 3, "stop": 3}]}], "slices[0]"),
        ([{"index": 0, "slices": [{"population": 1, "start": 0, "stop": 3}]}], "population"),
        ([{"index": 0, "slices": [{"population": "a", "start": 0.0, "stop": 3}]}], "start"),
        ([{"index": 0, "slices": [3]}], "slices[0]"),
        ({}, "cores"),
    ],
)
def test_a_damaged_mapping_is_refused_naming_file_and_key(
    tmp_path: Path, cores: Any, key: str
) -> None:
    path = tmp_path / "mapping.json"
    entry = {"format": "neuroclip-mapping", "version": 1, "chip": "loihi2", "cores": cores}
    path.write_text(json.dumps(entry))
    with pytest.raises(BadInput) as error:
        load_mapping(path)
    assert str(path) in str(error.value) and key in str(error.value)
