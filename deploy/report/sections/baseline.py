"""The spiking network against a dense ANN, in one convention at a time, and who wins."""

from deploy.report.words import sentences as words
from deploy.report.words.figures import count, joules, percent
from deploy.report.words.markup import Child, Markup, el, join, missing, table
from deploy.report.words.read import at, number, pair

HEAD: tuple[Child, ...] = (
    "",
    "spiking network",
    "dense ANN, every step",
    "spiking / ANN",
    "dense ANN, one pass",
    "spiking / ANN",
)


def baseline_part(report: object) -> Markup:
    """The comparison in words, as a table, and beside the published break-even points."""
    baseline = at(report, "baseline")
    if not baseline:
        return el("p", "ANN baseline: ", missing())
    entries = words.like_for_like(report)
    rows = [_operations(baseline)] if entries else []
    rows += [
        _compared(str(at(e, "convention")), joules, *(at(e, k) for k in words.SIDES))
        for e in entries
    ]
    return join(
        [
            el("h3", "Against a dense ANN, like for like"),
            _said(entries[0]) if entries else el("p", _alone(report)),
            table(HEAD, rows, "lrrrrr", f"Per inference; ANN: {at(baseline, 'name') or 'unnamed'}")
            if rows
            else None,
            el("p", str(at(baseline, "note")), cls="note") if at(baseline, "note") else None,
            _break_even(at(baseline, "break_even")),
        ]
    )


def _alone(report: object) -> str:
    """A baseline that is not in the spiking network's convention is stated, never divided by."""
    total = joules(words.baseline_total(report))
    return f"Dense ANN: {total}. No comparison in one convention was recorded."


def _said(entry: object) -> Markup:
    """Who wins in one convention, and that an ANN in one pass exists."""
    snn, ann, once = (at(entry, key) for key in words.SIDES)
    at_every_step, in_one_pass = words.outcome(snn, ann), words.outcome(snn, once)
    verdicts = {
        "wins": "the spiking network wins, in arithmetic alone",
        "loses": "the spiking network loses",
        "equal": "neither wins",
    }
    parts: list[Child] = [
        f"{at(entry, 'convention')}: this spiking network takes {joules(snn)}, "
        f"{words.quotient(snn, ann)} the {joules(ann)} of the same layers as a dense ANN at every "
        "time step: ",
        el("strong", verdicts[at_every_step or "equal"]),
        ".",
    ]
    if in_one_pass is not None:
        parts += [
            f" An ANN needs no time steps: given the whole input in one pass it takes {joules(once)}, "
            f"and against it, at {words.quotient(snn, once)}, ",
            el("strong", verdicts[in_one_pass]),
            ".",
        ]
    return el("p", *parts)


def _operations(baseline: object) -> list[Child]:
    adds, macs = (number(at(baseline, "spiking", k)) for k in ("adds", "macs"))
    dense, once = (
        number(at(baseline, "operations", "mac")),
        number(at(baseline, "one_pass", "macs")),
    )
    if adds is None or macs is None:
        return ["operations", missing(), count(dense), "", count(once), ""]
    cells = _compared("operations", count, adds + macs, dense, once)
    cells[1] = f"{count(macs)} MAC + {count(adds)} add"
    # Fewer operations decide nothing: an addition costs less than a multiply-accumulate.
    cells[3], cells[5] = (words.quotient(adds + macs, x) or "" for x in (dense, once))
    return cells


def _compared(name: str, form: words.Form, snn: object, ann: object, once: object) -> list[Child]:
    return [name, form(snn), form(ann), _outcome(snn, ann), form(once), _outcome(snn, once)]


def _outcome(snn: object, ann: object) -> Child:
    factor, won = words.quotient(snn, ann), words.outcome(snn, ann)
    if factor is None or won is None:
        return missing()
    return el("span", f"{factor}, {won}", cls="good" if won == "wins" else "warn")


def _break_even(found: object) -> Markup | None:
    """The network's activity beside the activity below which published studies see a gain."""
    rows: list[list[Child]] = []
    rate, limit = number(at(found, "spike_rate")), number(at(found, "spike_rate_limit"))
    if rate is not None and limit is not None:
        steps = count(at(found, "timesteps"))
        rows.append(
            [
                "spikes per neuron and step",
                percent(rate),
                f"below {percent(limit)}",
                _side(rate, limit, limit),
                f"{at(found, 'spike_rate_source')}; here T = {steps}",
            ]
        )
    used = number(at(found, "messages_per_synapse"))
    ends = pair(at(found, "messages_per_synapse_limits"))
    if used is not None and ends is not None:
        rows.append(
            [
                "messages per synapse",
                count(used),
                f"{count(ends[0])} – {count(ends[1])}",
                _side(used, *ends),
                f"{at(found, 'messages_per_synapse_source')}, by hardware; graded messages counted "
                "as spikes",
            ]
        )
    head = ["activity per inference", "here", "break-even", "", "source"]
    title = "Published break-even points of spiking networks against ANNs"
    return table(head, rows, "lrrll", title) if rows else None


def _side(here: float, low: float, high: float) -> Markup:
    if here > high:
        return el("span", "above: an ANN is expected to win", cls="warn")
    if here < low:
        return el("span", "below: a gain is expected", cls="good")
    return el("span", "between: it depends on the hardware")
