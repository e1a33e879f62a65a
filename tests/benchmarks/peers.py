"""Other people's simulators on one sample of a program of leaky neurons, for the benchmarks.

Each returns a `Run`, or raises BadInput with the reason. They know no shared weights: convolutions are
listed synapse by synapse. Seconds are of the steps alone: what a peer builds, compiles, is sent and
reads out before and after them does not count against it.
"""

import contextlib
import importlib.util
import os
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from deploy.emulate.fast import emulate_fast
from deploy.errors import BadInput
from deploy.program.program import Program
from export.peers.brian2_loihi import timed_brian2_loihi
from export.peers.common import sample_synapses, spiking_populations
from export.peers.nengo_loihi import timed_nengo_loihi

Inputs = dict[str, NDArray[Any]]


@dataclass(frozen=True)
class Run:
    """seconds: of the steps. messages: {node: spikes of each neuron}, where the peer computes them."""

    seconds: float
    messages: Mapping[str, NDArray[np.int64]]


def lava(program: Program, inputs: Inputs) -> Run:
    """Lava's fixed-point models, in our worker."""
    if importlib.util.find_spec("lava") is None:
        raise BadInput("Lava is not installed (Python 3.10 only)")
    from export.targets.lava.client import run_lava

    run = run_lava(program, inputs, "none", progress=False)
    return Run(run.timings["run_s"], run.trace.messages)


def nengo_loihi(program: Program, inputs: Inputs) -> Run:
    """nengo-loihi's emulator, on blocks made by hand: its builder would change the weights."""
    trace, seconds = timed_nengo_loihi(program, inputs, "spikes")
    return Run(seconds, trace.messages)


def brian2_loihi(program: Program, inputs: Inputs) -> Run:
    """Brian2Loihi on Brian 2's NumPy target."""
    trace, seconds = timed_brian2_loihi(program, inputs, "spikes")
    return Run(seconds, trace.messages)


def sana_fe(program: Program, inputs: Inputs) -> Run:
    """SANA-FE on its Loihi, with network-on-chip and energy, on one thread.

    Its neurons compute in floating point, so each replays the spikes that our emulator sent: what it
    routes and counts is our traffic. Its input neurons refuse currents, so that weights are 0.
    """
    if importlib.util.find_spec("sanafe") is None:
        raise BadInput("SANA-FE is not installed (extra 'oracles')")
    populations = spiking_populations(program, "SANA-FE")
    if any(c.delay for c in program.connections):
        raise BadInput("delays are part of its synapses' models only")
    import sanafe

    spikes = emulate_fast(program, inputs, "spikes").s
    arch, network = sanafe.load_loihi(), sanafe.Network()
    cores = [core for tile in arch.tiles for core in tile.cores]
    groups, taken = {}, 0
    for name in [node.name for node in (*program.inputs, *populations)]:
        sent = (spikes[name] if name in spikes else inputs[name])[0]
        trains = sent.reshape(len(sent), -1).T.astype(int).tolist()
        groups[name] = network.create_neuron_group(
            name, len(trains), soma_hw_name="loihi_inputs[0]",
            default_synapse_hw_name="loihi_dense_synapse",
            default_dendrite_hw_name="loihi_dendrites",
        )  # fmt: skip
        # 1 024 neurons a core; every group begins another.
        for i, (neuron, train) in enumerate(zip(groups[name].neurons, trains, strict=True)):
            neuron.set_attributes(
                soma_hw_name=f"loihi_inputs[{i % 1024}]", model_attributes={"spikes": train}
            )
            neuron.map_to_core(cores[taken + i // 1024])
        taken += -(-len(trains) // 1024)
    for c in program.connections:
        matrix = sample_synapses(c, 1).tocoo()
        pairs = list(zip(matrix.row.tolist(), matrix.col.tolist(), strict=True))
        zeros = {"weight": [0.0] * len(pairs)}
        groups[c.source].connect_neurons_sparse(groups[c.target], zeros, pairs)
    chip = sanafe.SpikingChip(arch)
    chip.load(network)
    steps = next(iter(inputs.values())).shape[1]
    with _silent():
        started = time.perf_counter()
        chip.sim(steps, processing_threads=1)
        seconds = time.perf_counter() - started
    return Run(seconds, {})


@contextlib.contextmanager
def _silent() -> Iterator[None]:
    """Without what compiled code prints to standard output."""
    sys.stdout.flush()
    kept, nowhere = os.dup(1), os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)
    try:
        yield
    finally:
        os.dup2(kept, 1)
        os.close(kept)
        os.close(nowhere)


PEERS: dict[str, Callable[[Program, Inputs], Run]] = {
    "Lava fixed_pt": lava,
    "nengo-loihi": nengo_loihi,
    "Brian2Loihi": brian2_loihi,
    "SANA-FE, replaying spikes": sana_fe,
}
