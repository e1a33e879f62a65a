"""SANA-FE's architecture and network files, the mapping in the latter, from ours.

SANA-FE's neurons compute in floating point with a step of delay per layer, so every neuron, those
of the inputs too, is written as one of its input neurons with the spike train that our emulator
recorded: what SANA-FE then counts, routes and times by itself is exactly our traffic. Weights are
written as 0, because its input neurons refuse any current; it counts and charges a synapse whatever
its weight. The samples follow one another without a gap. A graded message is one spike to SANA-FE,
and a delayed one is charged when it is sent, as in our own counts.

The inputs are on a core of their own, the host, one column east of the mesh, which costs nothing
but its packets, as in our own figures, and their hops: those cannot be left out of SANA-FE, and are
told apart in its results.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from deploy.connections import expand
from deploy.connections.connection import Pattern
from deploy.count.energy import Coefficients, load_coefficients
from deploy.errors import BadInput
from deploy.files import write_text
from deploy.hardware.chip import Chip, amount
from deploy.hardware.mapping import Mapping as CoreMapping
from deploy.hardware.mesh import coordinates
from deploy.neurons import BUNDLED
from deploy.program.program import Program
from deploy.report.words.figures import plain

ARCHITECTURE, NETWORK = "sanafe_architecture.yaml", "sanafe_network.yaml"
COEFFICIENTS = "loihi1-sanafe"
# SANA-FE lists every synapse as a line of its own.
MAX_SYNAPSES = 4_000_000
# Its table of synchronisation times by used tiles: arch/loihi.yaml, as are our coefficients.
BARRIER = "{ 1: 0.6e-6, 2: 1.0e-6, 4: 1.4e-6, 29: 1.8e-6 }"
# The synapse unit of the architecture for each way in which synapses are stored.
_UNITS: dict[Pattern, str] = {"all": "dense", "listed": "sparse", "image": "conv2d"}
_LINK_BUFFER = 16  # messages, likewise


@dataclass(frozen=True)
class Places:
    """Where SANA-FE's tiles and cores are: {core index: "tile.core"}, and the host's.

    rows, columns: of the mesh without the host's column; tile t is at (t // rows, t mod rows).
    """

    of: Mapping[int, str]
    host: str
    rows: int
    columns: int


def places(chip: Chip, mapping: CoreMapping) -> Places:
    """The tiles that hold the cores of a mapping: the part of the joined meshes that they span."""
    indices = np.array([core.index for core in mapping.cores])
    x, y, *_ = coordinates(chip, indices)
    x, y = x - x.min(), y - y.min()
    columns, rows = int(x.max()) + 1, int(y.max()) + 1
    tiles = x * rows + y
    within = indices % amount(chip.cores_per_chip) % amount(chip.cores_per_router)
    named = zip(indices, tiles, within, strict=True)
    return Places(
        {int(i): f"{int(t)}.{int(w)}" for i, t, w in named}, f"{columns * rows}.0", rows, columns
    )


def synapse_unit(program: Program, target: str) -> str:
    """The unit of a target's synapses: SANA-FE has one for each neuron, dense where kinds differ."""
    units = {_UNITS[c.pattern] for c in program.into(target)}
    return units.pop() if len(units) == 1 else "dense"


def require_writable(program: Program) -> None:
    """Raises BadInput naming the node whose synapses are too many for SANA-FE, which lists each, or
    whose kind of neurons it has no cost of."""
    for p in program.populations:
        if p.kind not in BUNDLED:
            raise BadInput(
                f"node '{p.name}': SANA-FE has no cost of neurons of kind '{p.kind}'; the emulator runs "
                "and counts them"
            )
    for c in program.connections:
        if c.synapse_count() > MAX_SYNAPSES:
            raise BadInput(
                f"node '{c.name}': {c.synapse_count()} synapses exceed the {MAX_SYNAPSES} that can be "
                "listed for SANA-FE, which has no shared weights; cut the network or its kernels"
            )


def write_sanafe(
    folder: Path,
    program: Program,
    chip: Chip,
    mapping: CoreMapping,
    sent: Mapping[str, NDArray[Any]],
) -> Places:
    """Write sanafe_architecture.yaml and sanafe_network.yaml to a folder; where the cores are.

    sent: recorded messages {source: integers [samples, time, *shape]}. Raises BadInput as
    `require_writable` does.
    """
    require_writable(program)
    where = places(chip, mapping)
    neurons = [sum(s.size for s in core.slices) for core in mapping.cores]
    inputs = sum(node.size for node in program.inputs)
    architecture = _architecture(chip, where, max(neurons), inputs)
    write_text(folder / ARCHITECTURE, architecture)
    write_text(folder / NETWORK, "\n".join(_network(program, mapping, where, sent)) + "\n")
    return where


def _architecture(chip: Chip, where: Places, neurons: int, inputs: int) -> str:
    used = load_coefficients(COEFFICIENTS)
    last = amount(chip.cores_per_router) - 1
    return "\n".join(
        [
            f"# {plain(used.source)}",
            f"# The mesh is that of '{plain(chip.name)}'; steps from chip to chip cost a hop.",
            "architecture:",
            "  name: neuroclip",
            "  attributes:",
            "    topology: mesh",
            f"    width: {where.columns + 1}",
            f"    height: {where.rows}",
            f"    link_buffer_size: {_LINK_BUFFER}",
            "    sync_model: table",
            f"    latency_sync: {BARRIER}",
            "  tile:",
            *_tile(used, f"tile[0..{where.rows * where.columns - 1}]", f"core[0..{last}]", neurons),
            *_tile(used, "host", "host", inputs, free=True),
            "",
        ]
    )


def _tile(
    used: Coefficients, tile: str, core: str, neurons: int, free: bool = False
) -> Iterator[str]:
    """A tile of the architecture; the cores of a free one cost neither energy nor time."""
    scale = 0.0 if free else 1.0
    j = {name: c.joules * scale for name, c in used.values.items()}
    s = {name: c.seconds * scale for name, c in used.latency.items()}
    hops = [(way, name) for name in ("north_south", "east_west") for way in name.split("_")]
    yield f"    - name: {tile}"
    yield "      attributes:"
    for way, name in hops:
        # The host's packets take hops that cost what all hops do: SANA-FE charges the receiver.
        yield f"        energy_{way}_hop: {used.values[f'hop_{name}'].joules!r}"
        yield f"        latency_{way}_hop: {used.latency[f'hop_{name}'].seconds!r}"
    soma = {
        "energy_access_neuron": j["neuron_update_min"],
        "energy_update_neuron": j["neuron_update"] - j["neuron_update_min"],
        "energy_spike_out": j["neuron_spike"],
        "latency_access_neuron": s["neuron_update_min"],
        "latency_update_neuron": s["neuron_update"] - s["neuron_update_min"],
        "latency_spike_out": s["neuron_spike"],
    }
    yield "      core:"
    yield f"        - name: {core}"
    yield "          attributes:"
    yield "            buffer_position: soma"
    yield "            buffer_inside_unit: false"
    yield f"            max_neurons_supported: {max(neurons, 1)}"
    into = {"energy_message_in": 0.0, "latency_message_in": s["message_in"]}
    yield from _unit("axon_in", "axon_in", into)
    yield "          synapse:"
    for name, energy in (
        ("dense", j["synapse_ac"]),
        ("sparse", j["synapse_sparse"]),
        ("conv2d", j["synapse_conv"]),
    ):
        costs = {"energy_process_spike": energy, "latency_process_spike": s["synapse"]}
        yield from _item(name, {"model": "current_based", **costs})
    nothing = {"model": "accumulator", "energy_update": 0.0, "latency_update": 0.0}
    yield from _unit("dendrite", "dendrite", nothing)
    yield from _unit("soma", f"train[0..{max(neurons, 1) - 1}]", {"model": "input", **soma})
    # A packet of an input costs what every packet does.
    message = used.values["message"].joules
    out = {"energy_message_out": message, "latency_message_out": s["message_out"]}
    yield from _unit("axon_out", "axon_out", out)


def _unit(section: str, name: str, attributes: Mapping[str, object]) -> Iterator[str]:
    yield f"          {section}:"
    yield from _item(name, attributes)


def _item(name: str, attributes: Mapping[str, object]) -> Iterator[str]:
    yield f"            - name: {name}"
    yield "              attributes:"
    for key, value in attributes.items():
        yield f"                {key}: {value}"


def _network(
    program: Program, mapping: CoreMapping, where: Places, sent: Mapping[str, NDArray[Any]]
) -> Iterator[str]:
    groups = {node.name: f"g{i}" for i, node in enumerate(program.sources)}
    yield "# Groups by node: " + ", ".join(f"{g} {plain(name)!r}" for name, g in groups.items())
    yield "network:"
    yield "  name: neuroclip"
    yield "  groups:"
    for node in program.sources:
        unit = synapse_unit(program, node.name)
        yield f"    - name: {groups[node.name]}"
        yield f"      attributes: [log_spikes: false, synapse_hw_name: {unit}]"
        yield "      neurons:"
        trains = np.asarray(sent[node.name]).reshape(-1, node.size).T != 0
        digits = np.where(trains, ord("1"), ord("0")).astype(np.uint8)
        for i, train in enumerate(digits):
            yield f"        - {i}: [spikes: [{','.join(train.tobytes().decode('ascii'))}]]"
    yield "  edges:"
    for c in program.connections:
        listed = expand(c)
        ends = f"- {groups[c.source]}.%d -> {groups[c.target]}.%d: [weight: 0]"
        targets = np.repeat(np.arange(c.target_size), np.diff(listed.indptr))
        for source, target in zip(listed.indices.tolist(), targets.tolist(), strict=True):
            yield f"    {ends % (source, target)}"
    yield "mappings:"
    unit_of = 0
    for node in program.inputs:
        for i in range(node.size):
            yield f'  - {groups[node.name]}.{i}: [core: {where.host}, soma: "train[{unit_of}]"]'
            unit_of += 1
    for core in mapping.cores:
        unit_of = 0
        for part in core.slices:
            for i in range(part.start, part.stop):
                name, at = f"{groups[part.population]}.{i}", where.of[core.index]
                yield f'  - {name}: [core: {at}, soma: "train[{unit_of}]"]'
                unit_of += 1
