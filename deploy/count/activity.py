"""Operations of each core in each step, from the messages of each step.

Everything here is a sum over messages, so that the messages of one sample give the counts of that
sample, and the totals over all samples (`Trace.per_step`) the totals over all samples.
"""

from collections.abc import Iterator
from collections.abc import Mapping as Dict
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from deploy.count.listening import Listening, listening
from deploy.count.packets import homes
from deploy.errors import BadInput
from deploy.hardware.mapping import Core, Mapping
from deploy.program.program import Program

Ints = NDArray[np.int64]

# The quantities of an `Activity`, in its order.
QUANTITIES = ("synaptic_ops", "synaptic_ops_dense", "spikes", "packets_out", "packets_in")
# Taken one by one, what a message adds takes as long as so many elements of a matrix product.
_FEW = 4


@dataclass(frozen=True, eq=False)
class Activity:
    """What each core did: int64 [*leading, cores], cores in the order of the mapping.

    synaptic_ops: without zero weights. synaptic_ops_dense: with them. spikes: messages that its
    neurons sent. packets_out: packets to other cores. packets_in: packets from other cores and from
    the host.
    """

    synaptic_ops: Ints
    synaptic_ops_dense: Ints
    spikes: Ints
    packets_out: Ints
    packets_in: Ints


@dataclass(frozen=True, eq=False)
class Fan:
    """Tables of one core, by source: the neurons that a sum runs over and the weight of each."""

    core: Core
    listening: Listening
    arriving: Dict[str, Ints]
    """{source: neurons on other cores, or on the host, with a synapse here}."""
    leaving: Dict[str, Ints]
    """{population: distinct other cores that each of its neurons here sends to}."""


def fans(program: Program, mapping: Mapping) -> tuple[Fan, ...]:
    """The tables behind `activity`, made once for a program and a mapping."""
    at = homes(program, mapping)
    heard = [listening(program, core) for core in mapping.cores]
    arriving = []
    copies = {node.name: np.zeros(node.size, np.int64) for node in program.sources}
    for core, tables in zip(mapping.cores, heard, strict=True):
        from_elsewhere = {
            source: neurons[at[source][neurons] != core.index]
            for source, (neurons, _, _) in tables.operations.items()
        }
        for source, neurons in from_elsewhere.items():
            copies[source][neurons] += 1
        arriving.append(from_elsewhere)
    return tuple(
        Fan(core, tables, of, {part.population: copies[part.population] for part in core.slices})
        for core, tables, of in zip(mapping.cores, heard, arriving, strict=True)
    )


def activity(found: tuple[Fan, ...], sent: Dict[str, NDArray[Any]]) -> Activity:
    """What each core did when the sources sent these messages.

    sent: {source: numbers of non-zero messages [*leading, size]}, the same leading axes for all.
    """
    leading = next(iter(sent.values())).shape[:-1]
    made = Activity(*(np.zeros((*leading, len(found)), np.int64) for _ in range(5)))
    for source, messages in sent.items():
        if messages.dtype == np.bool_ and _add_few(made, found, source, messages):
            continue
        _add_heard(made, found, source, messages)
        for i, fan in enumerate(found):
            for part in fan.core.slices:
                if part.population == source:
                    fired = messages[..., part.start : part.stop].astype(np.int64)
                    copies = fan.leaving[source][part.start : part.stop]
                    made.spikes[..., i] += fired.sum(axis=-1)
                    made.packets_out[..., i] += fired @ copies
    return made


def _add_few(made: Activity, found: tuple[Fan, ...], source: str, sent: NDArray[np.bool_]) -> bool:
    """What each message of one source comes to, message by message; False, and nothing, for too many."""
    # Where each core counts a neuron's message: (neurons, cores and quantities, how much).
    parts: list[tuple[Ints, int, Ints]] = []
    for i, fan in enumerate(found):
        at = i * len(QUANTITIES)
        if source in fan.listening.operations:
            heard, effective, dense = fan.listening.operations[source]
            parts += [(heard, at, effective), (heard, at + 1, dense)]
        for part in fan.core.slices:
            if part.population == source:
                own = np.arange(part.start, part.stop)
                parts += [(own, at + 2, np.ones_like(own)), (own, at + 3, fan.leaving[source][own])]
        if source in fan.arriving:
            parts.append((fan.arriving[source], at + 4, np.ones_like(fan.arriving[source])))
    if not parts:
        return True
    size = sent.shape[-1]
    steps, neurons = np.divmod(np.flatnonzero(sent), size)
    of = np.concatenate([neurons for neurons, _, _ in parts])
    order = np.argsort(of, kind="stable")
    where = np.repeat([at for _, at, _ in parts], [len(n) for n, _, _ in parts])[order]
    much = np.concatenate([much for _, _, much in parts])[order].astype(np.float64)
    entries = np.bincount(of, minlength=size)
    each = entries[neurons]
    total = int(each.sum())
    if total * _FEW > sent.size:
        return False
    first = (np.cumsum(entries) - entries)[neurons] - (np.cumsum(each) - each)
    entry = np.repeat(first, each) + np.arange(total)
    shape = sent.size // size, len(found), len(QUANTITIES)
    place = np.repeat(steps * (shape[1] * shape[2]), each) + where[entry]
    # Sums of whole numbers below 2^53 are exact in float64.
    counted = np.bincount(place, much[entry], shape[0] * shape[1] * shape[2]).reshape(shape)
    for number, quantity in enumerate(QUANTITIES):
        array = getattr(made, quantity)
        array += counted[..., number].astype(np.int64).reshape(array.shape)
    return True


def _add_heard(made: Activity, found: tuple[Fan, ...], source: str, sent: NDArray[Any]) -> None:
    """Operations and arriving packets of one source, on every core."""
    size = sent.shape[-1]
    # What cores that hear the whole source share, as those of a dense layer do.
    whole: NDArray[np.float64] | None = None
    total: Ints | None = None
    for i, fan in enumerate(found):
        if source in fan.listening.operations:
            neurons, effective, dense = fan.listening.operations[source]
            if len(neurons) == size and whole is None:
                whole = sent.astype(np.float64)
            here = whole if len(neurons) == size else sent[..., neurons].astype(np.float64)
            assert here is not None
            # Sums of whole numbers below 2^53 are exact in float64, whose products are fast.
            heard = here @ np.stack([effective, dense], 1)
            made.synaptic_ops[..., i] += heard[..., 0].astype(np.int64)
            made.synaptic_ops_dense[..., i] += heard[..., 1].astype(np.int64)
        arriving = fan.arriving.get(source)
        if arriving is None:
            continue
        if len(arriving) < size:
            made.packets_in[..., i] += sent[..., arriving].sum(axis=-1, dtype=np.int64)
            continue
        if total is None:
            total = sent.sum(axis=-1, dtype=np.int64)
        made.packets_in[..., i] += total


def step_counts(
    program: Program, per_step: Dict[str, NDArray[Any]], samples: int, found: tuple[Fan, ...] = ()
) -> dict[str, Any]:
    """The report's `counts.per_step`: what happened in each step, per inference.

    {"synaptic_ops", "synaptic_ops_dense", "spikes", "input_messages", "messages": each [steps],
    "neuron_updates": number of every step, "per_node": {"spikes": {population: [steps]},
    "synaptic_ops": {connection: [steps]}}, "per_core": {"cores": [index], "synaptic_ops", "spikes",
    "messages", "packets_in": [steps][cores]} or null}; `messages` and `per_core` need a mapping.
    Raises BadInput where the totals of each step are missing.
    """
    sent = {}
    for node in program.sources:
        if node.name not in per_step:
            raise BadInput(f"counts: messages of each step of node '{node.name}' are missing")
        sent[node.name] = np.asarray(per_step[node.name]).reshape(-1, node.size)
    spikes = {p.name: sent[p.name].sum(axis=1) for p in program.populations}
    effective = {c.name: sent[c.source] @ c.fan_out(zeros=False) for c in program.connections}
    dense = [sent[c.source] @ c.fan_out() for c in program.connections]
    cores = activity(found, sent) if found else None
    of_inputs = [sent[n.name].sum(axis=1) for n in program.inputs]

    def mean(values: NDArray[Any]) -> Any:
        return (values / samples).tolist()

    return {
        "synaptic_ops": mean(sum(effective.values(), start=np.zeros(1, np.int64))),
        "synaptic_ops_dense": mean(sum(dense, start=np.zeros(1, np.int64))),
        "spikes": mean(sum(spikes.values(), start=np.zeros(1, np.int64))),
        "input_messages": mean(sum(of_inputs, start=np.zeros(1, np.int64))),
        "messages": None if cores is None else mean(cores.packets_in.sum(axis=1)),
        "neuron_updates": sum(p.size for p in program.populations),
        "per_node": {
            "spikes": {name: mean(n) for name, n in spikes.items()},
            "synaptic_ops": {name: mean(n) for name, n in effective.items()},
        },
        "per_core": None
        if cores is None
        else {
            "cores": [fan.core.index for fan in found],
            "synaptic_ops": mean(cores.synaptic_ops),
            "spikes": mean(cores.spikes),
            "messages": mean(cores.packets_out),
            "packets_in": mean(cores.packets_in),
        },
    }


def sample_blocks(
    sent: Dict[str, NDArray[Any]], samples: int, budget: int = 1 << 26
) -> Iterator[dict[str, NDArray[np.bool_]]]:
    """Recordings [samples, time, *shape] as non-zero messages [block, time, size], in small blocks."""
    one = sum(array[:1].size for array in sent.values())
    size = max(1, budget // max(1, one))
    for first in range(0, samples, size):
        yield {
            name: np.asarray(array[first : first + size]).reshape(
                len(array[first : first + size]), array.shape[1], -1
            )
            != 0
            for name, array in sent.items()
        }
