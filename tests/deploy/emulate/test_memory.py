"""How much memory a large network takes, measured in a process of its own."""

from collections.abc import Callable
from pathlib import Path

import pytest

STATUS = Path("/proc/self/status")

# Peak memory is that of this process's own pages: getrusage may name the parent's.
CODE = """
import sys
import numpy as np
from deploy.emulate.fast import emulate_fast, prepare
from deploy.program.program import Conv2d, Output, Program, make_input, make_population
from deploy.prove.proof import prove

rng, side = np.random.default_rng(0), 128
def weight(*shape):
    return (2 * rng.integers(-60, 61, shape)).astype(np.int32)

shape, registers = (32, side, side), {"du": 1000, "dv": 500}
program = Program(
    (make_input("i", (2, side, side)),),
    (make_population("a", shape, vth=300, **registers),
     make_population("b", shape, vth=1500, **registers)),
    (Conv2d("c0", "i", "a", weight(32, 2, 3, 3), (side, side), padding=(1, 1)),
     Conv2d("c1", "a", "b", weight(32, 32, 3, 3), (side, side), padding=(1, 1))),
    (Output("o", "b", "s"),),
)
prove(program, 16)
x = (rng.random((1, 16, 2, side, side)) < 0.1).astype(np.uint8)
trace = emulate_fast(prepare(program), {"i": x}, sys.argv[2], 2, sys.argv[1])
peak = next(line for line in open("/proc/self/status") if line.startswith("VmHWM"))
print(
    sum(p.size for p in program.populations), sum(c.synapse_count() for c in program.connections),
    int(trace.messages["b"].sum()), int(peak.split()[1]) * 1024,
)
"""


@pytest.mark.long
@pytest.mark.skipif(not STATUS.exists(), reason="peak memory is read from /proc")
@pytest.mark.parametrize("record", ["none", "all"])
@pytest.mark.parametrize("kernel", ["numba", "numpy"])
def test_a_million_neurons_take_little(
    own_python: Callable[..., str], kernel: str, record: str
) -> None:
    """10^6 neurons with 1.6·10^8 synapses of shared weights, 16 steps, proof and plan included.

    0.2 to 0.5 GB were measured; 8 GiB are what it may take.
    """
    pytest.importorskip(kernel)
    neurons, synapses, spikes, peak = map(int, own_python("-c", CODE, kernel, record).split())
    assert neurons >= 10**6 and synapses >= 10**8 and spikes > 10**6
    assert peak < 2 << 30, peak
