"""`.net` files that netx runs on Lava spike for spike as our emulator runs the program."""

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from deploy.connections import Dense
from deploy.fast import emulate_fast
from deploy.program import Output, Program, make_input, make_population
from export.net_write import write_net

SAMPLES, STEPS, NETWORKS = 3, 8, 12


def even(rng, shape):
    limit = int(rng.choice([4, 20, 128]))
    return (2 * rng.integers(-limit + 1, limit, shape)).astype(np.int32)


def random_chain(seed, conv2d):
    """A chain of what netx holds: convolutions, then dense layers, with loops or with biases."""
    rng = np.random.default_rng(seed)
    graded, looped = bool(rng.integers(2)), bool(rng.integers(2))
    shape = tuple(int(n) for n in (rng.integers(1, 4), *rng.integers(3, 7, 2)))
    image = make_input("image", shape, *((-20, 20) if graded else (0, 1)))
    source, populations, connections = image, [], []
    for i in range(int(rng.integers(1, 4))):
        name, ends = f"c{i}", (source.name, f"n{i}")
        if len(source.shape) == 3 and rng.random() < 0.7:
            c = conv2d(rng, name, ends, source.shape)
            c = replace(c, weight=even(rng, c.weight.shape))
            shape = c.target_shape
            spread = (shape[0], 1, 1)
        else:
            shape = spread = (int(rng.integers(2, 9)),)
            sources = int(np.prod(source.shape))
            c = Dense(name, *ends, even(rng, (shape[0], sources)))
            if looped:
                back = even(rng, (shape[0], shape[0]))
                connections.append(Dense(f"loop{i}", f"n{i}", f"n{i}", back, 0, 1))
        connections.append(c)
        biased = not looped or len(shape) == 3
        scale = int(np.abs(c.weight).sum(axis=tuple(range(1, c.weight.ndim))).mean()) + 1
        registers_of = {
            "du": rng.integers(-1, 4096, spread),
            "dv": rng.integers(0, 4096, spread),
            "vth": rng.integers(0, scale * (4 if graded and not i else 1), spread),
        }
        held = {k: np.broadcast_to(v, shape) for k, v in registers_of.items()}
        bias = 64 * rng.integers(-20, 20, shape if rng.random() < 0.5 else spread)
        population = make_population(
            f"n{i}", shape, bias=np.broadcast_to(bias if biased else 0, shape), **held
        )
        populations.append(population)
        source = population
    return Program(
        (image,), tuple(populations), tuple(connections), (Output("out", source.name, "s"),)
    )


def messages(program, samples, rng):
    (node,) = program.inputs
    shape = (samples, STEPS, *node.shape)
    low, high = int(node.low.min()), int(node.high.max())
    found = rng.integers(low, high + 1, shape)
    return {node.name: np.where(rng.random(shape) < 0.5, 0, found).astype(np.int32)}


def on_netx(folder: Path, jobs):
    """The last layer's spikes of (program, inputs) pairs, each written as a file and run by netx."""
    for i, (program, inputs) in enumerate(jobs):
        write_net(folder / f"{i:02d}.net", program)
        (node,) = program.inputs
        bits = 0 if node.binary else 16
        np.savez(folder / f"{i:02d}.npz", spikes=inputs[node.name], bits=bits)
    script = Path(__file__).with_name("run_netx.py")
    done = subprocess.run(
        [sys.executable, script, folder], capture_output=True, text=True, timeout=400
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return [np.load(folder / f"{i:02d}.npy") for i in range(len(jobs))]


def compare_on_netx(tmp_path, seeds, conv2d):
    jobs = []
    for seed in seeds:
        program = random_chain(seed, conv2d)
        looped = any(c.delay for c in program.connections)
        # A loop's buffer carries spikes from sample to sample on Lava: one sample then.
        inputs = messages(program, 1 if looped else SAMPLES, np.random.default_rng(seed))
        jobs.append((program, inputs))
    fired = 0
    for (program, inputs), found in zip(jobs, on_netx(tmp_path, jobs), strict=True):
        expected = emulate_fast(program, inputs).s[program.outputs[0].source]
        assert np.array_equal(found.reshape(expected.shape), expected)
        fired += int(expected.any())
    assert fired > len(jobs) // 2


def test_netx_runs_random_networks_as_the_emulator_does(tmp_path, random_conv2d):
    pytest.importorskip("lava.lib.dl.netx.hdf5")
    compare_on_netx(tmp_path, range(NETWORKS), random_conv2d)


@pytest.mark.long
@pytest.mark.parametrize("start", range(100, 300, 20))
def test_netx_runs_many_random_networks_as_the_emulator_does(tmp_path, random_conv2d, start):
    pytest.importorskip("lava.lib.dl.netx.hdf5")
    compare_on_netx(tmp_path, range(start, start + 20), random_conv2d)
