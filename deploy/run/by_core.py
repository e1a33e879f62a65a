"""The mapped program run core by core: each neurocore holds its own neurons and its own synapses.

This is the reference that shows a mapping computes what the program computes. A core knows nothing
but its registers, its states, and the synapse lists of its input axons; everything else reaches it
as packets. Within a time step the populations take their turn in the program's order, and packets
are delivered at once: that is sample time (`Program`), not the order of events on a chip.
"""

from collections.abc import Mapping as Dict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from deploy.arithmetic.integers import Int64, shifted_sum
from deploy.connections import expand
from deploy.count.packets import HOST
from deploy.emulate.reference import Messages, check_inputs, empty_trace, take_step
from deploy.emulate.trace import Record, Trace
from deploy.errors import BadInput
from deploy.hardware.mapping import Core, Mapping, Slice
from deploy.neurons import Neurons
from deploy.program.program import Connection, Program


@dataclass(frozen=True, eq=False)
class Packet:
    """What one neuron sends to one core in one step: its messages int64 [samples], 0 for none."""

    source: str
    neuron: int
    payload: Int64


@dataclass(frozen=True, eq=False)
class MappedRun:
    """What running a mapped program showed; counts are over all samples.

    trace: equal to `emulate`'s. packets: {sender node: packets to cores other than its own}, the
    host's being those of the inputs. traffic: {(sending core, receiving core): packets}, a core's
    packets to itself included; the host is HOST.
    """

    trace: Trace
    packets: Dict[str, int]
    traffic: Dict[tuple[int, int], int]


def emulate_mapped(
    program: Program, mapping: Mapping, inputs: Messages, record: Record = "all"
) -> MappedRun:
    """Run a program on the cores of a mapping, equal to `deploy.emulate.reference.emulate` bit for bit.

    inputs, record: as for `emulate`. A packet is sent for each non-zero message and distinct core
    that has a synapse of its neuron, whatever the weight. Raises BadInput as `emulate` does, and
    where the mapping does not hold every neuron once.
    """
    samples, timesteps = check_inputs(program, inputs)
    _require_partition(program, mapping)
    trace = empty_trace(program, samples, timesteps, record)
    cores = [_Neurocore(program, core, samples) for core in mapping.cores]
    routes = {node.name: _routes(node.name, node.size, cores) for node in program.sources}
    packets = dict.fromkeys(routes, 0)
    traffic: dict[tuple[int, int], int] = {}

    def send(source: str, first: int, messages: Int64, sender: int) -> None:
        """Messages [samples, neurons first, first + 1, …] to every core with a synapse of theirs."""
        for column in np.flatnonzero(messages.any(axis=0)):
            neuron = first + int(column)
            packet = Packet(source, neuron, messages[:, column])
            number = int(np.count_nonzero(packet.payload))
            for core in routes[source][neuron]:
                core.receive(packet)
                traffic[sender, core.index] = traffic.get((sender, core.index), 0) + number
                packets[source] += number if core.index != sender else 0

    for t in range(timesteps):
        for node in program.inputs:
            sent = np.asarray(inputs[node.name][:, t]).astype(np.int64).reshape(samples, -1)
            trace.messages[node.name][...] += np.count_nonzero(sent, axis=0).reshape(node.shape)
            send(node.name, 0, sent, HOST)
        for name in program.order:
            for core in cores:
                for part, found in core.update(name, t):
                    where = slice(part.start, part.stop)
                    send(name, part.start, found["s"], core.index)
                    trace.messages[name].reshape(-1)[where] += np.count_nonzero(found["s"], axis=0)
                    for quantity, values in found.items():
                        recording = getattr(trace, quantity)
                        if name in recording:
                            flat = recording[name].reshape(samples, timesteps, -1)
                            flat[:, t, where] = values
                    if name in trace.readout:
                        trace.readout[name].reshape(samples, -1)[:, where] = found["v"]
        for core in cores:
            core.advance()
    return MappedRun(trace, packets, traffic)


class _Neurocore:
    """One core: slices of populations with their states, and synapse lists by input axon."""

    def __init__(self, program: Program, core: Core, samples: int) -> None:
        self.index = core.index
        self._parts = [_Part(program, part, samples) for part in core.slices]

    def axons(self, source: str) -> set[int]:
        """The neurons of a source that have a synapse on this core."""
        return {n for part in self._parts for a in part.synapses for n in a.lists.get(source, ())}

    def receive(self, packet: Packet) -> None:
        """Add a packet's messages to the sums of the step in which they are due."""
        for part in self._parts:
            for group in part.synapses:
                group.receive(packet)

    def update(self, population: str, t: int) -> list[tuple[Slice, dict[str, Int64]]]:
        """Update this core's neurons of one population: their slices, with s, u, v [samples, size]."""
        return [(p.part, p.update(t)) for p in self._parts if p.part.population == population]

    def advance(self) -> None:
        """End the step: what is due in the next one becomes due now."""
        for part in self._parts:
            for group in part.synapses:
                group.due.append(group.due.pop(0))
                group.due[-1][...] = 0


class _Part:
    """Neurons of one population on a core."""

    def __init__(self, program: Program, part: Slice, samples: int) -> None:
        self.part = part
        self.neurons = _cut(program.population(part.population), part)
        self.state = self.neurons.cleared(samples)
        self.synapses = [_Synapses(c, part, samples) for c in program.into(part.population)]
        self.silence = np.zeros((samples, part.size), np.int64)

    def update(self, t: int) -> dict[str, Int64]:
        a = self.silence.copy()
        for group in self.synapses:
            a += shifted_sum(group.due[0], group.exponent)
        self.state, s = take_step(self.neurons, self.state, a, t)
        return {"s": s, **self.neurons.recording(self.state)}


class _Synapses:
    """The synapses of one connection onto one slice: a list of (target, weight) per input axon.

    due: sums of this step, of the next one, …, as far as the delay reaches: [samples, neurons].
    """

    def __init__(self, c: Connection, part: Slice, samples: int) -> None:
        self.exponent, self.delay = c.exponent, c.delay
        listed = expand(c)
        rows = listed.indptr[part.start : part.stop + 1]
        held = slice(int(rows[0]), int(rows[-1]))
        targets = np.repeat(np.arange(part.size), np.diff(rows))
        lists: dict[int, tuple[Int64, Int64]] = {}
        for neuron in np.unique(listed.indices[held]):
            of = listed.indices[held] == neuron
            lists[int(neuron)] = targets[of], listed.weight[held][of].astype(np.int64)
        self.lists = {c.source: lists}
        self.due = [np.zeros((samples, part.size), np.int64) for _ in range(c.delay + 1)]

    def receive(self, packet: Packet) -> None:
        axon = self.lists.get(packet.source, {}).get(packet.neuron)
        if axon is not None:
            targets, weights = axon
            # A list names each target once, so that no addition is lost.
            self.due[self.delay][:, targets] += packet.payload[:, None] * weights


def _cut(population: Neurons, part: Slice) -> Neurons:
    """The neurons of a slice as a population of their own, flat."""
    held: dict[str, Any] = {
        name: register.reshape(-1)[part.start : part.stop]
        for name, register in population.registers.items()
    }
    return replace(population, shape=(part.size,), **held)


def _routes(source: str, size: int, cores: Sequence[_Neurocore]) -> list[list[_Neurocore]]:
    """By neuron of a source, the cores that have an input axon for it."""
    found: list[list[_Neurocore]] = [[] for _ in range(size)]
    for core in cores:
        for neuron in sorted(core.axons(source)):
            found[neuron].append(core)
    return found


def _require_partition(program: Program, mapping: Mapping) -> None:
    """Every neuron is on one core, and on no other."""
    held: dict[str, NDArray[Any]] = {
        p.name: np.zeros(p.size, np.int64) for p in program.populations
    }
    for core in mapping.cores:
        for part in core.slices:
            program.population(part.population)
            held[part.population][part.start : part.stop] += 1
    for name, times in held.items():
        wrong = np.flatnonzero(times != 1)
        if wrong.size:
            raise BadInput(
                f"mapping: neuron {int(wrong[0])} of node '{name}' is on {int(times[wrong[0]])} "
                "cores, expected 1"
            )
