"""Parity: which executors were compared, over what, and where they first differ."""

from deploy.report.words import sentences as words
from deploy.report.words.figures import NBSP, count
from deploy.report.words.markup import Child, Markup, el, missing, section, table, value
from deploy.report.words.read import at

HEAD = (
    "pair",
    "result",
    "samples",
    "registers",
    "spike values",
    "spike mismatches",
    "states",
    "state mismatches",
)


def parity_section(report: object) -> Markup:
    """The parity table and, in words, the first divergence of each pair that differs."""
    pairs = words.parity_pairs(report)
    if not pairs:
        return section("parity", "Parity", el("p", missing(), " – no two executors were compared."))
    found = [(p, words.difference(p)) for p in pairs]
    return section(
        "parity",
        "Parity",
        el(
            "p",
            "Executors of the same integer program, compared for exact equality: first the "
            "registers that each one really holds, then for every neuron, step and sample whether "
            "it spikes (a spike value; silence is compared too), and every state (synaptic current "
            "u and membrane potential v).",
        ),
        table(HEAD, [_row(p) for p in pairs], "llrlrrrr", "Pairs of executors"),
        *(
            el("p", el("strong", "First divergence: "), f"{where}.", cls="alarm")
            for _, where in found
            if where
        ),
    )


def _row(entry: object) -> list[Child]:
    equal = words.registers(entry)
    return [
        f"{at(entry, 'a')} = {at(entry, 'b')}",
        badge(words.pair_holds(entry)),
        value(count(at(entry, "samples"))),
        value(equal),
        *(
            value(count(at(entry, key)))
            for key in (
                "spikes_compared",
                "spike_mismatches",
                "states_compared",
                "state_mismatches",
            )
        ),
    ]


def badge(holds: bool | None) -> Markup:
    """A result as sign and word, so that colour is never the only carrier."""
    if holds is None:
        return missing()
    return el(
        "span", f"✓{NBSP}equal" if holds else f"✕{NBSP}differ", cls="good" if holds else "wrong"
    )
