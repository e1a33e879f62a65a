"""Counts against figures by hand."""

import json
from typing import Any

import numpy as np
import pytest

from deploy.count.operations import count, to_json
from deploy.errors import BadInput
from deploy.hardware.mapping import Core, Mapping, Slice
from deploy.program.program import Dense, Program, make_input, make_population


def tiny() -> Program:
    """Graded input x [2] → a [3] → b [2], a recurrent."""
    return Program(
        (make_input("x", (2,), -7, 7),),
        (make_population("a", (3,), vth=1), make_population("b", (2,), kind="integrator")),
        (
            Dense("xa", "x", "a", np.array([[2, 0], [4, 0], [0, 6]], np.int32)),
            Dense("aa", "a", "a", np.array([[0, 2, 2], [2, 0, 2], [2, 2, 0]], np.int32), delay=1),
            Dense("ab", "a", "b", np.array([[2, 2, 0], [2, 0, 0]], np.int32)),
        ),
        (),
    )


MESSAGES = {"x": np.array([5, 3]), "a": np.array([4, 2, 1]), "b": np.array([0, 0])}
MAPPING = Mapping(
    "loihi2",
    (
        Core(0, (Slice("a", 0, 2),)),
        Core(1, (Slice("a", 2, 3),)),
        Core(2, (Slice("b", 0, 1),)),
        Core(3, (Slice("b", 1, 2),)),
    ),
)


def test_counts_of_a_tiny_network_by_hand() -> None:
    counts = count(tiny(), MESSAGES, samples=2, timesteps=5)
    # xa: source 0 has 2 non-zero weights, source 1 has 1. ab: sources have 2, 1 and 0.
    assert counts.synaptic_ops == {"xa": 5 * 2 + 3 * 1, "aa": 7 * 2, "ab": 4 * 2 + 2 * 1}
    assert counts.synaptic_ops_dense == {"xa": 8 * 3, "aa": 7 * 3, "ab": 7 * 2}
    assert counts.macs == {"xa": 13}
    assert counts.acs == {"aa": 14, "ab": 10}
    assert counts.neuron_updates == {"a": 2 * 5 * 3, "b": 2 * 5 * 2}
    assert counts.spikes == {"a": 7, "b": 0}
    assert counts.input_messages == {"x": 8}
    assert counts.weight_bytes == {"xa": 6, "aa": 9, "ab": 6}
    assert counts.spike_rate == 7 / 30  # the integrator cannot spike
    assert counts.messages_per_synapse == (24 + 21 + 14) / (2 * 21)
    assert counts.messages is counts.per_core is counts.hops is None


def test_messages_of_a_mapped_network_by_hand() -> None:
    counts = count(tiny(), MESSAGES, 2, 5, MAPPING)
    # x reaches cores 0 and 1; a on core 0 reaches cores 1, 2, 3 beside its own, likewise on core 1.
    assert counts.messages == {"x": 8 * 2, "a": 6 * 3 + 1 * 3, "b": 0}
    assert counts.per_core is not None
    core = counts.per_core[0]
    assert (core.core, core.neurons, core.neuron_updates) == (0, 2, 20)
    # Rows 0 and 1: xa 5·2 + 3·0, aa 4·1 + 2·1 + 1·2.
    assert core.synaptic_ops == 10 + 8
    assert core.synaptic_ops_dense == 8 * 2 + 7 * 2
    assert (core.spikes, core.messages) == (6, 18)


def test_two_connections_to_one_population_send_one_message_per_core() -> None:
    weight = np.full((2, 1), 2, np.int32)
    program = Program(
        (make_input("x", (1,)),),
        (make_population("a", (2,)),),
        (Dense("now", "x", "a", weight), Dense("later", "x", "a", weight, delay=3)),
        (),
    )
    mapping = Mapping("loihi2", (Core(0, (Slice("a", 0, 2),)),))
    counts = count(program, {"x": np.array([3]), "a": np.array([0, 0])}, 1, 5, mapping)
    assert counts.messages == {"x": 3, "a": 0}
    assert counts.synaptic_ops == {"now": 6, "later": 6}


def test_json_is_per_inference_and_keeps_exact_totals() -> None:
    report = to_json(count(tiny(), MESSAGES, 2, 5, MAPPING))
    assert report["synaptic_ops"] == {
        "total": 37 / 2,
        "per_node": {"xa": 6.5, "aa": 7.0, "ab": 5.0},
        "exact_total": 37,
    }
    assert report["spikes"]["per_node"] == {"a": 3.5, "b": 0.0}
    assert report["weight_bytes"] == {"total": 21, "per_node": {"xa": 6, "aa": 9, "ab": 6}}
    assert report["hops"] is None
    assert report["per_core"][0]["synaptic_ops"] == 9.0
    json.dumps(report, allow_nan=False)
    assert to_json(count(tiny(), MESSAGES, 2, 5))["messages"] is None


def test_ternary_messages_accumulate_and_graded_ones_multiply() -> None:
    for low, high, graded in ((0, 1, False), (-1, 1, False), (0, 2, True), (-3, 0, True)):
        program = Program(
            (make_input("x", (1,), low, high),),
            (make_population("a", (1,)),),
            (Dense("xa", "x", "a", np.full((1, 1), 2, np.int32)),),
            (),
        )
        counts = count(program, {"x": np.array([1]), "a": np.array([0])}, 1, 1)
        assert (sum(counts.macs.values()), sum(counts.acs.values())) == (graded, not graded)


def test_totals_beyond_64_bits_do_not_overflow() -> None:
    most = 2**62
    messages = {"x": np.array([most, most]), "a": np.array([most] * 3), "b": np.array([0, 0])}
    counts = count(tiny(), messages, most, 1)
    assert counts.synaptic_ops_dense["xa"] == 2 * most * 3
    assert counts.synaptic_ops["aa"] == 3 * most * 2


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"a": None}, "'a' are missing"),
        ({"a": np.array([1, 2])}, "'a' are int64 \\[2\\]"),
        ({"a": np.array([1.0, 2.0, 3.0])}, "'a' are float64"),
        ({"a": np.array([1, 2, -1])}, "'a' has -1 messages"),
        ({"x": np.array([11, 2])}, "'x' has 11 messages from one neuron, expected 0 to 10"),
    ],
)
def test_impossible_messages_are_refused(change: dict[str, Any], text: str) -> None:
    messages = {k: v for k, v in (MESSAGES | change).items() if v is not None}
    with pytest.raises(BadInput, match=text):
        count(tiny(), messages, 2, 5)
