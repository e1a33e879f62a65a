"""What a report says in words, for the page and for the terminal alike."""

from collections.abc import Callable, Mapping
from typing import Any

from deploy.report.words.figures import (
    NOT_MEASURED,
    NOT_RECORDED,
    count,
    joules,
    percent,
    ratio,
    seconds,
)
from deploy.report.words.read import at, items, mapping, number, numbers, pair

QUANTITIES = {"s": "spike", "u": "synaptic current u", "v": "membrane potential v"}
Form = Callable[[object], str]
UNKNOWN = "unknown"
# The two sides of the comparison with an ANN, and the ANN in one pass.
SIDES = ("snn_j", "ann_j", "ann_one_pass_j")
# The accuracies and how they are written for a reader.
TITLES = {
    "float": "float",
    "untuned": "untuned",
    "quantized": "quantized",
    "emulator": "emulator",
    "lava": "Lava",
}


def titles(report: object) -> dict[str, str]:
    """Those of a report: only a network that was trained on further has one before that."""
    return {e: t for e, t in TITLES.items() if e != "untuned" or accuracy(report, e) is not None}


def recorded(report: object, key: str) -> str:
    """What identifies a run, as text."""
    found = at(report, key)
    return NOT_RECORDED if found is None or found == "" else str(found)


def size(report: object) -> str:
    """How much was run: samples × timesteps."""
    samples, timesteps = at(report, "samples"), at(report, "timesteps")
    if number(samples) is None and number(timesteps) is None:
        return NOT_MEASURED
    return f"{count(samples)} samples × {count(timesteps)} timesteps"


def difference(entry: object) -> str | None:
    """Where the two executors of a parity pair first differ, or None where they do not."""
    a, b = str(at(entry, "a")), str(at(entry, "b"))
    register = at(entry, "first_register")
    if register:
        where = at(register, "index")
        return (
            f"register '{at(register, 'register')}'{_index(where)}: "
            f"{a} holds {at(register, 'a')}, {b} holds {at(register, 'b')}"
        )
    first = at(entry, "first_divergence")
    if not first:
        return None
    quantity = str(at(first, "quantity"))
    quantity = QUANTITIES.get(quantity, quantity)
    return (
        f"{quantity} of node '{at(first, 'node')}', sample {at(first, 'sample')}, "
        f"step {at(first, 'step')}{_index(at(first, 'index'))}: "
        f"{a} has {at(first, 'a')}, {b} has {at(first, 'b')}"
    )


def _index(where: Any) -> str:
    if where is None or where == [] or where == ():
        return ""
    return f", index {list(where) if isinstance(where, list | tuple) else where}"


def registers(entry: object) -> str:
    """Whether the executors of a pair held equal registers."""
    equal = at(entry, "registers_equal")
    return "equal" if equal is True else "differ" if equal is False else NOT_MEASURED


def parity_pairs(report: object) -> list[Any]:
    """The entries of the parity table."""
    return items(at(report, "parity", "pairs"))


def pair_holds(entry: object) -> bool | None:
    """True where a pair is equal in all that was compared; None where nothing was compared."""
    found = [at(entry, "spike_mismatches"), at(entry, "state_mismatches")]
    seen = [number(x) for x in found if number(x) is not None]
    equal = at(entry, "registers_equal")
    if equal is None and not seen:
        return None
    return equal is not False and not any(seen) and difference(entry) is None


def energy_ends(report: object) -> list[tuple[str, int | float]]:
    """The lowest low end and the highest total over the sets of a whole chip as (set, joules).

    Over all sets where none is of a whole chip, and in a report from before they were told apart.
    """
    lows, totals = [], []
    entries = items(at(report, "energy"))
    for entry in [e for e in entries if at(e, "whole") is True] or entries:
        total, low = number(at(entry, "total_j")), number(at(entry, "low_j"))
        if total is not None:
            name = str(at(entry, "coefficients"))
            totals.append((name, total))
            lows.append((name, total if low is None else low))
    if not totals:
        return []
    return [min(lows, key=lambda t: t[1]), max(totals, key=lambda t: t[1])]


def energy_range(report: object) -> tuple[int | float, int | float] | None:
    """The stated range over all sets, or the one the entries give, in joules."""
    stated = pair(at(report, "energy_range_j"))
    ends = energy_ends(report)
    return stated or ((ends[0][1], ends[1][1]) if ends else None)


def energy_sentence(report: object) -> str:
    """The range of energy per inference with the coefficient sets at its ends."""
    limits = energy_range(report)
    if limits is None:
        return NOT_MEASURED
    names = [f" ({name})" for name, _ in energy_ends(report)] or ["", ""]
    if limits[0] == limits[1]:
        return f"{joules(limits[0])}{names[0]}"
    return f"{joules(limits[0])}{names[0]} – {joules(limits[1])}{names[1]}"


def baseline_total(report: object) -> int | float | None:
    """Joules of the ANN baseline: its total, or the sum of its categories."""
    total = number(at(report, "baseline", "total_j"))
    parts = numbers(at(report, "baseline", "joules"))
    return total if total is not None else sum(parts.values()) if parts else None


def like_for_like(report: object) -> list[Any]:
    """The conventions in which both the spiking network and the ANN were counted."""
    entries = items(at(report, "baseline", "like_for_like"))
    return [e for e in entries if outcome(at(e, "snn_j"), at(e, "ann_j")) is not None]


def quotient(snn: object, ann: object) -> str | None:
    """The spiking network's share of the ANN's figure, as a factor."""
    a, b = number(snn), number(ann)
    return None if a is None or b is None or b <= 0 else ratio(a / b)


def outcome(snn: object, ann: object) -> str | None:
    """Whether the spiking network "wins", "loses" or comes out "equal"."""
    a, b = number(snn), number(ann)
    if a is None or b is None or b <= 0:
        return None
    return "wins" if a < b else "loses" if a > b else "equal"


def against(report: object) -> str | None:
    """The comparison with a dense ANN in the first convention, short enough for a terminal."""
    entries = like_for_like(report)
    if not entries:
        return None
    snn, ann, once = (at(entries[0], key) for key in SIDES)
    text = (
        f"{at(entries[0], 'convention')}: {joules(snn)}; dense ANN at every step {joules(ann)} "
        f"({quotient(snn, ann)})"
    )
    if outcome(snn, once) is None:
        return text
    text += f"; in one pass {joules(once)}"
    skipping = at(entries[0], "ann_one_pass_skipping_j")
    if number(skipping) is not None:
        # What skips its zeros takes least: nothing is won that is not won against it.
        text, once = (
            f"{text} ({quotient(snn, once)}), its zeros skipped {joules(skipping)}",
            skipping,
        )
    return f"{text} ({quotient(snn, once)}, {_said(outcome(snn, once))})"


def zeros(report: object) -> str | None:
    """How many zeros an ANN skips, at every step and in one pass, and who says so."""
    found = at(report, "baseline", "skipping")
    source = at(found, "source")
    if not source:
        return None
    shares = [
        f"{name} {UNKNOWN if number(share) is None else percent(share)}"
        for name, share in (
            ("inputs at every step", at(found, "input_sparsity")),
            ("hidden", at(found, "hidden_sparsity")),
            ("inputs in one pass", at(found, "one_pass", "input_sparsity")),
            ("hidden", at(found, "one_pass", "hidden_sparsity")),
        )
    ]
    return f"{', '.join(shares)} ({source})"


def _said(won: str | None) -> str:
    return "equal" if won == "equal" else f"spiking {won}"


def crossed(report: object) -> str | None:
    """How often the run went beyond register edges that it could reach; None where it could not."""
    nodes = mapping(at(report, "proof", "observed"))
    if not nodes:
        return None
    found = {name: numbers(edges) for name, edges in nodes.items()}
    times = {name: sum(edges.values()) for name, edges in found.items()}
    if not any(times.values()):
        return f"within reach in {', '.join(nodes)}; no value of this run went beyond"
    said = [
        f"{node}: {edge} ({count(n)} ×)"
        for node, edges in found.items()
        for edge, n in edges.items()
        if n
    ]
    return f"values went beyond: {'; '.join(said)}"


def cores(report: object) -> str:
    """Cores used of those available, on how many of which chip."""
    used, available, chips = (at(report, "cores", k) for k in ("used", "available", "chips"))
    if number(used) is None:
        return NOT_MEASURED
    of = f" of {count(available)}" if number(available) is not None else ""
    on = f" on {count(chips)} chip{'s' if chips != 1 else ''}" if number(chips) is not None else ""
    name = chip(report)
    return f"{count(used)}{of}{on}{f' ({name})' if name else ''}"


def chip(report: object) -> str:
    """The name of the chip that the network was mapped onto, or nothing."""
    return str(at(report, "cores", "chip") or at(report, "chip") or "")


def where_ran(report: object, side: str) -> str:
    """What ran on the "host" or on the "chip", separated by semicolons."""
    if not isinstance(at(report, "placement", side), list | tuple):
        return NOT_MEASURED
    return "; ".join(str(x) for x in items(at(report, "placement", side))) or "nothing"


def new_labels(report: object) -> str | None:
    """What exchanging the labels would load again; None for a model without a text encoder."""
    held, of = (at(report, "new_labels", key) for key in ("synapse_words", "of"))
    if number(held) is None or number(of) is None:
        return None
    layers = ", ".join(f"'{name}'" for name in items(at(report, "new_labels", "layers")))
    return f"exchange {layers}: {count(held)} of {count(of)} synapse words"


def skips(report: object) -> str | None:
    """Both lowerings of residual skips in three figures each; None for a model without skips."""
    costs = mapping(at(report, "skips", "costs"))
    if not costs:
        return None
    chosen = at(report, "skips", "lowering")
    said = []
    for name, cost in sorted(costs.items(), key=lambda entry: entry[0] != chosen):
        figures = [
            f"{count(at(cost, key))} {unit}"
            for key, unit in (
                ("cores", "cores"),
                ("synaptic_ops", "synaptic operations"),
                ("messages", "packets"),
            )
            if number(at(cost, key)) is not None
        ]
        said.append(f"{name} {', '.join(figures) or NOT_MEASURED}")
    return "; ".join(said)


def unsupported(report: object) -> str:
    """What could not be mapped."""
    if not isinstance(at(report, "unsupported"), list | tuple):
        return NOT_MEASURED
    return "; ".join(str(x) for x in items(at(report, "unsupported"))) or "nothing"


def accuracy(report: object, executor: str) -> dict[str, Any] | None:
    """An accuracy entry as an object {"value", ...}, or None where it was not measured."""
    entry = at(report, "accuracy", executor)
    if number(entry) is not None:
        return {"value": entry}
    return mapping(entry) if number(at(entry, "value")) is not None else None


def between(ends: tuple[int | float, int | float] | None, form: Form) -> str:
    """A range, or one figure where its ends are written alike."""
    if ends is None:
        return NOT_MEASURED
    low, high = form(ends[0]), form(ends[1])
    return low if low == high else f"{low} – {high}"


def assumed(report: object) -> str | None:
    """How many cores and chips the network takes if one assumption about the chip is wrong, where that
    was asked for: the ends, and which assumption makes the largest."""
    found = at(report, "cores", "assumptions")
    rows = [r for r in items(at(found, "rows")) if number(at(r, "cores")) is not None]
    if not rows:
        return None
    low, high = (end(rows, key=lambda r: at(r, "cores")) for end in (min, max))

    def said(row: object) -> str:
        chips = at(row, "chips")
        of = f"{count(at(row, 'cores'))} cores on {count(chips)} chip{'s' if chips != 1 else ''}"
        return f"{of} if {str(at(row, 'limit')).replace('_', ' ')} is {count(at(row, 'value'))}"

    if at(low, "cores") == at(high, "cores"):
        return (
            f"the same {count(at(low, 'cores'))} cores ({count(len(rows))} changes, one at a time)"
        )
    return (
        f"{said(low)}, {said(high)}, the others between ({count(len(rows))} changes, one at a time)"
    )


def whose(report: object) -> str | None:
    """Who computed the synaptic sums on Lava's side; None where Lava did not run."""
    each = mapping(at(report, "lava", "arithmetic"))
    if not each:
        return None
    shares: dict[str, int | float] = {}
    for entry in each.values():
        by = str(at(entry, "by"))
        shares[by] = shares.get(by, 0) + (number(at(entry, "synapses")) or 0)
    total = sum(shares.values()) or 1
    said = ", ".join(f"{by} {percent(n / total)}" for by, n in shares.items())
    checked = number(at(report, "lava", "sums_checked"))
    of_ours = f"; {count(checked)} sums of ours equal to Lava's Conv" if checked else ""
    return f"synapses by {said}; neurons by Lava's{of_ours}"


def stream_time(report: object) -> str:
    """The range of the time of an inference in a stream of them."""
    return between(pair(at(report, "latency_range_s")), seconds)


def latency_sentence(report: object) -> str:
    """The range of the time of an inference over all sets that say how long operations take.

    In a stream of them and alone; a report from before they were told apart has one range.
    """
    stream = stream_time(report)
    alone = pair(at(report, "alone_range_s"))
    if alone is None:
        return stream if stream == NOT_MEASURED else f"{stream} per inference"
    return f"{stream} per inference in a stream, {between(alone, seconds)} for one alone"


def lowered(report: object) -> str | None:
    """How messages wait where branches of different depth meet on the chip; None where none has to."""
    found = at(report, "lowered")
    way, refused = at(found, "way"), mapping(at(found, "refused"))
    if not way or not (mapping(at(found, "cores")).keys() - {way} or refused):
        return None
    if at(found, "depth") == 0:
        return f"{way}: {refused.get(way, NOT_MEASURED)}"
    held = [f"{count(at(found, 'cores', str(way)))} cores"]
    held += [
        f"{count(at(found, key))} {name}"
        for key, name in (("delayed", "connections delayed"), ("relay_neurons", "relay neurons"))
        if at(found, key)
    ]
    others = [
        f"{name} {'would not fit' if n is None else f'would take {count(n)}'}"
        for name, n in mapping(at(found, "cores")).items()
        if name != way
    ]
    took = f"{way}: {', '.join(held)}; {', '.join(others)}"
    samples = at(found, "equal", "samples")
    return (
        took
        if samples is None
        else f"{took}; every spike and state equal on {count(samples)} samples"
    )


def parts_of_stages(timings: Mapping[str, object]) -> dict[str, str]:
    """{a part: its stage}: "lava start" is a part of "lava", and is not counted beside it."""
    return {s: whole for s in timings if (whole := s.partition(" ")[0]) in timings and whole != s}


def total_time(report: object) -> int | float | None:
    """Seconds of all stages."""
    timings = numbers(at(report, "timings"))
    parts = parts_of_stages(timings)
    stages = [x for stage, x in timings.items() if stage not in parts]
    return timings.get("total", sum(stages)) if stages else None


def traffic_sentence(report: object) -> str:
    """Packets, hops, and how unevenly the links are loaded."""
    found = at(report, "traffic")
    packets, hops = (at(report, "counts", key, "total") for key in ("messages", "hops"))
    inputs = at(report, "counts", "input_messages", "total")
    busiest, mean = number(at(found, "busiest_link")), number(at(found, "mean_link"))
    text = f"{count(packets)} packets to other cores and {count(hops)} hops per inference"
    if number(inputs) is not None:
        text += f"; inputs sent {count(inputs)} messages, whose packets come from the host"
    if not busiest or not mean:
        return f"{text}. No link of the mesh is used: the cores share a router, or send nothing."
    return (
        f"{text}. The busiest link carries {count(busiest)} packets, {ratio(busiest / mean)} "
        f"the mean of the {count(at(found, 'links_used'))} in use."
    )


def crosscheck_sentence(report: object) -> str:
    """Whether SANA-FE counts as we do."""
    found = at(report, "sanafe")
    rows = items(at(found, "counts"))
    if not rows:
        return str(at(found, "why") or NOT_MEASURED)
    wrong = [str(at(row, "quantity")) for row in rows if at(row, "equal") is not True]
    samples = at(found, "samples")
    ran = f"SANA-FE {at(found, 'version')}, {count(samples)} sample{'s' if samples != 1 else ''}"
    if wrong:
        return f"{ran}: it counts otherwise: {', '.join(wrong)}."
    return f"{ran}: it counts as we do, in all {count(len(rows))} quantities."
