"""A program with its input and its recorders as one Lava Process: what the worker runs."""

from pkgutil import resolve_name
from typing import Any

import numpy as np
from lava.magma.core.decorator import implements, tag
from lava.magma.core.model.sub.model import AbstractSubProcessModel
from lava.magma.core.process.process import AbstractProcess
from lava.magma.core.sync.protocols.loihi_protocol import LoihiProtocol
from lava.proc.dense.process import Dense
from lava.proc.lif.process import LIF

from deploy.program.pipeline_latency import extra_steps
from deploy.program.program import Program
from export.targets.lava.parts.job import PROGRESS, Slots
from export.targets.lava.parts.neurons import lava_neurons, neuron_arguments, rule
from export.targets.lava.parts.synapses import loose_parts, recorded
from export.targets.lava.processes.recording import SpikeSource


class RecordedNetwork(AbstractProcess):
    """No ports: its sources read, and its neurons write, the files of `slots`."""

    def __init__(
        self, *, program: Program, latency: dict[str, int], slots: Slots, stock: bool = False
    ) -> None:
        super().__init__(program=program, latency=latency, slots=slots, stock=stock)


@implements(proc=RecordedNetwork, protocol=LoihiProtocol)
@tag("bit_accurate_loihi", "fixed_pt")
class RecordedNetworkModel(AbstractSubProcessModel):
    """SpikeSource → recording synapses → recording neurons → …, all of flat shape."""

    def __init__(self, proc: AbstractProcess) -> None:
        program, latency = proc.proc_params["program"], proc.proc_params["latency"]
        slots, extra = proc.proc_params["slots"], extra_steps(program, latency)
        stock = proc.proc_params["stock"]
        senders: dict[str, Any] = {}
        for name, slot in slots.inputs.items():
            data = np.load(slot.file("data"), mmap_mode="r").view(np.ndarray)
            senders[name] = SpikeSource(data=data, slot=slot, name=name)
        # The deepest population says how far the network is.
        last = max(latency, key=lambda name: latency[name])
        for p in program.populations:
            slot = slots.populations[p.name]
            process = resolve_name(lava_neurons(p).recording(p))
            senders[p.name] = process(
                slot=slot,
                rule=rule(p),
                registers=tuple(p.registers),
                progress=str(slot.folder / PROGRESS) if p.name == last else None,
                **neuron_arguments(p, (p.size,)),
            )
        processes = list(senders.values())
        for c in program.connections:
            how = recorded(c, stock)
            synapse = resolve_name(how.process)(
                slot=slots.connections[c.name],
                extra=extra[c.name],
                delay=c.delay,
                target=slots.populations[c.target],
                **how.arguments(program, c),
            )
            senders[c.source].s_out.connect(synapse.s_in)
            synapse.a_out.connect(senders[c.target].a_in)
            processes.append(synapse)
        parts = loose_parts(program)
        if parts:
            processes.append(LIF(shape=(1,)))
        join = processes[-1]
        for name in parts:
            dense = Dense(weights=np.zeros((1, program.source(name).size), np.int32))
            senders[name].s_out.connect(dense.s_in)
            dense.a_out.connect(join.a_in)
            processes.append(dense)
        for index, process in enumerate(processes):
            # Lava finds a model's processes among its attributes.
            setattr(self, f"process_{index}", process)
