"""Operations per inference, in total and per node: the raw counts that come before any joule."""

from deploy.program.program import Program
from deploy.report.sections.steps import steps_part
from deploy.report.words.figures import NOT_MEASURED, count, percent
from deploy.report.words.markup import Child, Markup, el, section, table, value
from deploy.report.words.read import at, mapping, numbers

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


def counts_section(report: object, program: Program) -> Markup:
    """One column per count, one row per node in the order of the program, totals below."""
    counts = mapping(at(report, "counts"))
    keys = [k for k in TITLES if k in counts or k not in OPTIONAL]
    per_node = {k: numbers(at(counts, k, "per_node")) for k in keys}
    order = [n.name for n in program.inputs]
    for name in program.order:
        order += [*(c.name for c in program.into(name)), name]
    found = {n for nodes in per_node.values() for n in nodes}
    order = [n for n in order if n in found] + sorted(found - set(order))
    rows: list[list[Child]] = []
    for name in order:
        cells: list[Child] = [
            count(per_node[k][name]) if name in per_node[k] else el("span", "–", cls="missing")
            for k in keys
        ]
        rows.append([name, *cells, _rate(name, per_node)])
    totals: list[Child] = [value(count(at(counts, k, "total"))) for k in keys]
    return section(
        "counts",
        "Operations",
        el(
            "p",
            "Per inference. A synaptic operation is one spike or message arriving over one "
            "synapse; every neuron is updated at every step. The rate is spikes per neuron "
            "and step.",
        ),
        table(
            ["node", *(TITLES[k] for k in keys), "rate"],
            rows,
            "l" + "r" * (len(keys) + 1),
            "Counts per node",
            foot=["total", *totals, ""],
        ),
        el("p", "A dash: this node has no such count.", cls="note") if rows else None,
        steps_part(report),
    )


def _rate(name: str, per_node: dict[str, dict[str, int | float]]) -> Child:
    spikes = per_node.get("spikes", {}).get(name)
    updates = per_node.get("neuron_updates", {}).get(name)
    text = percent(spikes / updates) if spikes is not None and updates else NOT_MEASURED
    return text if text != NOT_MEASURED else el("span", "–", cls="missing")
