"""`timed`: a program as a chip runs it, every connection a step late, and where its branches wait.

On a chip each connection takes one step: it delivers what was sent the step before. A population of
latency k (`deploy.program.pipeline_latency`) is then k steps behind the input, and where branches of
different depth meet, messages of the shorter one have to be held back. There are two ways:

    synaptic delay   the connection delivers later, which takes bits of every synapse that it has
    relays           populations without memory pass a message on, a step later each; all connections
                     of their source share one chain of them

For example in → a → b and a skip in → b: a has latency 1 and b latency 2, so that the skip waits one
step. Its connection takes 2 steps in place of 1, or `in.relay1`, as large as the input, stands before it.

What results is a Program whose delays count steps of the chip, all at least 1, so that running it as
any other shows what the chip does. Its recordings, k steps removed, are those of the program it was
made of, provided that each population's state is cleared when its sample begins, at chip step k.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from numpy.typing import NDArray

from deploy.arithmetic.registers import DECAY_MAX, DELAY_MAX, GRADED_BITS_MIN
from deploy.neurons import Graded, Neurons
from deploy.program.pipeline_latency import extra_steps, latency_steps
from deploy.program.program import Connection, Input, Program, make_population, sent_range
from deploy.program.residual_stream import WEIGHT, relay

Arrays = Mapping[str, NDArray[Any]]


@dataclass(frozen=True, eq=False)
class Timed:
    """A program in the steps of a chip.

    program: with relays; the delay of a connection is the steps that it takes, at least 1.
    in_sample_time: the same nodes with the delays of the program it was made of, in which relays take
    no time. latency: {population: steps behind the input}, relays included. relays: {relay: the node
    whose messages it passes on}. held: {connection of the program it was made of: steps held back}.
    relayed, longest: with what `timed` was asked for it, so that it can be made again.
    """

    program: Program
    in_sample_time: Program
    latency: Mapping[str, int]
    relays: Mapping[str, str] = field(default_factory=dict)
    held: Mapping[str, int] = field(default_factory=dict)
    relayed: tuple[str, ...] | None = None
    longest: int = DELAY_MAX

    @property
    def depth(self) -> int:
        """Steps from the first of the input to the first of the deepest population."""
        return max(self.latency.values())

    @property
    def fill(self) -> int:
        """Steps by which the last of the outputs ends after the input: what one sample alone takes
        beyond its own steps; of a program without outputs, the depth."""
        outputs = [self.latency[o.source] for o in self.program.outputs]
        return max(outputs, default=self.depth)

    def with_relays(self, of_nodes: Arrays) -> dict[str, NDArray[Any]]:
        """{node: values} with those of the relays, which send what their source sends."""
        return dict(of_nodes) | {relay: of_nodes[source] for relay, source in self.relays.items()}

    def in_samples(self, recordings: Arrays, timesteps: int) -> dict[str, NDArray[Any]]:
        """{"NAME/s": [samples, chip steps, *shape], …} in sample time, relays left out."""
        found = {}
        for entry, values in recordings.items():
            name = entry.rpartition("/")[0]
            if name not in self.relays:
                start = self.latency[name]
                found[entry] = values[:, start : start + timesteps]
        return found


def timed(
    program: Program, relayed: Collection[str] | None = None, longest: int = DELAY_MAX
) -> Timed:
    """The program in the steps of a chip.

    relayed: the nodes whose messages wait in relays, by default all; those of others wait in synapses.
    longest: steps that a connection can take; what is beyond them waits in relays. Raises BadInput
    naming the nodes of a cycle that needs more steps than its delays allow.
    """
    latency = dict(latency_steps(program))
    held = extra_steps(program, latency)
    taken = {node.name for node in program.sources} | {c.name for c in program.connections}
    chains: dict[str, list[Neurons]] = {}
    relays: dict[str, str] = {}
    late: list[Connection] = []
    plain: list[Connection] = []
    for c in program.connections:
        source, steps = program.source(c.source), held[c.name]
        whole = relayed is None or source.name in relayed
        chained = steps if whole else max(0, steps + 1 - longest)
        chain = chains.setdefault(source.name, [])
        while len(chain) < chained:
            before = chain[-1].name if chain else source.name
            name = _free(f"{source.name}.relay{len(chain) + 1}", taken)
            neurons, weight = _relay(source, name)
            synapses = relay(_free(f"{name}.synapses", taken), before, name, source.shape, weight)
            late.append(replace(synapses, delay=1))
            plain.append(synapses)
            latency[name] = latency.get(before, 0) + 1
            relays[name] = source.name
            chain.append(neurons)
        start = chain[chained - 1].name if chained else source.name
        late.append(replace(c, source=start, delay=1 + steps - chained))
        plain.append(replace(c, source=start) if chained else c)
    # Each chain behind its source: whoever goes through the populations in order meets it on the way.
    populations: list[Neurons] = []
    for node in program.sources:
        if isinstance(node, Neurons):
            populations.append(node)
        populations += chains.get(node.name, [])

    def made(connections: list[Connection]) -> Program:
        return Program(program.inputs, tuple(populations), tuple(connections), program.outputs)

    waiting = {name: steps for name, steps in held.items() if steps}
    asked = None if relayed is None else tuple(sorted(relayed))
    return Timed(made(late), made(plain), latency, relays, waiting, asked, longest)


def _relay(source: Input | Neurons, name: str) -> tuple[Neurons, int]:
    """Neurons that send on what reaches them through relay synapses of this weight, and keep nothing."""
    low, high = sent_range(source)
    if low >= 0 and high <= 1:
        # (4·1) >> 1 is a sum of 2, 128 units of v, beyond the 64 of this threshold.
        return make_population(name, source.shape, du=DECAY_MAX, dv=DECAY_MAX, vth=1), 2 * WEIGHT
    bits = max(high, -low - 1).bit_length() + (low < 0)
    return Graded(name, source.shape, 0, low >= 0, max(bits, GRADED_BITS_MIN)), WEIGHT


def _free(name: str, taken: set[str]) -> str:
    while name in taken:
        name += "'"
    taken.add(name)
    return name
