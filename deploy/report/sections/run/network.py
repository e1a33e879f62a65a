"""The network at a glance: its nodes with shapes and rates, and what joins them."""

from math import prod
from typing import Any

from deploy.connections import Connection
from deploy.program.program import Input, Program
from deploy.report.charts.diagram import Node, diagram
from deploy.report.words.figures import count
from deploy.report.words.read import at, numbers
from deploy.report.words.section import Run


def facts(run: Run) -> dict[str, Any]:
    """The diagram, and the size of the network in a line."""
    program = run.program
    rates = _rates(run.report)
    depth = _depths(program)
    inputs = {node.name for node in program.inputs}
    read = {output.source for output in program.outputs}
    nodes = []
    for node in program.sources:
        kind = "input" if isinstance(node, Input) else node.kind
        said = f"{_shape(node.shape)} {kind}{', read' if node.name in read else ''}"
        rate = None if node.name in inputs else rates.get(node.name)
        nodes.append(Node(node.name, said, rate, depth[node.name]))
    lines = [(c.source, c.target, c.describe().partition(",")[0]) for c in program.connections]
    neurons = sum(p.size for p in program.populations)
    weights = sum(int(prod(c.weight.shape)) for c in program.connections)
    return {
        "drawing": diagram(nodes, lines, "The network from its inputs to its read-outs"),
        "size": f"{count(len(program.populations))} populations of {count(neurons)} neurons, "
        f"{count(len(program.connections))} connections with {count(weights)} weights",
        "joins": [(c.name, c.source, c.target, _said(c)) for c in program.connections],
    }


def _said(connection: Connection) -> str:
    delay = f", delay {connection.delay}" if connection.delay else ""
    return connection.describe() + delay


def _rates(report: object) -> dict[str, float]:
    """Spikes per neuron and step."""
    spikes = numbers(at(report, "counts", "spikes", "per_node"))
    updates = numbers(at(report, "counts", "neuron_updates", "per_node"))
    return {name: n / updates[name] for name, n in spikes.items() if updates.get(name)}


def _depths(program: Program) -> dict[str, int]:
    """The longest way from an input to each node, against no loop."""
    place = {name: i for i, name in enumerate(program.order)}
    depth = {node.name: 0 for node in program.inputs}
    for name in program.order:
        before = [
            depth[c.source] + 1 for c in program.into(name) if place.get(c.source, -1) < place[name]
        ]
        depth[name] = max(before, default=0)
    return depth


def _shape(shape: tuple[int, ...]) -> str:
    return " × ".join(str(n) for n in shape)
