"""Reading what a worker's network wrote into the files of its job."""

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from deploy.connections import expand
from deploy.emulate.trace import Trace
from deploy.errors import CheckFailed
from deploy.files import read_npz
from deploy.program.program import Connection, Program
from export.targets.lava.parts.job import Job, Slots


def read_trace(program: Program, job: Job, where: Slots) -> Trace:
    """The recordings of a run as a Trace, each in the shape of its node."""
    recorded: dict[str, dict[str, NDArray[Any]]] = {"s": {}, "u": {}, "v": {}}
    messages, readout = {}, {}
    for node in program.inputs:
        messages[node.name] = np.load(where.inputs[node.name].file("messages")).reshape(node.shape)
    for p in program.populations:
        slot = where.populations[p.name]
        messages[p.name] = np.load(slot.file("messages")).reshape(p.shape)
        for quantity, arrays in recorded.items():
            if slot.file(quantity).exists():
                shape = (job.samples, job.timesteps, *p.shape)
                arrays[p.name] = np.load(slot.file(quantity)).reshape(shape)
        if p.is_readout:
            readout[p.name] = np.load(slot.file("readout")).reshape(job.samples, *p.shape)
    return Trace(
        job.samples,
        job.timesteps,
        recorded["s"],
        recorded["u"],
        recorded["v"],
        messages,
        readout,
    )


def read_registers(program: Program, where: Slots) -> dict[str, NDArray[Any]]:
    """The registers as the models held them, each in the shape of its node."""
    found: dict[str, NDArray[Any]] = {}
    for p in program.populations:
        of_each = p.registers
        for register, held in read_npz(where.populations[p.name].registers).items():
            # A uniform register is one number in Lava, any other a flat array.
            value = held.reshape(()) if held.size == 1 else held.reshape(p.shape)
            if register in of_each:
                found[f"{p.name}/{register}"] = np.broadcast_to(value, p.shape)
            elif value.any():  # off, and left out as `deploy.program.program.registers` does
                found[f"{p.name}/{register}"] = value.astype(np.int32)
    for c in program.connections:
        held_by_c = read_npz(where.connections[c.name].registers)
        found[f"{c.name}/weight"] = (
            _weight(c, held_by_c) if "indptr" in held_by_c else held_by_c["weight"]
        )
        found |= {f"{c.name}/{register}": held_by_c[register] for register in ("exponent", "delay")}
    return found


def _weight(c: Connection, held: dict[str, NDArray[Any]]) -> NDArray[np.int32]:
    """What the model held as lists of synapses, in the shape of the connection's weight.

    A kernel's weight that is held with different values is reported by one that is not the
    program's; one that falls on the padding everywhere is held by no synapse and taken as it is.
    Raises CheckFailed where synapses were held that the program does not have.
    """
    listed = expand(c)

    def places(indptr: NDArray[Any], indices: NDArray[Any]) -> NDArray[np.int64]:
        rows = np.repeat(np.arange(len(indptr) - 1, dtype=np.int64), np.diff(indptr))
        return rows * c.source_size + indices

    ours, theirs = places(listed.indptr, listed.indices), places(held["indptr"], held["indices"])
    at = np.searchsorted(ours, theirs)
    if (at == len(ours)).any() or (ours[at] != theirs).any():
        raise CheckFailed(f"node '{c.name}': Lava held synapses that the program does not have")
    values = np.zeros(len(ours), np.int32)  # Lava drops the weights that are zero
    values[at] = held["weight"]
    different = values != listed.weight
    weight = c.weight.copy()
    if different.any():
        numbers = np.arange(c.weight.size, dtype=np.int32).reshape(c.weight.shape)
        which = expand(replace(c, weight=numbers)).weight
        weight.reshape(-1)[which[different]] = values[different]
    return weight
