"""What the figures of a report do not cover, gathered in one place."""

from deploy.report.words.markup import Child, Markup, el, missing, section
from deploy.report.words.read import at, items


def coverage_section(report: object) -> Markup:
    """Left out of every figure, assumed, and not checked: one list each."""
    parts = [
        ("Not in the energy", _common(at(report, "energy"), "excluded")),
        ("Not in the time", _common(at(report, "latency"), "excluded")),
        ("Assumed", _assumed(report)),
        ("Not checked in this run", _unchecked(report)),
        ("Warnings", [str(x) for x in items(at(report, "warnings"))]),
    ]
    shown: list[Child] = []
    for title, entries in parts:
        if entries:
            shown += [el("h3", title), el("ul", *(el("li", entry) for entry in entries))]
    return section("coverage", "Not covered", *(shown or [el("p", missing())]))


def _common(sets: object, key: str) -> list[str]:
    """What every set leaves out, then what some do."""
    entries = [
        (str(at(e, "coefficients")), [str(x) for x in items(at(e, key))]) for e in items(sets)
    ]
    found = list(dict.fromkeys(text for _, texts in entries for text in texts))
    every = [text for text in found if all(text in texts for _, texts in entries)]
    return every + [
        f"{text}: {', '.join(name for name, texts in entries if text in texts)}"
        for text in found
        if text not in every
    ]


def _assumed(report: object) -> list[str]:
    texts = [
        f"{at(e, 'coefficients')}: {text}"
        for kind in ("energy", "latency")
        for e in items(at(report, kind))
        for text in items(at(e, "assumptions"))
    ]
    use = at(report, "cores", "utilisation")
    limits = [
        str(name).replace("_", " ")
        for name, shares in (use.items() if isinstance(use, dict) else ())
        if at(shares, "assumption") is True
    ]
    if limits:
        texts.append(f"limits of a core that are not public: {', '.join(limits)}")
    return list(dict.fromkeys(texts))


def _unchecked(report: object) -> list[str]:
    """Executors and tools that did not run beside the emulator."""
    ran = {str(at(p, end)) for p in items(at(report, "parity", "pairs")) for end in ("a", "b")}
    found = []
    if "lava" not in ran:
        found.append("Lava did not run (--target lava runs it and compares every spike and state)")
    if not at(report, "sanafe", "counts"):
        found.append("SANA-FE did not count the traffic (--target sanafe runs it)")
    found.append("no chip ran: counts are exact, joules and seconds are coefficients times counts")
    return found
