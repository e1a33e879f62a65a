"""What tests on Lava share: messages, and a network of stock processes held against the emulator."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from deploy.emulate.reference import emulate
from deploy.emulate.trace import Trace
from deploy.program.file import save_program
from deploy.program.program import Program

STOCK = """
import sys
import numpy as np
from tqdm import tqdm
from deploy.program.file import load_program
from export.targets.lava import build

tqdm(disable=False, file=sys.stdout).close()  # has set multiprocessing's start method
program = load_program("program.npz")
data = np.load("data.npz")
samples, timesteps = data[program.inputs[0].name].shape[:2]
network = build(program, timesteps)

from lava.magma.core.run_conditions import RunSteps
from lava.magma.core.run_configs import Loihi2SimCfg
from lava.proc.io.sink import RingBuffer as Sink
from lava.proc.io.source import RingBuffer as Source

last = max(network.latency.values())
for name in network.inputs:
    rows = data[name].reshape(-1, *data[name].shape[2:])
    Source(data=np.moveaxis(rows, 0, -1)).s_out.connect(network.inputs[name])
sinks = {}
for name, port in network.outputs.items():
    sinks[name] = Sink(shape=port.shape, buffer=samples * timesteps + last)
    port.connect(sinks[name].a_in)
run_cfg, done, found = Loihi2SimCfg(select_tag="fixed_pt"), 0, {}
for name in sorted(network.latency, key=network.latency.get):
    end = samples * timesteps + network.latency[name]
    if end > done:
        network.run(condition=RunSteps(num_steps=end - done), run_cfg=run_cfg)
        done = end
    if name in network.v:
        found[f"v/{name}"] = network.v[name].get().astype(int)
for name, sink in sinks.items():
    latency = network.latency[name]
    spikes = np.moveaxis(sink.data.get(), -1, 0)[latency:][:samples * timesteps]
    found[f"s/{name}"] = spikes.reshape(samples, timesteps, *spikes.shape[1:])
np.savez("found.npz", **found)
assert not any(".relay" in name for name in {**network.u, **network.v, **network.latency})
network.stop()
"""


@pytest.fixture(scope="session")
def random_messages() -> Callable[..., dict[str, np.ndarray]]:
    """Random messages of every input of a program: (program, seed, samples, timesteps)."""

    def drawn(program: Program, seed: int, samples: int, steps: int) -> dict[str, np.ndarray]:
        rng = np.random.default_rng(seed)
        return {
            n.name: rng.integers(n.low, n.high + 1, (samples, steps, *n.shape))
            for n in program.inputs
        }

    return drawn


@pytest.fixture
def equal_in_stock_lava(
    lava: None, own_python: Callable[..., str], tmp_path: Path
) -> Callable[[Program, dict[str, np.ndarray]], Trace]:
    """Runs `build` in a Lava program of its own, RingBuffer to RingBuffer; returns the emulator's trace.

    Every message, and every potential at the end of the last sample, must be the emulator's.
    """

    def compare(program: Program, inputs: dict[str, np.ndarray]) -> Trace:
        expected = emulate(program, inputs)
        save_program(tmp_path / "program.npz", program)
        np.savez(tmp_path / "data.npz", **inputs)
        own_python("-c", STOCK, cwd=tmp_path)
        with np.load(tmp_path / "found.npz") as found:
            sent = {f"s/{o.source}" for o in program.outputs if o.quantity == "s"}
            assert sent | {f"v/{name}" for name in expected.v} <= set(found.files)
            for key in found.files:
                quantity, _, name = key.partition("/")
                wanted = expected.s[name] if quantity == "s" else expected.v[name][-1, -1]
                np.testing.assert_array_equal(found[key], wanted, key)
        return expected

    return compare
