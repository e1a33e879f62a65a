"""Operations of a run, counted exactly: synaptic operations, neuron updates, spikes, messages, bytes.

Definitions, as integers over all samples:

    synaptic_ops        Σ over connections, Σ_j messages_j · (non-zero weights of source j)
    synaptic_ops_dense  the same with the zero weights that are stored: messages_j · synapses of source j.
                        What is stored takes synapse words and is performed; each kind says what it
                        stores (`deploy.connections`): a dense matrix and a kernel all zeros, a list
                        those that it lists
    macs, acs           synaptic_ops split by connection as NeuroBench does (Yik et al. 2025):
                        multiply-accumulates where messages are graded, accumulates where every
                        message is −1, 0 or 1
    neuron_updates      samples · time steps · neurons: every neuron, every step
    spikes              messages that populations send; `input_messages`, those of the inputs
    messages            packets: Σ_j messages_j · distinct remote cores that hold a target of j (needs
                        a mapping); an input is on the host, so that every core is remote to it
    hops                Σ over packets of the mesh's hops they take, which needs a chip too; packets
                        of inputs take none, because the host is nowhere on the mesh
    weight_bytes        one byte a weight, zeros included; a property of the network, not of a run
    synapses            weights counted wherever they are used: a kernel's at every position

A message over a connection with a delay is counted when it is sent: also if it would arrive after
the last step of its sample.
"""

from collections.abc import Mapping as Dict
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from deploy.connections.connection import Pattern
from deploy.count.activity import Fan, activity, fans
from deploy.count.packets import Traffic, hops_of, traffic
from deploy.errors import BadInput
from deploy.hardware.chip import Chip
from deploy.hardware.mapping import Core, Mapping
from deploy.neurons import Neurons
from deploy.program.program import Input, Program, is_graded

PerNode = Dict[str, int]


@dataclass(frozen=True)
class HopCounts:
    """Hops of the mesh by sender, over all samples, and steps from chip to chip among them."""

    east_west: PerNode
    north_south: PerNode
    chip_crossings: PerNode

    @property
    def total(self) -> PerNode:
        """East–west and north–south hops together, by sender."""
        return {name: n + self.north_south[name] for name, n in self.east_west.items()}


@dataclass(frozen=True)
class CoreCounts:
    """What happens on one core, over all samples.

    messages: packets it sends to other cores. packets_in: those it gets from other cores and from
    the host. weight_bytes: one byte for every weight it holds, a kernel's once.
    """

    core: int
    neurons: int
    synaptic_ops: int
    synaptic_ops_dense: int
    neuron_updates: int
    spikes: int
    messages: int
    packets_in: int
    weight_bytes: int


@dataclass(frozen=True)
class Counts:
    """Exact totals over all samples, by node name; see the module for the definitions.

    synaptic_ops, synaptic_ops_dense, weight_bytes, synapses: by connection; neuron_updates, spikes: by
    population; input_messages: by input; messages: by sender, None without a mapping.
    graded: connections whose messages are graded; patterns: how the synapses of each are stored
    (`deploy.connections.connection`); spiking: populations that can fire. hops: None without a chip.
    traffic: the packets behind `messages`, None without a mapping.
    """

    samples: int
    timesteps: int
    synaptic_ops: PerNode
    synaptic_ops_dense: PerNode
    neuron_updates: PerNode
    spikes: PerNode
    input_messages: PerNode
    messages: PerNode | None
    weight_bytes: PerNode
    synapses: PerNode
    graded: frozenset[str]
    spiking: frozenset[str]
    per_core: tuple[CoreCounts, ...] | None
    patterns: Dict[str, Pattern]
    hops: HopCounts | None
    traffic: Traffic | None

    @property
    def macs(self) -> PerNode:
        """Synaptic operations on graded messages, by connection."""
        return {name: n for name, n in self.synaptic_ops.items() if name in self.graded}

    @property
    def acs(self) -> PerNode:
        """Synaptic operations on binary messages, by connection."""
        return {name: n for name, n in self.synaptic_ops.items() if name not in self.graded}

    @property
    def spike_rate(self) -> float:
        """Spikes per spiking neuron and time step, 0..1."""
        updates = sum(self.neuron_updates[name] for name in self.spiking)
        return sum(self.spikes[name] for name in self.spiking) / updates if updates else 0.0

    @property
    def messages_per_synapse(self) -> float:
        """Messages per synapse and inference: dense synaptic operations / (samples · synapses)."""
        number = self.samples * sum(self.synapses.values())
        return sum(self.synaptic_ops_dense.values()) / number if number else 0.0


def count(
    program: Program,
    messages: Dict[str, NDArray[Any]],
    samples: int,
    timesteps: int,
    mapping: Mapping | None = None,
    chip: Chip | None = None,
) -> Counts:
    """Count a run from the messages that every input and population sent.

    messages: {input or population: integers [*shape], non-zero messages over all samples}, as
    `Trace.messages`. mapping: where the neurons are, for `messages` and the counts of each core.
    chip: the mesh that its cores are on, for `hops`.
    Raises BadInput naming the node whose messages are missing, of another shape or impossible.
    """
    if samples < 1 or timesteps < 1:
        raise BadInput(f"counts: {samples} samples of {timesteps} steps, expected at least 1 of 1")
    sent = {node.name: _sent(node, messages, samples * timesteps) for node in program.sources}
    tables = () if mapping is None else fans(program, mapping)
    heard = [fan.listening for fan in tables]
    found = None if mapping is None else traffic(program, mapping, sent, heard)
    return Counts(
        samples,
        timesteps,
        synaptic_ops={
            c.name: _dot(sent[c.source], c.fan_out(zeros=False)) for c in program.connections
        },
        synaptic_ops_dense={c.name: _dot(sent[c.source], c.fan_out()) for c in program.connections},
        neuron_updates={p.name: p.size * samples * timesteps for p in program.populations},
        spikes={p.name: _total(sent[p.name]) for p in program.populations},
        input_messages={n.name: _total(sent[n.name]) for n in program.inputs},
        messages=None
        if found is None
        else _by_sender(program, found, found.packets * found.remote),
        weight_bytes={c.name: c.weight.size for c in program.connections},
        synapses={c.name: c.synapse_count() for c in program.connections},
        graded=frozenset(
            c.name for c in program.connections if is_graded(program.source(c.source))
        ),
        spiking=frozenset(p.name for p in program.populations if not p.is_readout),
        per_core=None
        if mapping is None
        else _per_core(program, mapping, tables, sent, samples * timesteps),
        patterns={c.name: c.pattern for c in program.connections},
        hops=None if found is None or chip is None else _hops(program, chip, found),
        traffic=found,
    )


def to_json(counts: Counts) -> dict[str, Any]:
    """The report's `counts`: per inference, each with its total, per node, and the exact total.

    Each count is {"total": float, "per_node": {name: float}, "exact_total": int over all samples};
    `messages` is null without a mapping, `hops` without a chip, and has "east_west", "north_south"
    and "chip_crossings" beside its total; `weight_bytes` are of the network.
    """
    kinds = (
        *("synaptic_ops", "synaptic_ops_dense", "macs", "acs"),
        *("neuron_updates", "spikes", "input_messages", "messages"),
    )
    return {
        "samples": counts.samples,
        "timesteps": counts.timesteps,
        **{kind: _per_inference(getattr(counts, kind), counts.samples) for kind in kinds},
        "hops": None if counts.hops is None else _hops_json(counts.hops, counts.samples),
        "weight_bytes": {
            "total": sum(counts.weight_bytes.values()),
            "per_node": dict(counts.weight_bytes),
        },
        "spike_rate": counts.spike_rate,
        "messages_per_synapse": counts.messages_per_synapse,
        "per_core": None
        if counts.per_core is None
        else [_core_json(core, counts.samples) for core in counts.per_core],
    }


def _per_inference(exact: PerNode | None, samples: int) -> dict[str, Any] | None:
    if exact is None:
        return None
    return {
        "total": sum(exact.values()) / samples,
        "per_node": {name: n / samples for name, n in exact.items()},
        "exact_total": sum(exact.values()),
    }


def _hops_json(hops: HopCounts, samples: int) -> dict[str, Any]:
    found = _per_inference(hops.total, samples)
    assert found is not None
    kinds = ("east_west", "north_south", "chip_crossings")
    return found | {each: sum(getattr(hops, each).values()) / samples for each in kinds}


def _core_json(core: CoreCounts, samples: int) -> dict[str, Any]:
    kinds = (
        *("synaptic_ops", "synaptic_ops_dense", "neuron_updates", "spikes", "messages"),
        "packets_in",
    )
    per_inference = {kind: getattr(core, kind) / samples for kind in kinds}
    fixed = {"core": core.core, "neurons": core.neurons, "weight_bytes": core.weight_bytes}
    return fixed | per_inference


def _sent(node: Input | Neurons, messages: Dict[str, NDArray[Any]], most: int) -> NDArray[np.int64]:
    """The messages of a node as int64 [size], checked."""
    if node.name not in messages:
        raise BadInput(f"counts: messages of node '{node.name}' are missing")
    sent = np.asarray(messages[node.name])
    if sent.shape != node.shape or not np.issubdtype(sent.dtype, np.integer):
        raise BadInput(
            f"counts: messages of node '{node.name}' are {sent.dtype} {list(sent.shape)}, "
            f"expected integers {list(node.shape)}"
        )
    for worst in (int(sent.min()), int(sent.max())):
        if not 0 <= worst <= most:
            raise BadInput(
                f"counts: node '{node.name}' has {worst} messages from one neuron, expected 0 to {most}"
            )
    return sent.reshape(-1).astype(np.int64)


def _total(values: NDArray[np.int64]) -> int:
    return _dot(values, np.ones_like(values))


def _dot(a: NDArray[np.int64], b: NDArray[np.int64]) -> int:
    """Σ a·b in Python's integers, which do not overflow."""
    return int(np.dot(a.astype(object), b.astype(object)))


def _by_sender(program: Program, found: Traffic, values: NDArray[np.int64]) -> dict[str, int]:
    """Values of the entries of a traffic, summed by the node that sent them."""
    sums = np.zeros(len(program.sources), np.int64)
    np.add.at(sums, found.node, values)
    return {node.name: int(n) for node, n in zip(program.sources, sums, strict=True)}


def _hops(program: Program, chip: Chip, found: Traffic) -> HopCounts:
    return HopCounts(*(_by_sender(program, found, each) for each in hops_of(chip, found)))


def _per_core(
    program: Program,
    mapping: Mapping,
    tables: tuple[Fan, ...],
    sent: Dict[str, NDArray[np.int64]],
    updates: int,
) -> tuple[CoreCounts, ...]:
    """The counts of every core. updates: samples · time steps."""
    found = activity(tables, sent)
    return tuple(
        CoreCounts(
            core.index,
            neurons=(neurons := sum(s.size for s in core.slices)),
            synaptic_ops=int(found.synaptic_ops[i]),
            synaptic_ops_dense=int(found.synaptic_ops_dense[i]),
            neuron_updates=neurons * updates,
            spikes=int(found.spikes[i]),
            messages=int(found.packets_out[i]),
            packets_in=int(found.packets_in[i]),
            weight_bytes=_weight_bytes(program, core),
        )
        for i, core in enumerate(mapping.cores)
    )


def _weight_bytes(program: Program, core: Core) -> int:
    """Weights that a core stores: of a convolution the kernels of the output channels that it has."""
    total = 0
    for name in dict.fromkeys(s.population for s in core.slices):
        parts = [np.arange(s.start, s.stop) for s in core.slices if s.population == name]
        targets = np.concatenate(parts)
        for c in program.into(name):
            held = c.stored(targets, np.zeros_like(targets), 1, shared_kernels=True)
            total += held.times * int(held.size.sum())
    return total
