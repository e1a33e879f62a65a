"""Reading what a worker's network wrote into the files of its job."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from deploy.files import read_npz
from deploy.program import Program
from deploy.trace import Trace
from export.lava.job import Job, Slots


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
        if p.kind == "integrator":
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
        for register, held in read_npz(where.populations[p.name].registers).items():
            # A uniform register is one number in Lava, any other a flat array.
            value = held.reshape(()) if held.size == 1 else held.reshape(p.shape)
            found[f"{p.name}/{register}"] = np.broadcast_to(value, p.shape)
    for c in program.connections:
        held_by_c = read_npz(where.connections[c.name].registers)
        found |= {f"{c.name}/{register}": value for register, value in held_by_c.items()}
    return found
