"""Reports as plain text: the printed summary of a run, and two runs side by side."""

from pathlib import Path

from deploy.report import words
from deploy.report.compare import compare_rows
from deploy.report.figures import (
    GROUP,
    MINUS,
    NBSP,
    NOT_MEASURED,
    NOT_RECORDED,
    count,
    interval,
    joules,
    percent,
    plain,
)
from deploy.report.read import at, number

# Executors are compared in a row, so more pairs than these only repeat what the first say.
MAX_PAIRS = 3


def summary(report: object, path: Path | None = None) -> str:
    """The printed summary of a run: at most 20 aligned lines.

    report: the object that report.json holds, whatever is missing named "not measured".
    path: where the full report is, for the last line.
    """
    lines = [
        ("result", f"{words.status(report)}: {_word(report, 'model')} → {_word(report, 'target')}")
    ]
    lines.append(("run", f"{words.size(report)}, seed {_word(report, 'seed')}"))
    lines += [(f"accuracy {title}", _accuracy(report, e)) for e, title in words.TITLES.items()]
    pairs = words.parity_pairs(report)
    lines += [(f"{at(p, 'a')} = {at(p, 'b')}", _pair(p)) for p in pairs[:MAX_PAIRS]]
    if not pairs:
        lines.append(("parity", NOT_MEASURED))
    first = next((where for p in pairs if (where := words.difference(p))), None)
    if first:
        lines.append(("first divergence", first))
    lines.append(("cores", words.cores(report)))
    operations = at(report, "counts", "synaptic_ops", "total")
    lines.append(("synaptic operations", _per_inference(count(operations))))
    lines.append(("energy", _per_inference(words.energy_sentence(report))))
    baseline = words.baseline_total(report)
    if baseline is not None:
        name = at(report, "baseline", "name")
        lines.append(
            ("ANN baseline", _per_inference(joules(baseline)) + (f", {name}" if name else ""))
        )
    lines.append(("on the host", words.where_ran(report, "host")))
    lines.append(("not mapped", words.unsupported(report)))
    if path is not None:
        lines.append(("report", str(path)))
    return "\n".join(f"{_terminal(name):<20} {_terminal(text)}" for name, text in lines)


def compare(report_a: object, report_b: object) -> str:
    """Two runs side by side as text: key figures, and by how much they differ."""
    rows = [("", "A", "B", "difference"), *compare_rows(report_a, report_b)]
    cells = [[_terminal(c) for c in row] for row in rows]
    widths = [max(len(row[i]) for row in cells) for i in range(4)]
    return "\n".join(
        f"{r[0]:<{widths[0]}}  {r[1]:>{widths[1]}}  {r[2]:>{widths[2]}}  {r[3]}".rstrip()
        for r in cells
    )


def _word(report: object, key: str) -> str:
    found = at(report, key)
    return NOT_RECORDED if found is None else str(found)


def _accuracy(report: object, executor: str) -> str:
    entry = words.accuracy(report, executor)
    if entry is None:
        return NOT_MEASURED
    text = f"{percent(entry['value']):>6}"
    if interval(entry) != NOT_MEASURED:
        text += f"  95 % interval {interval(entry)}"
    if number(entry.get("correct")) is not None and number(entry.get("total")) is not None:
        text += f"  {count(entry['correct'])} of {count(entry['total'])}"
    return text


def _pair(entry: object) -> str:
    parts = [f"registers {words.registers(entry)}"]
    for kind, total, wrong in (
        ("spikes", "spikes_compared", "spike_mismatches"),
        ("states", "states_compared", "state_mismatches"),
    ):
        if number(at(entry, total)) is None:
            parts.append(f"{kind} {NOT_MEASURED}")
        else:
            parts.append(f"{count(at(entry, total))} {kind}, mismatches {count(at(entry, wrong))}")
    return "; ".join(parts)


def _per_inference(text: str) -> str:
    return text if text == NOT_MEASURED else f"{text} per inference"


def _terminal(text: str) -> str:
    """One printable line; plain spaces and hyphens, whose width every terminal knows."""
    text = text.replace(GROUP, " ").replace(NBSP, " ").replace(MINUS, "-")
    return plain(text)
