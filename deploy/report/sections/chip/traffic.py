"""Packets on the mesh: routers coloured by their packets, links as wide as their load."""

from typing import Any

from deploy.report.charts.mesh import mesh
from deploy.report.words.figures import count
from deploy.report.words.read import at, items, number
from deploy.report.words.section import Run

# A mesh of more routers than these is not drawn: the table of the heaviest pairs says more.
MAX_ROUTERS = 600
MAX_ROWS = 8


def facts(run: Run) -> dict[str, Any]:
    """The mesh with its links, and the pairs of cores that send most."""
    found = at(run.report, "traffic")
    across, down = number(at(found, "columns")), number(at(found, "rows"))
    placed = bool(across and down) and min(across or 0, down or 0) >= 1
    columns, rows = int(across or 0), int(down or 0)
    drawn = placed and columns * rows <= MAX_ROUTERS
    pairs = [
        [f"core {count(pair[0])}", f"core {count(pair[1])}", count(pair[2])]
        for entry in items(at(found, "packets"))[:MAX_ROWS]
        if len(pair := [number(x) for x in items(entry)]) == 3 and None not in pair
    ]
    return {
        "placed": placed,
        "size": (columns, rows),
        "mesh": mesh(run.report, columns, rows) if drawn else None,
        "pairs": pairs if number(at(found, "pairs")) is not None else [],
        "all_pairs": at(found, "pairs"),
    }
