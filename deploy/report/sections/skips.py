"""Residual skips in both lowerings, side by side: what each costs on the same chip."""

from deploy.report.words.figures import count
from deploy.report.words.markup import Child, Markup, el, missing, section, table
from deploy.report.words.read import at, mapping, number

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


def skips_section(report: object) -> Markup | None:
    """A row per figure and a column per lowering; None for a model without residual skips."""
    costs = mapping(at(report, "skips", "costs"))
    if not costs:
        return None
    chosen = at(report, "skips", "lowering")
    names = sorted(costs, key=lambda name: name != chosen)
    rows: list[list[Child]] = [
        [title, *(_figure(at(costs[name], key)) for name in names)] for key, title in TITLES.items()
    ]
    equal = at(report, "skips", "equal")
    compared = [number(at(equal, key)) for key in ("spikes_compared", "states_compared")]
    return section(
        "skips",
        "Residual skips",
        el(
            "p",
            "By fan-in every branch of the residual stream has synapses onto every later reader; as "
            "a stream, graded relays send on the running sum. Operations and packets are per "
            "inference.",
        ),
        el(
            "p",
            f"In both, {count(compared[0])} spikes and {count(compared[1])} states of the same "
            "neurons are equal.",
        )
        if at(equal, "ok") is True
        else None,
        table(
            ["", *(f"{name} (exported)" if name == chosen else name for name in names)],
            rows,
            "l" + "r" * len(names),
            "Costs of both lowerings",
        ),
        *(
            el("p", f"{name}: {why}", cls="note")
            for name, why in mapping(at(report, "skips", "refused")).items()
        ),
    )


def _figure(value: object) -> Child:
    return missing() if number(value) is None else count(value)
