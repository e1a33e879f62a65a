"""A whole program as one hierarchical Lava Process, made of stock Lava processes only."""

from pkgutil import resolve_name

import numpy as np
from lava.magma.core.decorator import implements, tag
from lava.magma.core.model.sub.model import AbstractSubProcessModel
from lava.magma.core.process.ports.ports import InPort, OutPort
from lava.magma.core.process.process import AbstractProcess
from lava.magma.core.process.variable import Var
from lava.magma.core.sync.protocols.loihi_protocol import LoihiProtocol
from lava.proc.dense.process import Dense
from lava.proc.lif.process import LIF

from deploy.neurons import Neurons
from deploy.program.program import Program
from export.targets.lava.parts.neurons import lava_neurons, neuron_arguments, stock_interval
from export.targets.lava.parts.synapses import built, loose_parts


class Network(AbstractProcess):
    """Ports and states of a program; `export.targets.lava.build` makes one.

    inputs: {input: InPort [*shape]}. outputs: {population that is a spike output: OutPort [*shape]}.
    u, v: {population: Var [*shape]} of those that have states, to be read between runs; Var.get
    costs 30 µs per element. relays: the populations that only pass messages on, which have neither
    entry nor latency here.
    latency: {population: chip steps}. Lava also lists the ports and Vars under their attribute
    names: NAME_in, NAME_out, NAME_u, NAME_v.
    """

    def __init__(
        self,
        *,
        program: Program,
        timesteps: int,
        latency: dict[str, int],
        relays: frozenset[str] = frozenset(),
    ) -> None:
        super().__init__(program=program, timesteps=timesteps, latency=latency)
        self.latency = {name: steps for name, steps in latency.items() if name not in relays}
        self.inputs = {n.name: InPort(shape=n.shape) for n in program.inputs}
        read = [o.source for o in program.outputs if o.quantity == "s"]
        self.outputs = {n: OutPort(shape=program.population(n).shape) for n in dict.fromkeys(read)}
        with_state = [p for p in program.populations if p.recorded and p.name not in relays]
        self.u = {p.name: Var(shape=p.shape) for p in with_state}
        self.v = {p.name: Var(shape=p.shape) for p in with_state}
        # Lava finds ports and Vars among a Process's own attributes.
        for suffix, members in (
            ("in", self.inputs),
            ("out", self.outputs),
            ("u", self.u),
            ("v", self.v),
        ):
            for name, member in members.items():
                setattr(self, f"{name}_{suffix}", member)


@implements(proc=Network, protocol=LoihiProtocol)
@tag("bit_accurate_loihi", "fixed_pt")
class NetworkModel(AbstractSubProcessModel):
    """Inputs → Dense, Sparse or Conv → LIFReset or graded → …, a process per population and connection."""

    def __init__(self, proc: AbstractProcess) -> None:
        program, timesteps = proc.proc_params["program"], proc.proc_params["timesteps"]
        neurons = {}
        for index, p in enumerate(program.populations):
            neuron = _neuron(p, proc.proc_params["latency"][p.name], timesteps)
            # Lava finds a model's processes among its attributes.
            setattr(self, f"population_{index}", neuron)
            neurons[p.name] = neuron
            for states, name in ((proc.u, "u"), (proc.v, "v")):
                if p.name in states:
                    states[p.name].alias(getattr(neuron, name))
        senders = dict(proc.inputs) | {name: neuron.s_out for name, neuron in neurons.items()}
        for index, c in enumerate(program.connections):
            target = neurons[c.target].a_in
            how = built(program, c)
            synapse = resolve_name(how.process)(**how.arguments(program, c))
            if how.frames:
                senders[c.source].transpose((2, 1, 0)).connect(synapse.s_in)
                synapse.a_out.transpose((2, 1, 0)).connect(target)
            else:
                senders[c.source].flatten().connect(synapse.s_in)
                synapse.a_out.reshape(program.population(c.target).shape).connect(target)
            setattr(self, f"connection_{index}", synapse)
        for name, port in proc.outputs.items():
            neurons[name].s_out.connect(port)
        parts = loose_parts(program)
        if parts:
            self.join = LIF(shape=(1,))
        for index, name in enumerate(parts):
            dense = Dense(weights=np.zeros((1, program.source(name).size), np.int32))
            setattr(self, f"join_{index}", dense)
            senders[name].flatten().connect(dense.s_in)
            dense.a_out.connect(self.join.a_in)


def _neuron(p: Neurons, latency: int, timesteps: int) -> AbstractProcess:
    """The stock process of a population.

    State is cleared before the population's first step of every sample: LIFReset clears it when
    step % interval == offset, with steps counted from 1.
    """
    interval, arguments, how = (
        stock_interval(p, timesteps),
        neuron_arguments(p, p.shape),
        lava_neurons(p),
    )
    assert how.stock is not None  # stock_interval
    if not how.stateless:
        arguments |= {"reset_interval": interval, "reset_offset": (latency + 1) % interval}
    process: AbstractProcess = resolve_name(how.stock(p))(**arguments)
    return process
