"""Lava's simulation gives what the emulator gives: registers first, then every spike and state."""

import sys

import numpy as np
import pytest

from deploy.emulate.reference import emulate
from deploy.errors import BadInput
from deploy.program.file import load_program, save_program
from deploy.program.pipeline_latency import latency_steps
from deploy.program.program import (
    VTH_MAX,
    Dense,
    Output,
    Program,
    make_input,
    make_population,
    registers,
)
from export.targets.lava import build
from export.targets.lava.client import run_lava
from export.targets.lava.script import write_lava_script

SHAPES = [(2, 3), (2, 5), (7,), (3,)]


def network(seed, layers):
    """A random program: per-neuron registers, biases and weights, an integrator at its end."""
    rng = np.random.default_rng(seed)
    shapes = [SHAPES[0], *SHAPES[4 - layers :]]
    populations, connections, source = [], [], "image"
    for index in range(1, layers + 1):
        shape, name = shapes[index], f"layer.{index}"
        last = index == layers
        populations.append(
            make_population(
                name,
                shape,
                du=rng.integers(-1, 4096, shape),
                dv=rng.integers(0, 4096, shape),
                vth=VTH_MAX if last else rng.integers(0, 400, shape),
                bias=rng.integers(-2048, 2048, shape) << int(rng.integers(0, 2)),
                kind="integrator" if last else "lif",
            )
        )
        size = (int(np.prod(shape)), int(np.prod(shapes[index - 1])))
        weight = (2 * rng.integers(-127, 128, size)).astype(np.int32)
        connections.append(Dense(f"w{index}", source, name, weight, int(rng.integers(-2, 3))))
        source = name
    outputs = (Output("spikes", f"layer.{layers - 1}", "s"), Output("scores", source, "v"))
    image = make_input("image", shapes[0], -15, 15)
    return Program((image,), tuple(populations), tuple(connections), outputs)


@pytest.mark.parametrize("record", ["none", "spikes"])
def test_records_only_what_is_asked(equal_on_lava, random_messages, record):
    program = network(3, 2)
    _, run = equal_on_lava(program, random_messages(program, 1, 5, 4), record)
    assert run.latency_steps == {"layer.1": 1, "layer.2": 2}


def test_parts_that_no_connection_joins_run_too(equal_on_lava):
    """Two inputs, one unused, and a population that only its bias drives."""
    rng = np.random.default_rng(5)
    shapes = {"seen": (4,), "silent": (2,)}
    program = Program(
        tuple(make_input(name, shape) for name, shape in shapes.items()),
        (
            make_population("driven", (3,), vth=10, dv=300),
            make_population("alone", (2,), vth=50, dv=100, bias=[1000, 1300]),
        ),
        (Dense("w", "seen", "driven", 2 * rng.integers(-60, 60, (3, 4)).astype(np.int32)),),
        (Output("o", "driven", "s"),),
    )
    inputs = {name: rng.integers(0, 2, (8, 5, *shape)) for name, shape in shapes.items()}
    expected, _ = equal_on_lava(program, inputs)
    assert expected.s["alone"].any() and expected.s["driven"].any()


def test_two_connections_into_one_population_add_up(equal_on_lava):
    rng = np.random.default_rng(6)
    weights = [2 * rng.integers(-60, 60, (3, 4)).astype(np.int32) for _ in range(2)]
    program = Program(
        (make_input("left", (4,)), make_input("right", (4,), -7, 7)),
        (make_population("sum", (3,), vth=10, dv=300),),
        (
            Dense("wl", "left", "sum", weights[0], -3),
            Dense("wr", "right", "sum", weights[1], 1),
        ),
        (Output("o", "sum", "s"),),
    )
    inputs = {n.name: rng.integers(n.low, n.high + 1, (10, 6, *n.shape)) for n in program.inputs}
    expected, _ = equal_on_lava(program, inputs)
    assert 0.02 < expected.s["sum"].mean() < 0.98


@pytest.mark.usefixtures("lava")
@pytest.mark.parametrize("sabotage", ["weight", "dv", "vth"])
def test_a_changed_register_is_seen_in_what_lava_held(tmp_path, random_messages, sabotage):
    program = network(21, 2)
    save_program(tmp_path / "program.npz", program)
    changed = load_program(tmp_path / "program.npz")
    target, where = {
        "weight": (changed.connections[1], (2, 4)),
        "dv": (changed.populations[0], (3,)),
        "vth": (changed.populations[0], (6,)),
    }[sabotage]
    register = getattr(target, sabotage).copy()
    register[where] += (2 if register[where] < 254 else -2) if sabotage == "weight" else 1
    object.__setattr__(target, sabotage, register)

    held = run_lava(changed, random_messages(program, 3, 1, 2), "none", progress=False).registers
    different = {
        (name, tuple(int(i) for i in index))
        for name, expected in registers(program).items()
        for index in np.argwhere(held[name] != expected)
    }
    assert different == {(f"{target.name}/{sabotage}", where)}


def skips(seed):
    """Undelayed branches of different depth: the input reaches every layer, and a layer the last."""
    rng = np.random.default_rng(seed)

    def weight(target, source):
        return (2 * rng.integers(-100, 101, (target, source))).astype(np.int32)

    return Program(
        (make_input("in", (5,), -7, 7),),
        (
            make_population("a", (6,), vth=rng.integers(20, 400, 6), dv=100, bias=300),
            make_population("b", (4,), vth=rng.integers(20, 400, 4), dv=300, du=2000, bias=-200),
            make_population("c", (3,), kind="integrator", dv=50, bias=77),
        ),
        (
            Dense("in-a", "in", "a", weight(6, 5)),
            Dense("a-b", "a", "b", weight(4, 6)),
            Dense("in-b", "in", "b", weight(4, 5)),
            Dense("b-c", "b", "c", weight(3, 4)),
            Dense("a-c", "a", "c", weight(3, 6), 1),
            Dense("in-c", "in", "c", weight(3, 5)),
        ),
        (Output("o", "c", "v"),),
    )


def test_the_longest_branch_sets_the_latency():
    assert latency_steps(skips(0)) == {"a": 1, "b": 2, "c": 3}


@pytest.mark.parametrize(("seed", "timesteps"), [(0, 7), (1, 1), (2, 2)])
def test_skip_connections_meet_in_the_right_step(equal_on_lava, seed, timesteps):
    program = skips(seed)
    inputs = {"in": np.random.default_rng(seed).integers(-7, 8, (25, timesteps, 5))}
    expected, _ = equal_on_lava(program, inputs)
    assert expected.s["a"].any() and expected.s["b"].any()


@pytest.mark.parametrize(("seed", "timesteps"), [(0, 6), (9, 1), (11, 3)])
def test_recurrence_and_delays_end_with_the_sample(equal_on_lava, seed, timesteps):
    """A loop onto itself, a loop over two layers, and delayed skips, also longer than a sample."""
    rng = np.random.default_rng(seed)

    def weight(target, source):
        return (2 * rng.integers(-100, 101, (target, source))).astype(np.int32)

    delays = [int(d) for d in rng.integers(1, 6, 4)]
    program = Program(
        (make_input("in", (5,)),),
        (
            make_population("a", (6,), vth=rng.integers(20, 200, 6), dv=100, bias=300),
            make_population("b", (4,), vth=rng.integers(20, 200, 4), dv=300, du=2000),
            make_population("c", (3,), kind="integrator", dv=50),
        ),
        (
            Dense("in-a", "in", "a", weight(6, 5)),
            Dense("a-b", "a", "b", weight(4, 6)),
            Dense("b-c", "b", "c", weight(3, 4)),
            Dense("a-a", "a", "a", weight(6, 6), delay=delays[0]),
            Dense("b-a", "b", "a", weight(6, 4), delay=delays[1] + 1),
            Dense("in-a-late", "in", "a", weight(6, 5), delay=2),
            Dense("in-c", "in", "c", weight(3, 5), -1, delay=delays[2]),
            Dense("a-c", "a", "c", weight(3, 6), delay=delays[3]),
        ),
        (Output("o", "c", "v"),),
    )
    inputs = {"in": rng.integers(0, 2, (25, timesteps, 5))}
    expected, _ = equal_on_lava(program, inputs)
    assert expected.s["a"].any() and expected.s["b"].any()


def loop(delay):
    weight = np.zeros((2, 2), np.int32)
    return Program(
        (make_input("in", (2,)),),
        (make_population("a", (2,)), make_population("b", (2,))),
        (
            Dense("x", "in", "a", weight),
            Dense("y", "a", "b", weight),
            Dense("back", "b", "a", weight, delay=delay),
        ),
        (Output("o", "b", "s"),),
    )


def test_a_loop_that_takes_longer_than_its_delay_is_refused_by_name():
    assert latency_steps(loop(2)) == {"a": 1, "b": 2}
    with pytest.raises(BadInput, match=r"nodes \['a', 'b'\]: a cycle of more connections"):
        latency_steps(loop(1))


def test_build_refuses_delays_by_name(tmp_path):
    with pytest.raises(BadInput, match="'back': with delay 2, Lava's stock processes carry"):
        build(loop(2), 5)
    with pytest.raises(BadInput, match="'back'"):
        write_lava_script(tmp_path / "lava_network.py", loop(2), 5)
    assert not list(tmp_path.iterdir())


def test_build_without_lava_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "lava", None)
    with pytest.raises(BadInput, match=r"Lava is not installed for .*pip install lava-nc"):
        build(network(1, 2), 5)


@pytest.mark.usefixtures("lava")
def test_the_script_rebuilds_the_network(tmp_path, own_python):
    program, timesteps = network(31, 3), 4
    save_program(tmp_path / "program.npz", program)
    write_lava_script(tmp_path / "lava_network.py", program, timesteps)
    printed = own_python("lava_network.py", cwd=tmp_path)
    node, rng = program.inputs[0], np.random.default_rng(0)
    sample = rng.integers(node.low, node.high + 1, (timesteps, *node.shape))
    expected = emulate(program, {"image": sample[None]})
    assert printed.splitlines() == [
        f"layer.2: spikes {expected.s['layer.2'][0].sum(axis=0, dtype=int).tolist()}",
        f"layer.3: membrane potential {expected.readout['layer.3'][0].tolist()}",
    ]
