"""What a program holds, as plain text: nodes, registers, proof and cost (`neuroclip inspect`)."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from deploy.errors import BadInput, CheckFailed
from deploy.hardware.chip import Chip, amount, load_chip
from deploy.map.core.costs import core_report
from deploy.map.cut.orders import orders
from deploy.map.cut.slices import by_layer
from deploy.map.lower import lower_to_chip
from deploy.neurons import Neurons, is_lif, is_plain
from deploy.program.file import digest
from deploy.program.program import Program
from deploy.prove.proof import Proof, prove
from deploy.report.words.figures import plain

# Registers of most kinds; others are named beside them.
_COLUMNS = ("du", "dv", "vth", "bias")


def inspect(program: Program, timesteps: int, chip_name: str | Path = "loihi2") -> str:
    """Inputs, populations, connections, outputs, proof and cost of a program in aligned lines.

    timesteps: steps per sample that the proof covers. chip_name: a bundled chip or a chip's file.
    A network that does not fit the chip is stated in the text. Raises BadInput for timesteps below
    1 and for an unknown chip.
    """
    if timesteps < 1:
        raise BadInput(f"timesteps is {timesteps}, expected at least 1")
    chip = load_chip(chip_name)
    proof = prove(program, timesteps)
    parts = [
        ("program", [f"SHA-256 {digest(program)}"]),
        ("inputs", _inputs(program)),
        ("populations", _populations(program)),
        ("connections", _connections(program)),
        ("outputs", _outputs(program)),
        (f"proof for samples of {timesteps} steps", _proof(program, proof)),
        (f"cost on {chip.name}", _cost(program, chip)),
    ]
    return in_sections(parts)


def in_sections(parts: Sequence[tuple[str, Sequence[str]]]) -> str:
    """Titles with their lines indented below."""
    return "\n\n".join(
        "\n".join([plain(title), *(f"  {plain(line)}" for line in lines)]) for title, lines in parts
    )


def _inputs(program: Program) -> list[str]:
    rows = [
        [n.name, _shape(n.shape), _between(n.low, n.high), "binary" if n.binary else "graded"]
        for n in program.inputs
    ]
    return aligned(["name", "shape", "messages", ""], rows, "llrl")


def _populations(program: Program) -> list[str]:
    rows = [
        [p.name, p.kind, _shape(p.shape), *(_register(p, r) for r in _COLUMNS), _rules(p)]
        for p in program.populations
    ]
    return aligned(["name", "kind", "shape", *_COLUMNS, ""], rows, "lllrrrrl")


def _register(p: Neurons, register: str) -> str:
    """What all neurons hold, or the span of it; empty where a kind has no such register."""
    held = getattr(p, register, None)
    return "" if held is None else _span(np.asarray(held))


def _rules(p: Neurons) -> str:
    """The registers that have no column, and the settings of a whole population that are on."""
    shown = (*_COLUMNS, "bias_mant", "bias_exp")
    said = {name: _span(x) for name, x in p.registers.items() if name not in shown}
    said |= {name: str(n) for name, n in p.settings.items() if name not in shown}
    return ", ".join(f"{name} {value}" for name, value in said.items())


def _connections(program: Program) -> list[str]:
    rows = [
        [
            c.name,
            f"{c.source} → {c.target}",
            c.describe(),
            str(c.synapse_count()),
            _span(c.weight) if c.weight.size else "none",
            f"{100 * float((c.weight == 0).mean()) if c.weight.size else 0:.1f} %",
            str(c.exponent),
            str(c.delay),
        ]
        for c in program.connections
    ]
    head = ["name", "source → target", "kind", "synapses", "weights", "zeros", "exponent", "delay"]
    return aligned(head, rows, "lllrrrrr")


def _outputs(program: Program) -> list[str]:
    said = {"s": "spikes s", "v": "membrane potential v"}
    rows = [[o.name, said[o.quantity], f"of {o.source}"] for o in program.outputs]
    return aligned(["name", "quantity", ""], rows, "lll")


def _proof(program: Program, proof: Proof) -> list[str]:
    rows = [
        [
            node,
            name,
            "?" if e.range is None else f"{e.range[0]}..{e.range[1]}",
            f"{e.limit[0]}..{e.limit[1]}",
            "" if e.margin is None else f"{100 * e.margin:.1f} %",
            e.verdict,
        ]
        for node, edges in proof.edges.items()
        for name, e in edges.items()
    ]
    lines = aligned(["node", "edge", "range", "limit", "margin", "verdict"], rows, "llrrrl")
    arithmetic = ", ".join(f"{name} in {kind}" for name, kind in proof.arithmetic.items())
    lines += [f"exact sums: {arithmetic or 'no connections'}"]
    if proof.portable:
        return [*lines, "portable: every bit-accurate simulator gives the same spikes"]
    return [*lines, "not portable:", *(f"  {reason}" for reason in _obstacles(program, proof))]


def _obstacles(program: Program, proof: Proof) -> list[str]:
    """Why simulators may differ; one entry per condition of `Proof.portable` that does not hold."""
    return [
        *(f"input '{n.name}' sends graded messages" for n in program.inputs if not n.binary),
        *(
            f"population '{p.name}' "
            + ("has refractory or reset rules" if is_lif(p) else f"is {p.kind}")
            for p in program.populations
            if not is_plain(p)
        ),
        *(
            f"connection '{c.name}' has a delay of {c.delay}"
            for c in program.connections
            if c.delay
        ),
        *(
            f"connection '{c.name}' has a negative weight exponent, {c.exponent}"
            for c in program.connections
            if c.exponent < 0
        ),
        *(
            f"node '{node}' can reach an edge: {name}"
            if edge.range is not None
            else f"node '{node}': {name}: no bounds known"
            for node, name, edge in proof.reachable
        ),
    ]


def _cost(program: Program, chip: Chip) -> list[str]:
    """Neurons, synapse words and cores per population; or why the network does not fit."""
    said = []
    try:
        on_chip = lower_to_chip(program, chip)
        program = on_chip.timed.program
        if on_chip.timed.held:
            said = [f"branches of different depth meet by {on_chip.way}"]
    except BadInput as error:
        said = [f"no chip runs this: {error}"]
    except CheckFailed as error:
        return [f"does not fit: {error}"]
    try:
        mapping = by_layer(program, chip, orders(program))
    except CheckFailed as error:
        return [f"does not fit: {error}"]
    report = core_report(program, chip, mapping)
    # Cut by layer: one population a core.
    words = {p.name: 0 for p in program.populations}
    for core in report["list"]:
        words[core["slices"][0]["population"]] += core["used"]["synapse_words"]
    rows = [
        [p.name, str(p.size), str(words[p.name]), str(report["per_node"][p.name])]
        for p in program.populations
    ]
    total = sum(p.size for p in program.populations)
    rows.append(["total", str(total), str(sum(words.values())), str(report["used"])])
    return [
        *said,
        *aligned(["population", "neurons", "synapse words", "cores"], rows, "lrrr"),
        f"{report['used']} of {chip.cores} cores; a core holds {amount(chip.neurons)} neurons and "
        f"{amount(chip.synapse_words)} synapse words",
    ]


def _shape(shape: Sequence[int]) -> str:
    return " × ".join(str(n) for n in shape)


def _span(values: NDArray[np.int32]) -> str:
    """The value of a uniform register, else its smallest and largest."""
    return _between(values, values)


def _between(low: NDArray[np.int32], high: NDArray[np.int32]) -> str:
    first, last = int(low.min()), int(high.max())
    return str(first) if first == last else f"{first}..{last}"


def aligned(head: list[str], rows: list[list[str]], align: str) -> list[str]:
    """Columns two spaces apart under their heads, or "none". align: "l" or "r" per column."""
    if not rows:
        return ["none"]
    cells = [[plain(cell) for cell in row] for row in (head, *rows)]
    widths = [max(len(row[i]) for row in cells) for i in range(len(head))]
    lines = (
        "  ".join(
            cell.rjust(w) if a == "r" else cell.ljust(w)
            for cell, w, a in zip(row, widths, align, strict=True)
        )
        for row in cells
    )
    return [line.rstrip() for line in lines]
