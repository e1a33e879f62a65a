"""The spiking network against a dense ANN, in one convention at a time, and who wins."""

from typing import Any

from deploy.report.words import sentences as words
from deploy.report.words.figures import NOT_MEASURED, count, joules, percent
from deploy.report.words.read import at, number, pair

# A figure, and the class of its colour.
Marked = tuple[str, str]
# Spiking with its zeros skipped and not, then the ANN at every step and in one pass, not and skipped.
SKIPPED = (
    "snn_j",
    "snn_not_skipping_j",
    "ann_j",
    "ann_skipping_j",
    "ann_one_pass_j",
    "ann_one_pass_skipping_j",
)
VERDICTS = {
    "wins": "the spiking network wins, in arithmetic alone",
    "loses": "the spiking network loses",
    "equal": "neither wins",
}


def against_ann(report: object) -> dict[str, Any]:
    """The comparison in words, as a table, and beside the published break-even points."""
    baseline = at(report, "baseline")
    entries = words.like_for_like(report)
    rows = [_operations(baseline)] if entries else []
    rows += [_compared(e) for e in entries]
    return {
        "known": bool(baseline),
        "said": _said(entries[0]) if entries else None,
        # A baseline that is not in the spiking network's convention is never divided by.
        "total": words.baseline_total(report),
        "name": at(baseline, "name") or "unnamed",
        "rows": rows,
        "zeros": words.zeros(report),
        "skipping": [_skipped(e) for e in entries],
        "trained": _trained(at(baseline, "trained")),
        "note": at(baseline, "note"),
        "break_even": _break_even(at(baseline, "break_even")),
    }


def _said(entry: object) -> dict[str, Any]:
    """Who wins in one convention, and whether an ANN in one pass is known."""
    snn, ann, once = (at(entry, key) for key in words.SIDES)
    skipping, adversary = at(entry, "ann_one_pass_skipping_j"), _adversary(entry)
    in_one_pass = words.outcome(snn, adversary)
    return {
        "convention": at(entry, "convention"),
        "joules": [joules(x) for x in (snn, ann, once)],
        "shares": [words.quotient(snn, x) for x in (ann, adversary)],
        "skipping": None if number(skipping) is None else joules(skipping),
        "in_one_pass": None if in_one_pass is None else VERDICTS[in_one_pass],
    }


def _skipped(entry: object) -> list[Marked]:
    """Both sides with their zeros skipped and not, in one convention."""
    snn, once = at(entry, "snn_j"), at(entry, "ann_one_pass_skipping_j")
    figures = [joules(at(entry, key)) for key in SKIPPED]
    known = [_outcome(snn, once)] if number(once) is not None else [(words.UNKNOWN, "")]
    return [(str(at(entry, "convention")), ""), *((text, "") for text in figures), *known]


def _trained(found: object) -> str | None:
    """The accuracies of the ANN that was trained; None where none was, or nobody knows the labels."""
    shares = [at(found, key, "value") for key in ("accuracy", "one_pass_accuracy")]
    if any(number(share) is None for share in shares):
        return None
    return f"{percent(shares[0])} at every step, {percent(shares[1])} in one pass"


def _operations(baseline: object) -> list[Marked]:
    adds, macs = (number(at(baseline, "spiking", k)) for k in ("adds", "macs"))
    dense, once = at(baseline, "operations", "mac"), at(baseline, "one_pass", "macs")
    if adds is None or macs is None:
        texts = [NOT_MEASURED, count(dense), "", count(once), "", ""]
    else:
        # Fewer operations decide nothing: an addition costs less than a multiply-accumulate.
        shares = [words.quotient(adds + macs, x) or "" for x in (dense, once)]
        said = f"{count(macs)} MAC + {count(adds)} add"
        texts = [said, count(dense), shares[0], count(once), shares[1], ""]
    return [(text, "") for text in ("operations", *texts)]


def _compared(entry: object) -> list[Marked]:
    snn, ann, once = (at(entry, key) for key in words.SIDES)
    # An ANN needs no steps: against one that is run at each of them nothing is won.
    every_step = [(joules(ann), ""), (words.quotient(snn, ann) or NOT_MEASURED, "")]
    won = _outcome(snn, once)
    if words.outcome(snn, once) == "wins" and words.outcome(snn, _adversary(entry)) != "wins":
        won = f"{words.quotient(snn, once)}, but for its zeros", "warn"
    figures = [*every_step, (joules(once), ""), won, (_saved(snn, once), "")]
    return [(str(at(entry, "convention")), ""), (joules(snn), ""), *figures]


def _adversary(entry: object) -> object:
    """Joules of the ANN in one pass, its zeros skipped where they are known: what takes least."""
    skipping = at(entry, "ann_one_pass_skipping_j")
    return at(entry, "ann_one_pass_j") if number(skipping) is None else skipping


def _saved(snn: object, once: object) -> str:
    """By how much less or more the spiking network takes, as papers state it."""
    a, b = number(snn), number(once)
    if a is None or b is None or b <= 0:
        return NOT_MEASURED
    return f"{percent(abs(1 - a / b), 0)} {'less' if a <= b else 'more'}"


def _outcome(snn: object, ann: object) -> Marked:
    factor, won = words.quotient(snn, ann), words.outcome(snn, ann)
    if factor is None or won is None:
        return NOT_MEASURED, ""
    return f"{factor}, {won}", "good" if won == "wins" else "warn"


def _break_even(found: object) -> list[list[Any]]:
    """The network's activity beside the activity below which published studies see a gain."""
    rows: list[list[Any]] = []
    rate, limit = number(at(found, "spike_rate")), number(at(found, "spike_rate_limit"))
    if rate is not None and limit is not None:
        source = f"{at(found, 'spike_rate_source')}; here T = {count(at(found, 'timesteps'))}"
        below = f"below {percent(limit)}"
        side = _side(rate, limit, limit)
        rows.append(["spikes per neuron and step", percent(rate), below, side, source])
    used = number(at(found, "messages_per_synapse"))
    ends = pair(at(found, "messages_per_synapse_limits"))
    if used is not None and ends is not None:
        source = f"{at(found, 'messages_per_synapse_source')}, by hardware; graded messages counted as spikes"
        between = f"{count(ends[0])} – {count(ends[1])}"
        rows.append(["messages per synapse", count(used), between, _side(used, *ends), source])
    return rows


def _side(here: float, low: float, high: float) -> Marked:
    if here > high:
        return "above: an ANN is expected to win", "warn"
    if here < low:
        return "below: a gain is expected", "good"
    return "between: it depends on the hardware", ""
