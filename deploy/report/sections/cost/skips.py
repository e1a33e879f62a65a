"""Residual skips in both lowerings, side by side: what each costs on the same chip."""

from typing import Any

from deploy.report.words.read import at, mapping
from deploy.report.words.section import Run

TITLES = {
    "populations": "populations",
    "neurons": "neurons",
    "synapses": "synapses",
    "synapse_words": "synapse words on all cores",
    "synaptic_ops": "synaptic operations",
    "macs": "…of graded messages",
    "neuron_updates": "neuron updates",
    "messages": "packets between cores",
    "cores": "cores",
    "chips": "chips",
}


def facts(run: Run) -> dict[str, Any] | None:
    """A row per figure and a column per lowering; None for a model without residual skips."""
    found = at(run.report, "skips")
    costs, chosen = mapping(at(found, "costs")), at(found, "lowering")
    if not costs:
        return None
    names = sorted(costs, key=lambda name: name != chosen)
    return {
        "equal": at(found, "equal"),
        "head": ["", *(f"{name} (exported)" if name == chosen else name for name in names)],
        "rows": [
            (title, [at(costs[name], key) for name in names]) for key, title in TITLES.items()
        ],
        "refused": mapping(at(found, "refused")),
    }
