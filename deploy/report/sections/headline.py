"""The head of the page: did it hold, what ran, and the six figures to remember."""

from pathlib import PurePath

from deploy.report.words import sentences as words
from deploy.report.words.figures import NBSP, NOT_RECORDED, count, interval, percent
from deploy.report.words.markup import Child, Markup, el, value
from deploy.report.words.read import at, items, number


def headline(report: object) -> Markup:
    """The verdict in words, what ran on what, and key figures."""
    status = words.status(report)
    state, mark = {"OK": ("ok", "✓"), "NOT OK": ("bad", "✕")}.get(status, ("open", "?"))
    return el(
        "header",
        el("p", "neuroclip deployment report", cls="kicker"),
        el("h1", title(report)),
        el(
            "div",
            el("span", el("span", mark, aria_hidden="true"), status, cls="state"),
            el("div", *(el("p", sentence) for sentence in words.verdict(report))),
            cls=f"verdict {state}",
        ),
        el("p", *_what_ran(report), cls="facts"),
        el("dl", *_tiles(report), cls="tiles"),
    )


def title(report: object) -> str:
    """Model → target; of a model's path the last part, the whole one is under "Repeat this run"."""
    model, target = at(report, "model"), at(report, "target")
    return f"{_last(model) if model else 'unnamed model'} → {target or 'no target'}"


def _last(path: object) -> str:
    """The last part of a path, or a name as it is."""
    return PurePath(str(path)).name or str(path)


def _what_ran(report: object) -> list[Child]:
    digest = at(report, "data_sha256")
    data: Child = el("code", str(digest)[:12], title=str(digest)) if digest else "not identified"
    name = at(report, "data")
    parts: list[Child] = [words.size(report), " · data ", f"{_last(name)} " if name else None, data]
    parts += [" · seed ", _seed(report)]
    return [*parts, f" · chip {words.chip(report)}" if words.chip(report) else None]


def _seed(report: object) -> str:
    seed = at(report, "seed")
    return NOT_RECORDED if seed is None else str(seed)


def _tiles(report: object) -> list[Markup]:
    best = next((e for e in ("lava", "emulator") if words.accuracy(report, e)), "emulator")
    entry = words.accuracy(report, best)
    pairs = words.parity_pairs(report)
    found = [number(at(p, k)) for p in pairs for k in ("spike_mismatches", "state_mismatches")]
    compared = [number(at(p, k)) for p in pairs for k in ("spikes_compared", "states_compared")]
    mismatches = sum(x for x in found if x is not None)
    seen = sum(x for x in compared if x is not None)
    limits = words.energy_range(report)
    return [
        _tile(f"accuracy, {words.TITLES[best]}", percent(at(entry, "value")), _interval(entry)),
        _tile(
            "mismatches",
            count(mismatches) if any(x is not None for x in found) else count(None),
            f"in {count(seen)} comparisons" if seen else "",
        ),
        _tile("neurocores", *_split(words.cores(report))),
        _tile("synaptic operations", count(at(report, "counts", "synaptic_ops", "total")), _per()),
        _tile(
            "energy",
            words.energy_sentence({"energy_range_j": limits}),
            f"{_per()}, {_sets(report)}" if _sets(report) else _per(),
        ),
        _tile("time", words.latency_sentence(report), _per()),
    ]


def _per() -> str:
    return "per inference"


def _sets(report: object) -> str:
    """How many coefficient sets the range spans, nothing where there are none."""
    sets = len(items(at(report, "energy")))
    return f"{sets} coefficient set{'s' if sets != 1 else ''}" if sets else ""


def _interval(entry: object) -> str:
    low, high = number(at(entry, "low")), number(at(entry, "high"))
    return "" if low is None or high is None else f"95{NBSP}%: {interval(entry)}"


def _split(text: str) -> tuple[str, str]:
    used, of, rest = text.partition(" of ")
    return used, f"{of}{rest}".strip()


def _tile(name: str, figure: str, note: str) -> Markup:
    return el("div", el("dt", name), el("dd", value(figure), el("small", note) if note else None))
