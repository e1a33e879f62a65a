"""What happened in each step: operations, spikes and packets of the network, and by core."""

import numpy as np

from deploy.report.charts.series import MAX_ROWS, curve, curves, heat
from deploy.report.words.figures import count
from deploy.report.words.markup import Child, Markup, el, join, missing
from deploy.report.words.read import at, items

TITLES = {
    "synaptic_ops": "synaptic operations",
    "spikes": "spikes",
    "input_messages": "input messages",
    "messages": "packets",
}


def steps_part(report: object) -> Markup:
    """Curves over the time steps of an inference, and the map of cores over steps."""
    per_step = at(report, "counts", "per_step")
    found = {key: values for key in TITLES if (values := curve(at(per_step, key))) is not None}
    title = el("h3", "Each step")
    if not found:
        return join([title, el("p", missing(), " – no totals of each step were kept.")])
    lengths = {len(values) for values in found.values()}
    if len(lengths) != 1:
        return join([title, el("p", missing(), " – the figures of each step do not fit.")])
    drawn = curves(
        [(TITLES[key], [values], count(max(values))) for key, values in found.items()],
        "Operations, spikes and packets of each time step, mean over samples",
    )
    return join([title, drawn, *_cores(per_step)])


def _cores(per_step: object) -> list[Child]:
    names = [str(x) for x in items(at(per_step, "per_core", "cores"))]
    rows = [curve(row) for row in items(at(per_step, "per_core", "synaptic_ops"))]
    if not names or not rows or any(row is None or len(row) != len(names) for row in rows):
        return []
    values = np.array(rows, np.float64).T
    note = f"; the first {MAX_ROWS} of {len(names)} cores" if len(names) > MAX_ROWS else ""
    return [
        el("h3", "Synaptic operations of each core and step"),
        el(
            "p",
            "The slowest core sets the time of a step: a strong row among faint ones is work that "
            f"others wait for. Shades: to 25, 50, 75 and 100 % of the largest{note}.",
            cls="note",
        ),
        heat([f"core {name}" for name in names], values, "Synaptic operations by core and step"),
    ]
