"""What a mapping would need if what nobody has published about the chip were otherwise.

Each limit that a chip's file marks as an assumption is halved and doubled, or, where it says yes or no,
toggled, one at a time, and the program cut anew. All rows, the one of the chip as it is too, are of
the quickest cut (`deploy.map.partition.starts`), which the search only improves on, so that they are to
be held against each other. The way in which messages wait (`deploy.map.lower`) is kept.
"""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from deploy.errors import CheckFailed
from deploy.hardware.chip import LIMITS, Chip, Limit, amount
from deploy.map.core.hypergraph import Messages, hypergraph, packets
from deploy.map.cut.orders import orders
from deploy.map.partition import starts
from deploy.program.program import Program

# They say where cores lie and what a way costs: neither cores nor packets depend on them.
_PLACES = ("cores_per_router", "mesh_columns", "chip_columns", "chip_crossing")
_YES_OR_NO = ("shared_kernels",)
# Values beside half and double: what the limit's source in the chip's file names as the other reading.
_ALSO = {"synapse_bits": (20,)}
# Chips enough for whatever a program needs.
_CHIPS = 1 << 16


def assumptions(
    program: Program, chip: Chip, messages: Messages, samples: int, seed: int = 0
) -> dict[str, Any]:
    """The report's `cores.assumptions`: {"as_assumed": row, "rows": [row], "places": [names]}.

    program: in the steps of the chip; messages: of all samples, relays included. A row is {"limit",
    "assumed", "value", "cores", "chips", "packets" per inference, "refused": why it does not fit at
    all, or null}. places: assumptions that only move cores about. Chips are as many as it takes.
    """
    ordering = orders(program, seed)

    def row(on: Chip, limit: str, value: int | None) -> dict[str, Any]:
        found = {"limit": limit, "value": value, "refused": None}
        found["assumed"] = None if not limit else getattr(chip, limit).value
        try:
            cuts = starts(program, replace(on, chips=_CHIPS), ordering)
        except CheckFailed as error:
            return found | {"cores": None, "chips": None, "packets": None, "refused": str(error)}
        cores = min(max(int(part.max()) for part in parts.values()) + 1 for parts in cuts.values())
        sent = min(packets(hypergraph(program, cut, cores, messages)) for cut in cuts.values())
        chips = -(-cores // amount(on.cores_per_chip))
        return found | {"cores": cores, "chips": chips, "packets": sent / samples}

    return {
        "as_assumed": row(chip, "", None),
        "rows": [
            row(replace(chip, **{name: Limit(value, "otherwise", True)}), name, value)  # type: ignore[arg-type]
            for name, value in _otherwise(chip)
        ],
        "places": [name for name in _PLACES if getattr(chip, name).assumption],
    }


def _otherwise(chip: Chip) -> Iterator[tuple[str, int]]:
    """(limit, another value) of each assumption that has one."""
    for name in LIMITS:
        limit = getattr(chip, name)
        if not limit.assumption or limit.value is None or name in _PLACES:
            continue
        if name in _YES_OR_NO:
            yield name, 1 - limit.value
            continue
        values = (limit.value // 2, *_ALSO.get(name, ()), limit.value * 2)
        yield from (
            (name, value) for value in dict.fromkeys(values) if value not in (0, limit.value)
        )
