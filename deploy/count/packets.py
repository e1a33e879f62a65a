"""Packets between cores, and what they load the links of the mesh with.

A packet is one non-zero message to one core with a synapse of its neuron, whatever the weight; the
cores that hold its targets get one each, the sender's own core included. Packets to other cores,
and all those of the inputs, are the `messages` of the counts. Links carry packets as `deploy.
placement` says: first east–west, then north–south, over the joined meshes of all chips.
"""

from collections.abc import Mapping as Dict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from deploy.count.listening import Listening, listening
from deploy.hardware.chip import Chip
from deploy.hardware.mapping import Mapping
from deploy.hardware.mesh import apart, coordinates
from deploy.program.program import Program

Ints = NDArray[np.int64]

# The host, where the inputs are, among the senders of packets.
HOST = -1
# Pairs of cores that a report lists, the heaviest first.
MOST_PAIRS = 200


@dataclass(frozen=True, eq=False)
class Traffic:
    """Packets over all samples: entry i says that `node` i, on core `sender` i (HOST for an input),
    sent so many to core `receiver` i. Each int64 [entries]; nodes are counted as in `Program.sources`.
    """

    node: Ints
    sender: Ints
    receiver: Ints
    packets: Ints

    @property
    def remote(self) -> NDArray[np.bool_]:
        """The entries that leave a core: bool [entries]."""
        return self.sender != self.receiver


@dataclass(frozen=True, eq=False)
class Links:
    """Packets over each link of the mesh, over all samples, in both directions.

    east, west: int64 [rows, columns − 1], between columns x and x + 1. south, north: int64
    [rows − 1, columns], between rows y and y + 1. origin: (x, y) of the first router.
    """

    east: Ints
    west: Ints
    south: Ints
    north: Ints
    origin: tuple[int, int]

    @property
    def total(self) -> int:
        """All hops of all packets."""
        return sum(int(a.sum()) for a in (self.east, self.west, self.south, self.north))


def homes(program: Program, mapping: Mapping) -> dict[str, Ints]:
    """The core that each neuron is on: {source: core index, int64 [size]}, HOST for inputs."""
    found = {node.name: np.full(node.size, HOST, np.int64) for node in program.sources}
    for core in mapping.cores:
        for part in core.slices:
            found[part.population][part.start : part.stop] = core.index
    return found


def traffic(
    program: Program,
    mapping: Mapping,
    messages: Dict[str, NDArray[Any]],
    heard: Sequence[Listening] | None = None,
) -> Traffic:
    """Packets from core to core of a run.

    messages: as `Trace.messages`, {source: int64 [*shape]}. heard: what the cores hear, in the order
    of the mapping, where that is known already.
    """
    at = homes(program, mapping)
    sent = {name: np.asarray(messages[name]).reshape(-1) for name in at}
    parts: list[tuple[Ints, Ints, Ints, Ints]] = []
    for position, core in enumerate(mapping.cores):
        tables = listening(program, core) if heard is None else heard[position]
        for i, node in enumerate(program.sources):
            if node.name not in tables.operations:
                continue
            neurons = tables.operations[node.name][0]
            senders, of = np.unique(at[node.name][neurons], return_inverse=True)
            packets = np.zeros(len(senders), np.int64)
            np.add.at(packets, of.reshape(-1), sent[node.name][neurons].astype(np.int64))
            sending = packets > 0
            senders, packets = senders[sending], packets[sending]
            alike = [np.full(len(senders), value, np.int64) for value in (i, core.index)]
            parts.append((alike[0], senders, alike[1], packets))
    if not parts:
        return Traffic(*(np.zeros(0, np.int64) for _ in range(4)))
    return Traffic(*(np.concatenate(column) for column in zip(*parts, strict=True)))


def hops_of(chip: Chip, found: Traffic) -> tuple[Ints, Ints, Ints]:
    """Hops of each entry of a traffic, all packets together: (east–west, north–south, chip to chip).

    int64 [entries] each. The host is nowhere on the mesh: its packets take none.
    """
    from_host = found.sender == HOST
    start = coordinates(chip, np.where(from_host, found.receiver, found.sender))
    way = apart(start, coordinates(chip, found.receiver))
    return (
        way.east_west * found.packets,
        way.north_south * found.packets,
        way.chips * found.packets,
    )


def links(chip: Chip, found: Traffic) -> Links:
    """What packets between cores load every link with, around all the cores that take part."""
    inside = found.sender != HOST
    packets = found.packets[inside]
    x0, y0, *_ = coordinates(chip, found.sender[inside])
    x1, y1, *_ = coordinates(chip, found.receiver[inside])
    xs, ys = np.concatenate([x0, x1]), np.concatenate([y0, y1])
    left, top = (int(a.min()) if a.size else 0 for a in (xs, ys))
    columns, rows = (int(a.max()) - int(a.min()) + 1 if a.size else 1 for a in (xs, ys))
    x0, x1, y0, y1 = x0 - left, x1 - left, y0 - top, y1 - top
    # First along the sender's row, then along the receiver's column.
    east, west = _spans(y0, x0, x1, packets, (rows, columns))
    south, north = _spans(x1, y0, y1, packets, (columns, rows))
    return Links(east, west, south.T, north.T, (left, top))


def _spans(
    line: Ints, start: Ints, end: Ints, packets: Ints, shape: tuple[int, int]
) -> tuple[Ints, Ints]:
    """Packets over the links of lines of routers, upward and downward: int64 [lines, routers − 1].

    Sums of differences: a packet from router a to router b > a loads the links a … b − 1.
    """
    both = []
    for where in (end > start, end < start):
        steps = np.zeros(shape, np.int64)
        low, high = np.minimum(start, end)[where], np.maximum(start, end)[where]
        np.add.at(steps, (line[where], low), packets[where])
        np.add.at(steps, (line[where], high), -packets[where])
        both.append(steps.cumsum(axis=1)[:, :-1])
    return both[0], both[1]


def traffic_report(chip: Chip, mapping: Mapping, found: Traffic, samples: int) -> dict[str, Any]:
    """The report's `traffic`: packets over every link of the mesh, per inference.

    {"columns", "rows", "origin": [x, y], "routers": [{"core", "x", "y"}], "packets": [[sender,
    receiver, packets]] between cores, the heaviest MOST_PAIRS of "pairs", "links": {"east", "west",
    "south", "north": [[packets]]}, "links_used", "busiest_link", "mean_link" (of the used ones)}.
    x and y count routers over the joined meshes of all chips; links are those of `Links`.
    """
    loads = links(chip, found)
    ways = {"east": loads.east, "west": loads.west, "south": loads.south, "north": loads.north}
    each = np.concatenate([a.reshape(-1) for a in ways.values()])
    used = each[each > 0]
    indices = np.array([core.index for core in mapping.cores])
    x, y, *_ = coordinates(chip, indices)
    between: dict[tuple[int, int], int] = {}
    for a, b, n in zip(
        found.sender.tolist(), found.receiver.tolist(), found.packets.tolist(), strict=True
    ):
        if HOST != a != b:
            between[a, b] = between.get((a, b), 0) + n
    heaviest = sorted(between.items(), key=lambda item: (-item[1], item[0]))[:MOST_PAIRS]
    return {
        "columns": loads.north.shape[1],
        "rows": loads.east.shape[0],
        "origin": list(loads.origin),
        "routers": [
            {"core": int(i), "x": int(a), "y": int(b)}
            for i, a, b in zip(indices, x, y, strict=True)
        ],
        "packets": [[a, b, n / samples] for (a, b), n in heaviest],
        "pairs": len(between),
        "links": {name: (loads_of / samples).tolist() for name, loads_of in ways.items()},
        "links_used": len(used),
        "busiest_link": int(used.max(initial=0)) / samples,
        "mean_link": float(used.mean()) / samples if used.size else 0.0,
    }
