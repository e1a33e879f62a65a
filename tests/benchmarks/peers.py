"""Other people's simulators on one sample of a program of leaky neurons, for the benchmarks.

Each returns a `Run`, or raises `Cannot` with the reason. They know no shared weights: convolutions are
listed synapse by synapse. Seconds are of the run alone, after building.
"""

import contextlib
import importlib.util
import io
import logging
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from deploy.connections import Sparse
from deploy.fast import emulate_fast
from deploy.program import Population, Program
from deploy.synapses import expand


class Cannot(Exception):
    """Why a peer does not run a program."""


@dataclass(frozen=True)
class Run:
    """seconds: of the steps. sent: {population: spikes of its neurons}, where the peer tells them."""

    seconds: float
    sent: dict[str, int]


def _needs(module: str) -> None:
    if importlib.util.find_spec(module) is None:
        raise Cannot("not installed")


def _neurons(program: Program) -> dict[str, Population]:
    found = {p.name: p for p in program.populations if isinstance(p, Population)}
    if len(found) < len(program.populations):
        raise Cannot("it has no such neurons")
    return found


def _latency(program: Program, unit: int) -> dict[str, int]:
    """By how many steps a population lags behind ours where every connection takes one step more.

    A cycle keeps its time only where its delay is that one step.
    """
    lag = dict.fromkeys((n.name for n in program.inputs), 0)
    for name in program.order:
        ahead = [c for c in program.into(name) if c.delay == 0]
        lags = {lag[c.source] + unit for c in ahead}
        if len(lags) > 1:
            raise Cannot("branches of different depth do not meet in time")
        lag[name] = lags.pop() if lags else unit
    for c in program.connections:
        if c.delay and not (c.delay == unit and lag[c.source] == lag[c.target]):
            raise Cannot("it has no delays but the step of a layer")
    return lag


def _by_source(c: Any) -> list[tuple[NDArray[np.int32], NDArray[np.int32]]]:
    """(targets, weights << exponent) of each source."""
    listed: Sparse = expand(c)
    targets = np.repeat(np.arange(listed.target_size, dtype=np.int32), np.diff(listed.indptr))
    order = np.argsort(listed.indices, kind="stable")
    ends = np.cumsum(np.bincount(listed.indices, minlength=listed.source_size))[:-1]
    weights = listed.weight[order].astype(np.int32) << c.exponent
    return list(zip(np.split(targets[order], ends), np.split(weights, ends), strict=True))


def lava(program: Program, inputs: dict[str, NDArray[Any]]) -> Run:
    """Lava's fixed-point models, in our worker."""
    _needs("lava")
    from export.lava.client import run_lava

    run = run_lava(program, inputs, "none", progress=False)
    sent = {p.name: int(run.trace.messages[p.name].sum()) for p in program.populations}
    return Run(run.timings["run_s"], sent)


def nengo_loihi(program: Program, inputs: dict[str, NDArray[Any]]) -> Run:
    """nengo-loihi's emulator, on blocks made by hand: its builder would change the weights."""
    _needs("nengo_loihi")
    neurons = _neurons(program)
    lag = _latency(program, 1)
    from nengo_loihi.block import Axon, LoihiBlock, Synapse
    from nengo_loihi.emulator.interface import EmulatorInterface
    from nengo_loihi.inputs import SpikeInput

    class Model:
        """What the emulator reads of a model."""

    blocks: dict[str, Any] = {}
    for name, p in neurons.items():
        block = blocks[name] = LoihiBlock(p.size, label=name)
        c = block.compartment
        c.decay_u, c.decay_v, c.bias = (x.reshape(-1) for x in (p.du, p.dv, p.bias))
        c.vth, c.refract_delay = p.vth.reshape(-1) << 6, np.ones(p.size, np.int32)
        c.scale_u = c.scale_v = False
        c.vmin, c.vmax, c.enable_noise = -(2**23) + 1, 2**23 - 1, np.zeros(p.size, np.int32)
    sources: dict[str, Any] = {n.name: SpikeInput(n.size) for n in program.inputs}
    for c in program.connections:
        listed = _by_source(c)
        synapse = Synapse(len(listed), label=c.name)
        synapse._set_weights_indices(
            [w.reshape(1, -1) << 6 for _, w in listed], [t.reshape(1, -1) for t, _ in listed],
            weight_dtype=np.int32,
        )  # fmt: skip
        blocks[c.target].add_synapse(synapse)
        axon = Axon(len(listed))
        axon.target = synapse
        axon.set_compartment_axon_map(np.arange(len(listed)))
        (sources.get(c.source) or blocks[c.source]).add_axon(axon)
    model: Any = Model()
    model.blocks, model.inputs, model.probes, model.dt = (
        [*blocks.values()],
        [*sources.values()],
        [],
        1,
    )
    emulator = EmulatorInterface(model, seed=0)
    steps = next(iter(inputs.values())).shape[1]
    for node in program.inputs:
        flat = inputs[node.name][0].reshape(steps, -1)
        for t in range(steps):
            sources[node.name].add_spikes(t + 1, np.flatnonzero(flat[t]))
    sent, begins, begin = {}, {}, 0
    for name, block in blocks.items():
        begins[name], begin = begin, begin + block.n_neurons
    spikes, seconds = emulator.compartment.spike_count, 0.0
    for t in range(1, steps + max(lag.values()) + 1):
        started = time.perf_counter()
        emulator.run_steps(1)
        # The last steps of a layer come later by its lag, and are no work of these samples before.
        seconds += (time.perf_counter() - started) * (t <= steps)
        for name in [n for n in blocks if t == steps + lag[n]]:
            here = slice(begins[name], begins[name] + blocks[name].n_neurons)
            sent[name] = int(spikes[here].sum())
    return Run(seconds, sent)


def brian2_loihi(program: Program, inputs: dict[str, NDArray[Any]]) -> Run:
    """Brian2Loihi, compiling nothing: its numpy target, as a first run would."""
    _needs("brian2_loihi")
    neurons = _neurons(program)
    lag = _latency(program, 1)
    import brian2
    from brian2_loihi import (
        LoihiNetwork,
        LoihiNeuronGroup,
        LoihiSpikeGeneratorGroup,
        LoihiSpikeMonitor,
        LoihiSynapses,
    )

    brian2.prefs.codegen.target = "numpy"
    logging.getLogger("brian2").setLevel(logging.ERROR)
    steps = next(iter(inputs.values())).shape[1]
    groups: dict[str, Any] = {}
    for name, p in neurons.items():
        registers = {n: np.unique(x) for n, x in (("du", p.du), ("dv", p.dv), ("vth", p.vth))}
        if any(len(x) > 1 for x in registers.values()) or p.bias.any():
            raise Cannot("registers differ within a population, or there are biases")
        du, dv, vth = (int(x[0]) for x in registers.values())
        groups[name] = LoihiNeuronGroup(
            p.size, refractory=1, threshold_v_mant=vth, decay_v=dv, decay_I=du + 1
        )
    for node in program.inputs:
        times, indices = np.nonzero(inputs[node.name][0].reshape(steps, -1))
        groups[node.name] = LoihiSpikeGeneratorGroup(node.size, indices, times.tolist())
    synapses = []
    for c in program.connections:
        listed = _by_source(c)
        made = LoihiSynapses(groups[c.source], groups[c.target], sign_mode=1, w_exp=0)
        sources = np.repeat(np.arange(len(listed)), [len(t) for t, _ in listed])
        made.connect(i=sources, j=np.concatenate([t for t, _ in listed]))
        made.w = np.concatenate([w for _, w in listed])
        synapses.append(made)
    monitors = {name: LoihiSpikeMonitor(groups[name]) for name in neurons}
    network = LoihiNetwork(*groups.values(), *synapses, *monitors.values())
    quiet = io.StringIO()
    with warnings.catch_warnings(), contextlib.redirect_stdout(quiet):
        warnings.simplefilter("ignore")
        network.run(1, report=None)
        started = time.perf_counter()
        network.run(steps - 1, report=None)
        seconds = time.perf_counter() - started
        network.run(max(lag.values()), report=None)
    sent = {n: int((np.asarray(m.t) < steps + lag[n] - 1.5).sum()) for n, m in monitors.items()}
    return Run(seconds * steps / (steps - 1), sent)


def sana_fe(program: Program, inputs: dict[str, NDArray[Any]]) -> Run:
    """SANA-FE on its Loihi, with network-on-chip and energy, on one thread.

    Its neurons compute in floating point, so each replays the spikes that our emulator sent: what it
    routes and counts is our traffic. Its input neurons refuse currents, so that weights are 0.
    """
    _needs("sanafe")
    neurons = _neurons(program)
    import sanafe

    spikes = emulate_fast(program, inputs, "spikes").s
    if any(c.delay for c in program.connections):
        raise Cannot("delays are part of its synapses' models only")
    arch, network = sanafe.load_loihi(), sanafe.Network()
    cores = [core for tile in arch.tiles for core in tile.cores]
    groups, taken = {}, 0
    for name in [*(n.name for n in program.inputs), *neurons]:
        sent = (spikes.get(name) if name in spikes else inputs[name])[0]  # type: ignore[index]
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
        pairs = [(i, int(j)) for i, (targets, _) in enumerate(_by_source(c)) for j in targets]
        zeros = {"weight": [0.0] * len(pairs)}
        groups[c.source].connect_neurons_sparse(groups[c.target], zeros, pairs)
    chip = sanafe.SpikingChip(arch)
    chip.load(network)
    steps = next(iter(inputs.values())).shape[1]
    started = time.perf_counter()
    chip.sim(steps, processing_threads=1)
    return Run(time.perf_counter() - started, {})


PEERS: dict[str, Callable[[Program, dict[str, NDArray[Any]]], Run]] = {
    "Lava fixed_pt": lava,
    "nengo-loihi": nengo_loihi,
    "Brian2Loihi": brian2_loihi,
    "SANA-FE": sana_fe,
}
