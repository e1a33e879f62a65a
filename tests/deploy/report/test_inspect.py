"""`inspect` says what a program holds; its figures by hand."""

import numpy as np
import pytest

from deploy.errors import BadInput
from deploy.program.program import Dense, Output, Program, make_input, make_population
from deploy.report.inspect import inspect


def network(bias=0, high=15, neurons=3):
    weight = np.full((neurons, 4), 10, np.int32)
    weight[0, :3] = 0
    weight[-1, -1] = -20
    return Program(
        (make_input("frames", (2, 2), -high, high),),
        (
            make_population("hidden", (neurons,), dv=400, vth=12, bias=bias),
            make_population("scores", (1,), dv=300, kind="integrator"),
        ),
        (
            Dense("fc1", "frames", "hidden", weight, exponent=-1),
            Dense("fc2", "hidden", "scores", np.full((1, neurons), 2, np.int32), delay=2),
        ),
        (Output("out", "scores", "v"),),
    )


def words_of(text, section):
    """{first word: its line, single-spaced} of one section."""
    block = next(b for b in text.split("\n\n") if b.startswith(section))
    return {line.split()[0]: " ".join(line.split()) for line in block.splitlines()[1:]}


def test_registers_and_shapes():
    text = inspect(network(bias=np.array([0, -8, 16])), 10)
    assert words_of(text, "inputs")["frames"] == "frames 2 × 2 -15..15 graded"
    nodes = words_of(text, "populations")
    assert nodes["hidden"] == "hidden lif 3 4095 400 12 -8..16"
    assert nodes["scores"] == "scores integrator 1 4095 300 131071 0"
    edges = words_of(text, "connections")
    assert edges["fc1"] == "fc1 frames → hidden dense 3 × 4 12 -20..10 25.0 % -1 0"
    assert edges["fc2"] == "fc2 hidden → scores dense 1 × 3 3 2 0.0 % 0 2"
    assert words_of(text, "outputs")["out"] == "out membrane potential v of scores"


def test_proof_states_range_limit_margin_and_why_it_is_not_portable():
    text = inspect(network(), 10)
    # |Σ| ≤ (3·10 + 20)·15 >> 1 = 375 of the last neuron; the others 4·10·15 >> 1 = 300.
    line = next(x for x in text.splitlines() if "hidden" in x and "21 bits" in x)
    assert " ".join(line.split()).endswith(
        "-375..375 -32768..32767 98.9 % proven for the stated input range"
    )
    assert "not portable:" in text and "exact sums: fc1 in int16, fc2 in int16" in text
    for reason in (
        *("input 'frames' sends graded messages", "connection 'fc2' has a delay of 2"),
        "connection 'fc1' has a negative weight exponent, -1",
    ):
        assert f"    {reason}\n" in text
    # Three messages of weight 2 a step, never decayed: 2·3 << 6, and ten of them.
    still = next(x for x in text.splitlines() if "scores" in x and "current" in x)
    assert "0..384" in still


def test_a_reachable_edge_is_a_reason_and_a_portable_program_says_so():
    assert "node 'hidden' can reach an edge: synaptic sum beyond 21 bits" in inspect(
        network(high=10000), 10
    )
    program = Program(
        (make_input("x", (2,)),),
        (make_population("n", (2,), vth=5),),
        (Dense("w", "x", "n", np.full((2, 2), 4, np.int32)),),
        (Output("out", "n", "s"),),
    )
    text = inspect(program, 10)
    assert "portable: every bit-accurate simulator" in text and "not portable" not in text


def test_cost_by_hand():
    text = inspect(network(), 10)
    # Loihi 2: 3 synapses of 18 bits and a header of 10 are one word, so 4 axons take 4 words; one
    # delayed synapse of 24 + 10 bits is one word, 3 axons 3.
    cost = words_of(text, "cost on loihi2")
    assert cost["hidden"] == "hidden 3 4 1"
    assert cost["scores"] == "scores 1 3 1"
    assert cost["total"] == "total 4 7 2"
    assert "2 of 120 cores" in text


def test_columns_are_aligned():
    blocks = inspect(network(bias=np.array([0, -8, 16])), 10).split("\n\n")
    head, *rows = next(b for b in blocks if b.startswith("populations")).splitlines()[1:]
    assert [row.index(kind) for row, kind in zip(rows, ("lif", "integrator"), strict=True)] == [
        head.index("kind")
    ] * 2
    for title in ("populations", "connections"):  # their last column stands right
        block = next(b for b in blocks if b.startswith(title)).splitlines()[1:]
        assert len({len(line) for line in block}) == 1


def test_a_network_that_does_not_fit_is_stated():
    wide = Program(
        (make_input("frames", (13_000,)),),
        (make_population("hidden", (2,)),),
        (Dense("fc", "frames", "hidden", np.zeros((2, 13_000), np.int32)),),
        (),
    )
    assert "does not fit: layer 'hidden': 13000 synapse words" in inspect(wide, 1)
    assert "outputs\n  none" in inspect(wide, 1)


@pytest.mark.parametrize("timesteps", [0, -3])
def test_timesteps_below_one_are_refused(timesteps):
    with pytest.raises(BadInput, match=f"timesteps is {timesteps}"):
        inspect(network(), timesteps)


def test_an_unknown_chip_is_refused():
    with pytest.raises(BadInput, match="nochip"):
        inspect(network(), 1, "nochip")


def test_names_with_escape_sequences_cannot_reach_the_terminal():
    program = Program(
        (make_input("x\x1b[2J", (2,)),),
        (make_population("n\nn", (2,)),),
        (),
        (),
    )
    text = inspect(program, 1)
    assert "\x1b" not in text and "n\nn" not in text
