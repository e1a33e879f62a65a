"""Operations of a run, counted exactly: synaptic operations, neuron updates, spikes, messages, bytes.

Definitions, as integers over all samples:

    synaptic_ops        Σ over connections, Σ_j messages_j · (non-zero weights of source j)
    synaptic_ops_dense  the same with zero weights included: messages_j · synapses of source j
    macs, acs           synaptic_ops split by connection as NeuroBench does (Yik et al. 2025):
                        multiply-accumulates where messages are graded, accumulates where every
                        message is −1, 0 or 1
    neuron_updates      samples · time steps · neurons: every neuron, every step
    spikes              messages that populations send; `input_messages`, those of the inputs
    messages            Σ_j messages_j · distinct remote cores that hold a target of j (needs a
                        mapping); an input is on the host, so that every core is remote to it
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

from deploy.errors import BadInput
from deploy.mapping import Core, Mapping
from deploy.populations import AnyPopulation
from deploy.program import Input, Program, is_graded
from deploy.synapses import fan_out, reach, synapses

PerNode = Dict[str, int]


@dataclass(frozen=True)
class CoreCounts:
    """What happens on one core, over all samples; `messages` are those it sends."""

    core: int
    neurons: int
    synaptic_ops: int
    synaptic_ops_dense: int
    neuron_updates: int
    spikes: int
    messages: int


@dataclass(frozen=True)
class Counts:
    """Exact totals over all samples, by node name; see the module for the definitions.

    synaptic_ops, synaptic_ops_dense, weight_bytes, synapses: by connection; neuron_updates, spikes: by
    population; input_messages: by input; messages: by sender, None without a mapping.
    graded: connections whose messages are graded; spiking: populations that can fire.
    hops: None until cores are placed on the mesh.
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
    hops: None = None

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
) -> Counts:
    """Count a run from the messages that every input and population sent.

    messages: {input or population: integers [*shape], non-zero messages over all samples}, as
    `Trace.messages`. mapping: where the neurons are, for `messages` and the counts of each core.
    Raises BadInput naming the node whose messages are missing, of another shape or impossible.
    """
    if samples < 1 or timesteps < 1:
        raise BadInput(f"counts: {samples} samples of {timesteps} steps, expected at least 1 of 1")
    sent = {node.name: _sent(node, messages, samples * timesteps) for node in program.sources}
    reached = None if mapping is None else _remote_cores(program, mapping)
    return Counts(
        samples,
        timesteps,
        synaptic_ops={
            c.name: _dot(sent[c.source], fan_out(c, zeros=False)) for c in program.connections
        },
        synaptic_ops_dense={c.name: _dot(sent[c.source], fan_out(c)) for c in program.connections},
        neuron_updates={p.name: p.size * samples * timesteps for p in program.populations},
        spikes={p.name: _total(sent[p.name]) for p in program.populations},
        input_messages={n.name: _total(sent[n.name]) for n in program.inputs},
        messages=None
        if reached is None
        else {name: _dot(sent[name], cores) for name, cores in reached.items()},
        weight_bytes={c.name: c.weight.size for c in program.connections},
        synapses={c.name: synapses(c) for c in program.connections},
        graded=frozenset(
            c.name for c in program.connections if is_graded(program.source(c.source))
        ),
        spiking=frozenset(p.name for p in program.populations if p.kind != "integrator"),
        per_core=None
        if mapping is None or reached is None
        else tuple(_core(program, sent, reached, c, samples * timesteps) for c in mapping.cores),
    )


def to_json(counts: Counts) -> dict[str, Any]:
    """The report's `counts`: per inference, each with its total, per node, and the exact total.

    Each count is {"total": float, "per_node": {name: float}, "exact_total": int over all samples};
    `messages` is null without a mapping, `hops` until placement; `weight_bytes` are of the network.
    """
    kinds = (
        *("synaptic_ops", "synaptic_ops_dense", "macs", "acs"),
        *("neuron_updates", "spikes", "input_messages", "messages"),
    )
    return {
        "samples": counts.samples,
        "timesteps": counts.timesteps,
        **{kind: _per_inference(getattr(counts, kind), counts.samples) for kind in kinds},
        "hops": counts.hops,
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


def _core_json(core: CoreCounts, samples: int) -> dict[str, Any]:
    kinds = ("synaptic_ops", "synaptic_ops_dense", "neuron_updates", "spikes", "messages")
    per_inference = {kind: getattr(core, kind) / samples for kind in kinds}
    return {"core": core.core, "neurons": core.neurons} | per_inference


def _sent(
    node: Input | AnyPopulation, messages: Dict[str, NDArray[Any]], most: int
) -> NDArray[np.int64]:
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


def _remote_cores(program: Program, mapping: Mapping) -> dict[str, NDArray[np.int64]]:
    """{sender: distinct remote cores that each of its neurons has a synapse on, int64 [size]}."""
    found = {node.name: np.zeros(node.size, np.int64) for node in program.sources}
    for core in mapping.cores:
        reached = {name: np.zeros(len(cores), np.bool_) for name, cores in found.items()}
        for s in core.slices:
            for c in program.into(s.population):
                reached[c.source] |= reach(c, s.start, s.stop)
        for s in core.slices:
            reached[s.population][s.start : s.stop] = False
        for name, on_core in reached.items():
            found[name] += on_core
    return found


def _core(
    program: Program,
    sent: Dict[str, NDArray[np.int64]],
    reached: Dict[str, NDArray[np.int64]],
    core: Core,
    updates: int,
) -> CoreCounts:
    """The counts of one core. updates: samples · time steps."""
    ops = dense = spikes = messages = 0
    for s in core.slices:
        for c in program.into(s.population):
            ops += _dot(sent[c.source], fan_out(c, s.start, s.stop, zeros=False))
            dense += _dot(sent[c.source], fan_out(c, s.start, s.stop))
        fired = sent[s.population][s.start : s.stop]
        spikes += _total(fired)
        messages += _dot(fired, reached[s.population][s.start : s.stop])
    neurons = sum(s.size for s in core.slices)
    return CoreCounts(core.index, neurons, ops, dense, neurons * updates, spikes, messages)
