"""Reports as plain text: the printed summary of a run, and two runs side by side."""

from pathlib import Path
from textwrap import wrap

from deploy.report.compare import compare_rows
from deploy.report.words import sentences as words
from deploy.report.words.figures import (
    GROUP,
    MINUS,
    NBSP,
    NOT_MEASURED,
    count,
    interval,
    percent,
    plain,
    shorten,
)
from deploy.report.words.quantization import quantization_sentence
from deploy.report.words.read import at, items, number
from deploy.report.words.system import system_line
from deploy.report.words.verdict import verdict

# Executors are compared in a row, so more pairs than these only repeat what the first say.
MAX_PAIRS = 3
DIVERGENCE = "first divergence"
# Predictions that are shown in place of an accuracy.
MAX_PREDICTIONS = 8
# A terminal shows the whole summary at once; labels take LABEL of its columns.
MAX_LINES, WIDTH, LABEL = 22, 100, 20


def summary(report: object, path: str | Path | None = None) -> str:
    """The printed summary of a run: at most 22 aligned lines of at most 100 columns.

    report: the object that report.json holds, whatever is missing named "not measured".
    path: where the full report is, for the last line; it is never broken.
    """
    found = verdict(report)
    rows = [
        (
            "result",
            f"{found.word}: {words.recorded(report, 'model')} → {words.recorded(report, 'target')}",
        )
    ]
    rows += [("but", doubt) for doubt in found.doubts]
    rows.append(("run", f"{words.size(report)}, seed {words.recorded(report, 'seed')}"))
    if any(words.accuracy(report, executor) for executor in words.TITLES):
        titles = words.titles(report)
        rows += [(f"accuracy {title}", _accuracy(report, e)) for e, title in titles.items()]
    else:
        rows += [("accuracy", NOT_MEASURED), ("predicted", _predicted(report))]
    quantization = quantization_sentence(report)
    if quantization is not None:
        rows.append(("quantization", quantization))
    pairs = words.parity_pairs(report)
    rows += [(f"{at(p, 'a')} = {at(p, 'b')}", _pair(p)) for p in pairs[:MAX_PAIRS]]
    if not pairs:
        ran = at(report, "parity") is not None
        rows.append(("parity", "not compared: one executor ran" if ran else NOT_MEASURED))
    if (whose := words.whose(report)) is not None:
        rows.append(("on Lava", whose))
    first = next((where for p in pairs if (where := words.difference(p))), None)
    if first:
        rows.append((DIVERGENCE, first))
    if (crossed := words.crossed(report)) is not None:
        rows.append(("register edges", crossed))
    rows.append(("cores", words.cores(report)))
    if (lowered := words.lowered(report)) is not None:
        rows.append(("a step a layer", lowered))
    if (assumed := words.assumed(report)) is not None:
        rows.append(("if assumed wrongly", assumed))
    operations = at(report, "counts", "synaptic_ops", "total")
    rows.append(("synaptic operations", _per_inference(count(operations))))
    rows.append(("energy", _per_inference(words.energy_sentence(report))))
    rows.append(("time", words.latency_sentence(report)))
    if (system := system_line(report)) is not None:
        rows.append(("whole system", system))
    against = words.against(report)
    if against is not None:
        rows.append(("like for like", against))
    if (skips := words.skips(report)) is not None:
        rows.append(("skips", skips))
    if (labels := words.new_labels(report)) is not None:
        rows.append(("other labels", labels))
    if at(report, "sanafe"):
        rows.append(("cross-check", words.crosscheck_sentence(report)))
    rows.append(("on the host", words.where_ran(report, "host")))
    rows.append(("not mapped", words.unsupported(report)))
    last = [] if path is None else [f"{'report':<{LABEL}} {_terminal(str(path))}"]
    return "\n".join([*_wrapped(rows, MAX_LINES - len(last)), *last])


def _wrapped(rows: list[tuple[str, str]], lines: int) -> list[str]:
    """Rows wrapped under their labels; while there are too many lines, the longest row is cut.

    The row that says where two executors differ is cut last.
    """
    texts = [wrap(_terminal(text), WIDTH - LABEL - 1) or [""] for _, text in rows]
    kept = next((t for (name, _), t in zip(rows, texts, strict=True) if name == DIVERGENCE), None)
    while sum(len(text) for text in texts) > lines:
        longest = max(texts, key=lambda text: (len(text) > 1 and text is not kept, len(text)))
        del longest[-1]
        longest[-1] = f"{longest[-1][: WIDTH - LABEL - 3]} …"
    return [
        f"{shorten(_terminal(name), LABEL) if i == 0 else '':<{LABEL}} {line}"
        for (name, _), text in zip(rows, texts, strict=True)
        for i, line in enumerate(text)
    ]


def compare(report_a: object, report_b: object) -> str:
    """Two runs side by side as text: key figures, and by how much they differ."""
    rows = [("", "A", "B", "difference"), *compare_rows(report_a, report_b)]
    cells = [[_terminal(c) for c in row] for row in rows]
    widths = [max(len(row[i]) for row in cells) for i in range(4)]
    return "\n".join(
        f"{r[0]:<{widths[0]}}  {r[1]:>{widths[1]}}  {r[2]:>{widths[2]}}  {r[3]}".rstrip()
        for r in cells
    )


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


def _predicted(report: object) -> str:
    """The first predictions by class name, where no labels say whether they are right."""
    names = items(at(report, "predictions", "labels"))
    shown = []
    for entry in items(at(report, "predictions", "first"))[:MAX_PREDICTIONS]:
        index = number(at(entry, "predicted"))
        known = index is not None and 0 <= index < len(names)
        shown.append(f"sample {at(entry, 'sample')}: {names[int(index or 0)] if known else index}")
    return ", ".join(shown) or NOT_MEASURED


def _pair(entry: object) -> str:
    parts = []
    for kind, total, wrong in (
        ("spike values", "spikes_compared", "spike_mismatches"),
        ("states", "states_compared", "state_mismatches"),
    ):
        if number(at(entry, total)) is None:
            parts.append(f"{kind} {NOT_MEASURED}")
        else:
            parts.append(f"{count(at(entry, wrong))} of {count(at(entry, total))} {kind}")
    return f"registers {words.registers(entry)}; mismatches {', '.join(parts)}"


def _per_inference(text: str) -> str:
    return text if text == NOT_MEASURED else f"{text} per inference"


def _terminal(text: str) -> str:
    """One printable line; plain spaces and hyphens, whose width every terminal knows."""
    text = text.replace(GROUP, " ").replace(NBSP, " ").replace(MINUS, "-")
    return plain(text)
