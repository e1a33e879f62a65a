"""Operations per inference, by node and by step: the raw counts that come before any joule."""

from typing import Any

import numpy as np

from deploy.report.charts.series import curve, curves, heat
from deploy.report.charts.svg import Drawing
from deploy.report.words.figures import count, percent
from deploy.report.words.read import at, items, mapping, numbers
from deploy.report.words.section import Run

TITLES = {
    "synaptic_ops": "synaptic operations",
    "synaptic_ops_dense": "…with zero weights",
    "neuron_updates": "neuron updates",
    "spikes": "spikes",
    "input_messages": "input messages",
    "messages": "packets between cores",
    "hops": "hops",
    "weight_bytes": "weight bytes",
}
# Columns that are left out where a report does not have them; the others are "not measured".
OPTIONAL = ("synaptic_ops_dense", "input_messages")
STEPS = {
    "synaptic_ops": "synaptic operations",
    "spikes": "spikes",
    "input_messages": "input messages",
    "messages": "packets",
}


def facts(run: Run) -> dict[str, Any]:
    """A column per count, a row per node in the order of the program, totals below; then each step."""
    counts = mapping(at(run.report, "counts"))
    keys = [k for k in TITLES if k in counts or k not in OPTIONAL]
    per_node = {k: numbers(at(counts, k, "per_node")) for k in keys}
    order = [n.name for n in run.program.inputs]
    for name in run.program.order:
        order += [*(c.name for c in run.program.into(name)), name]
    found = {n for nodes in per_node.values() for n in nodes}
    order = [n for n in order if n in found] + sorted(found - set(order))
    return {
        "head": ["node", *(TITLES[k] for k in keys), "rate"],
        # None where a node has no such count.
        "rows": [
            (name, [count(n) if (n := per_node[k].get(name)) is not None else None for k in keys]
             + [_rate(name, per_node)])
            for name in order
        ],
        "totals": ["total", *(count(at(counts, k, "total")) for k in keys), ""],
        **_steps(at(counts, "per_step")),
    }  # fmt: skip


def _rate(name: str, per_node: dict[str, dict[str, int | float]]) -> str | None:
    """Spikes per neuron and step."""
    spikes = per_node["spikes"].get(name)
    updates = per_node["neuron_updates"].get(name)
    return percent(spikes / updates) if spikes is not None and updates else None


def _steps(per_step: object) -> dict[str, Any]:
    """Curves over the time steps of an inference, or why there are none, and cores over steps."""
    found = {key: values for key in STEPS if (values := curve(at(per_step, key))) is not None}
    fits = len({len(values) for values in found.values()}) == 1
    if not fits:
        why = "the figures of each step do not fit" if found else "no totals of each step were kept"
        return {"steps": None, "no_steps": why, "cores": None}
    named = [(STEPS[key], [values], count(max(values))) for key, values in found.items()]
    label = "Operations, spikes and packets of each time step, mean over samples"
    names = [str(x) for x in items(at(per_step, "per_core", "cores"))]
    return {
        "steps": curves(named, label),
        "cores": _cores(names, items(at(per_step, "per_core", "synaptic_ops"))),
    }


def _cores(names: list[str], steps: list[Any]) -> Drawing | None:
    rows = [curve(row) for row in steps]
    if not names or not rows or any(row is None or len(row) != len(names) for row in rows):
        return None
    values = np.array(rows, np.float64).T
    name = f"core {names[0]}" if len(names) == 1 else f"cores {names[0]} – {names[-1]}"
    return heat(values, name, "Synaptic operations by core and step")
