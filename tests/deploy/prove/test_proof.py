"""The proof bounds what the emulator can do, and its verdicts say on what they rest."""

from dataclasses import replace

import numpy as np
import pytest

from deploy.errors import CheckFailed
from deploy.neurons import Graded, Sigma
from deploy.program.program import Dense, Output, Program, make_input, make_population
from deploy.prove.proof import prove, require


def network(weight: np.ndarray, high: int = 1, low: int = 0, **registers: object) -> Program:
    n, m = weight.shape
    return Program(
        (make_input("input", (m,), low, high),),
        (make_population("n", (n,), **registers),),
        (Dense("w", "input", "n", weight.astype(np.int32)),),
        (Output("out", "n", "v"),),
    )


def test_a_small_binary_network_is_portable() -> None:
    proof = prove(network(np.full((2, 4), 100), vth=50, dv=500), 10)
    assert proof.portable and not proof.reachable
    assert proof.edges["n"]["synaptic sum beyond 21 bits"].range == (0, 400)
    assert {e.verdict for e in proof.edges["n"].values()} == {"proven for all inputs"}
    assert proof.arithmetic == {"w": "int16"}
    require(proof)


def test_graded_input_rests_on_its_stated_range() -> None:
    proof = prove(network(np.full((2, 4), 100), 15, -15, vth=50), 10)
    assert not proof.portable and not proof.reachable
    assert proof.input_ranges == {"input": (-15, 15)}
    assert {e.verdict for e in proof.edges["n"].values()} == {"proven for the stated input range"}


@pytest.mark.parametrize(
    ("weights", "high", "edge"),
    [
        ((1, 9, 254), 15, "synaptic sum beyond 21 bits"),
        ((1, 4, 254), 255, "membrane potential v clips"),
    ],
)
def test_a_reachable_edge_is_named(weights: tuple, high: int, edge: str) -> None:
    n, m, w = weights
    proof = prove(network(np.full((n, m), w), high, kind="integrator"), 100)
    assert edge in [name for _, name, _ in proof.reachable]
    with pytest.raises(CheckFailed, match="node 'n'"):
        require(proof)


def test_the_limits_are_met_exactly() -> None:
    # Σ|w|·x = 32767 is not reachable with even weights; 32766 is inside, 32768 outside.
    inside = prove(network(np.array([[254] * 129]), kind="integrator"), 1)
    assert inside.edges["n"]["synaptic sum beyond 21 bits"].range == (0, 32766)
    assert not inside.reachable
    outside = prove(network(np.array([[254] * 129 + [2]]), kind="integrator"), 1)
    assert [name for _, name, _ in outside.reachable] == ["synaptic sum beyond 21 bits"]


def graded_layers(high: int, loop: bool = False, delay: int = 0) -> Program:
    """in → relu (3 · 2 · in >> 1) → n, with a loop of relu onto itself, or through a delay."""
    c = (
        Dense("w", "input", "relu", np.full((2, 3), 2, np.int32), -1, delay),
        Dense("x", "relu", "n", np.full((1, 2), 10, np.int32)),
    )
    if loop:
        c = (*c, Dense("l", "relu", "relu", np.full((2, 2), 2, np.int32), -7, delay=1))
    return Program(
        (make_input("input", (3,), 0, high),),
        (Graded("relu", (2,), 0, True, 8), make_population("n", (1,), vth=900)),
        c,
        (Output("out", "n", "v"),),
    )


@pytest.mark.parametrize("delay", [0, 2])
def test_graded_ranges_pass_from_layer_to_layer(delay: int) -> None:
    proof = prove(graded_layers(1, delay=delay), 9)
    assert proof.edges["relu"]["message beyond its bits"].range == (0, 3)
    assert proof.edges["relu"]["message beyond its bits"].verdict == "proven for all inputs"
    assert proof.edges["n"]["synaptic sum beyond 21 bits"].range == (0, 60)
    assert not proof.reachable and not proof.portable
    stated = prove(graded_layers(85, delay=delay), 9)
    assert stated.edges["relu"]["message beyond its bits"].range == (0, 255)
    assert {e.verdict for edges in stated.edges.values() for e in edges.values()} == {
        "proven for the stated input range"
    }
    assert [name for _, name, _ in prove(graded_layers(86), 9).reachable] == [
        "message beyond its bits"
    ]


def test_graded_messages_in_a_loop_have_no_bound() -> None:
    proof = prove(graded_layers(1, loop=True), 9)
    names = {(node, name) for node, name, _ in proof.reachable}
    assert {("relu", "message beyond its bits"), ("n", "synaptic sum beyond 21 bits")} <= names
    assert proof.arithmetic["x"] == "float64"


def test_what_hears_a_loop_is_bounded_behind_it_wherever_it_is_listed() -> None:
    relu_first = graded_layers(1, loop=True)
    w, x, loop = relu_first.connections
    delayed = replace(relu_first, connections=(w, replace(x, delay=1), loop))
    n_first = replace(delayed, populations=delayed.populations[::-1])
    assert n_first.order == ("n", "relu")
    assert prove(n_first, 9).sums == prove(delayed, 9).sums


def test_a_running_sum_grows_with_the_steps() -> None:
    def reachable(timesteps: int) -> list[str]:
        program = Program(
            (make_input("input", (1,), 0, 2**20),),
            (Sigma("n", (1,)),),
            (Dense("w", "input", "n", np.full((1, 1), 2, np.int32), -1),),
            (Output("out", "n", "s"),),
        )
        return [name for _, name, _ in prove(program, timesteps).reachable]

    assert reachable(7) == []
    assert reachable(8) == ["running sum beyond 24 bits", "message beyond its bits"]


def test_a_reset_shortens_what_can_add_up() -> None:
    weight = np.full((1, 1), 254)
    ends = {
        interval: prove(network(weight, du=-1, reset_interval=interval), 40)
        .edges["n"]["current u wraps"]
        .range
        for interval in (0, 4)
    }
    assert ends == {0: (0, 40 * 254 * 64), 4: (0, 4 * 254 * 64)}
