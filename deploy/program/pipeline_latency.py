"""Chip latency: by how many steps a population lags behind the input on a target of one step a layer."""

from deploy.errors import BadInput
from deploy.program.program import Program


def latency_steps(program: Program) -> dict[str, int]:
    """{population: chip steps from an input message to the response it causes}.

    A population fed by an input has latency 1 (every connection sends last step's sum, then
    receives), one fed by that 2, and so on; one without sources runs beside the first layer. A
    connection of delay d allows its target to lag d steps less. Where branches meet, the longest
    counts, and the connections of the others hold their messages back (`extra_steps`). The smallest
    such latencies are given. Sample step t of a population of latency k is chip step t + k, both
    counted from 1. Raises BadInput naming the nodes of a cycle that needs more steps than its delays
    allow.
    """
    latency = {n.name: 0 for n in program.inputs} | {p.name: 1 for p in program.populations}
    for _ in latency:
        before = dict(latency)
        for c in program.connections:
            latency[c.target] = max(latency[c.target], latency[c.source] + 1 - c.delay)
        if latency == before:
            break
    else:
        growing = sorted(name for name in latency if latency[name] != before[name])
        raise BadInput(
            f"nodes {growing}: a cycle of more connections than steps of delay cannot run on a "
            "target that delays one step per layer; the emulator runs it"
        )
    return {p.name: latency[p.name] for p in program.populations}


def extra_steps(program: Program, latency: dict[str, int]) -> dict[str, int]:
    """{connection: steps it must hold messages back, beyond the one every connection takes}.

    A message of sample step t must arrive at sample step t + delay of the target:
    extra = delay + latency[target] − latency[source] − 1.
    """
    return {
        c.name: c.delay + latency[c.target] - latency.get(c.source, 0) - 1
        for c in program.connections
    }
