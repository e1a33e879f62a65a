"""Chip latency: by how many steps a population lags behind the input on a target of one step a layer."""

from deploy.errors import BadInput
from deploy.program import Program


def latency_steps(program: Program) -> dict[str, int]:
    """{population: chip steps from an input message to the response it causes}.

    A population fed by an input has latency 1 (every connection sends last step's sum, then
    receives), one fed by that 2, and so on; one without sources runs beside the first layer.
    Sample step t of a population of latency k is chip step t + k, both counted from 1.
    Raises BadInput naming the node where branches of different latency meet, and for delays.
    """
    for c in program.connections:
        if c.delay:
            raise BadInput(
                f"node '{c.name}': delay {c.delay} is not supported yet by the Lava target "
                "(a delayed connection carries messages into the next sample); the emulator runs it"
            )
    latency = {node.name: 0 for node in program.inputs}
    for name in program.order:
        arrivals = {c.source: latency[c.source] for c in program.into(name)}
        if len(set(arrivals.values())) > 1:
            listed = ", ".join(f"'{source}' at {steps + 1}" for source, steps in arrivals.items())
            raise BadInput(
                f"node '{name}': its sources arrive at different chip steps ({listed}); aligning "
                "them is not supported yet by the Lava target; the emulator runs it"
            )
        latency[name] = 1 + max(arrivals.values(), default=0)
    return {p.name: latency[p.name] for p in program.populations}
