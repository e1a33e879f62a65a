"""Twenty networks that fit no core or no chip: each is refused by layer, resource, excess and help."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from deploy.connections import Connection, Conv2d, Dense, Sparse
from deploy.errors import CheckFailed
from deploy.hardware.chip import Chip, Limit, load_chip
from deploy.map.partition import require_fit
from deploy.program.program import Program, make_input, make_population


def dense(*sizes: int, delay: int = 0, high: int = 1, low: int = 0, vth: object = 100) -> Program:
    names = ["in", *(f"l{i}" for i in range(len(sizes) - 1))]
    connections: list[Connection] = [
        Dense(
            *(f"fc{i}", names[i], names[i + 1], np.zeros((sizes[i + 1], sizes[i]), np.int32)),
            delay=delay,
        )
        for i in range(len(sizes) - 1)
    ]
    populations = [
        make_population(n, (k,), vth=vth) for n, k in zip(names[1:], sizes[1:], strict=True)
    ]
    source = make_input("in", (sizes[0],), low, high)
    return Program((source,), tuple(populations), tuple(connections), ())


def conv(outputs: int, inputs: int, side: int, kernel: int = 3, groups: int = 1) -> Program:
    weight = np.zeros((outputs, inputs // groups, kernel, kernel), np.int32)
    c = Conv2d("conv", "in", "l0", weight, (side, side), groups=groups)
    return Program(
        (make_input("in", c.source_shape),), (make_population("l0", c.target_shape),), (c,), ()
    )


def sparse(sources: int, targets: int, fan_in: int) -> Program:
    rows = np.arange(targets + 1, dtype=np.int32) * fan_in
    indices = np.tile(np.arange(fan_in, dtype=np.int32), targets)
    c = Sparse("s", "in", "l0", np.full(len(indices), 2, np.int32), indices, rows, sources)
    return Program((make_input("in", (sources,)),), (make_population("l0", (targets,)),), (c,), ())


def recurrent(size: int) -> Program:
    program = dense(4, size)
    own = Dense("rec", "l0", "l0", np.zeros((size, size), np.int32), delay=2)
    return replace(program, connections=(*program.connections, own))


def chip(name: str = "loihi2", chips: int | None = None, **limits: int) -> Chip:
    found = replace(load_chip(name), **{k: Limit(v, "a test") for k, v in limits.items()})  # type: ignore[arg-type]
    return found if chips is None else replace(found, chips=chips)


# (what, program, chip, words of the message)
CASES: list[tuple[str, Callable[[], Program], Chip, tuple[str, ...]]] = [
    ("fan-in: input axons", lambda: dense(20_000, 4), chip(), ("'l0'", "input axons", "by 4000")),
    (
        "fan-in: words",
        lambda: dense(13_000, 4),
        chip(),
        ("'l0'", "synapse words", "by 1000", "prune"),
    ),
    (
        "fan-in of a later layer",
        lambda: dense(9, 17_000, 2),
        chip(),
        ("'l1'", "input axons", "by 1000"),
    ),
    (
        "fan-in on Loihi 1",
        lambda: dense(5_000, 3),
        chip("loihi1"),
        ("'l0'", "input axons", "by 904"),
    ),
    ("fan-in of listed synapses", lambda: sparse(17_000, 2, 16_500), chip(), ("'l0'", "by 500")),
    (
        "kernels of one channel",
        lambda: conv(2, 2_000, 5, 5),
        chip(),
        ("'l0'", "input axons", "fewer inputs"),
    ),
    (
        "words of a kernel",
        lambda: conv(2, 600, 5, 5),
        chip(synapse_words=4_000),
        ("'l0'", "synapse words", "by"),
    ),
    (
        "receptive field",
        lambda: conv(1, 100, 13, 13),
        chip(),
        ("'l0'", "input axons", "16900", "by 900"),
    ),
    (
        "output axons",
        lambda: dense(4, 4, 9),
        chip(neurons=1, output_axons=8),
        ("'l0'", "output axons", "by 1"),
    ),
    (
        "output axons of a loop",
        lambda: recurrent(9),
        chip(neurons=2, output_axons=4),
        ("'l0'", "output axons", "by 1"),
    ),
    (
        "neuron groups",
        lambda: dense(4, 1000, vth=np.arange(1000)),
        chip(),
        ("'l0'", "125", "by 5", "2 chips"),
    ),
    (
        "synapse formats",
        lambda: recurrent(5),
        chip(synapse_formats=1),
        ("'l0'", "synapse formats", "by 1"),
    ),
    (
        "delay",
        lambda: dense(4, 5, delay=40),
        chip(max_delay=31),
        ("'l0'", "delay of 40", "'fc0'", "by 8", "relay"),
    ),
    (
        "words of delayed synapses",
        lambda: dense(3_000, 9, delay=2),
        chip(synapse_words=2_999),
        ("'l0'", "synapse words", "by 1"),
    ),
    (
        "graded input on Loihi 1",
        lambda: dense(4, 5, high=255),
        chip("loihi1"),
        ("'in'", "8 bits", "by 8", "binary"),
    ),
    (
        "signed graded input",
        lambda: dense(4, 5, low=-200, high=99),
        chip(message_bits=8),
        ("'in'", "9 bits", "by 1"),
    ),
    (
        "too many neurons",
        lambda: dense(1, 600_000),
        chip(),
        ("'l0'", "147", "120", "by 27", "2 chips"),
    ),
    (
        "too many neurons for a board",
        lambda: dense(1, 4_000_000),
        chip("kapoho-point"),
        ("960", "9 chips", "fewer channels"),
    ),
    (
        "too many words for a chip",
        lambda: dense(4_000, 4_000),
        chip("loihi2"),
        ("'l0'", "cores", "exceed the 120"),
    ),
    (
        "all layers together",
        lambda: dense(4, 700, 900),
        chip(neurons=10),
        ("'l1'", "160", "by 40", "chips"),
    ),
]


@pytest.mark.parametrize(
    ("program", "on", "parts"), [c[1:] for c in CASES], ids=[c[0] for c in CASES]
)
def test_what_cannot_fit_is_refused_by_name(
    program: Callable[[], Program], on: Chip, parts: tuple[str, ...]
) -> None:
    with pytest.raises(CheckFailed) as refused:
        require_fit(program(), on)
    message = str(refused.value)
    assert all(part in message for part in parts), message
    assert "\n" not in message and ";" in message  # what helps comes after the semicolon
    print(message)


def test_there_are_twenty() -> None:
    assert len(CASES) == 20
