"""`report.html`: one self-contained page, complete without scripts, that opens offline."""

from collections.abc import Mapping
from pathlib import Path, PurePath
from typing import Any

import numpy as np
from numpy.typing import NDArray

from deploy.files import write_text
from deploy.program.program import Program
from deploy.report.charts.svg import Drawing
from deploy.report.fill import fill
from deploy.report.sections import sections
from deploy.report.words import sentences as words
from deploy.report.words.figures import NBSP, count, interval, percent
from deploy.report.words.read import at, number
from deploy.report.words.section import Run, Section
from deploy.report.words.system import system_total
from deploy.report.words.verdict import Word, verdict


def render(
    report: Mapping[str, Any],
    recordings: Mapping[str, NDArray[Any]],
    program: Program,
    frames: NDArray[np.uint8] | None = None,
) -> str:
    """The report of a run as one HTML page.

    report: the object that report.json holds; whatever is missing or null is shown as "not
    measured". recordings: {"NAME/s": integers [samples, time, *shape], "NAME/v": int32 likewise},
    as in trace.npz; may be empty. program: gives the order of nodes and which are read-outs.
    frames: what the host saw of the first samples, uint8 [samples, slices, height, width].
    """
    run = Run(report, recordings, program, frames)
    contents = [(section, show(section, run)) for section in sections()]
    found = verdict(report)
    state, mark = ("open", "!") if found.word == "EQUAL" and found.doubts else _STATES[found.word]
    model, target, digest = (at(report, key) for key in ("model", "target", "data_sha256"))
    return fill(
        "run.html",
        report=report,
        sections=[(section, shown) for section, shown in contents if shown is not None],
        # Of a path the last part; the whole one is under "Repeat this run".
        title=f"{_last(model) if model else 'unnamed model'} → {target or 'no target'}",
        data=_last(at(report, "data") or ""),
        data_set=str(at(report, "data_set") or ""),
        digest=str(digest or ""),
        verdict=found,
        state=state,
        mark=mark,
        tiles=_tiles(report),
    )


def show(section: Section, run: Run) -> Drawing | None:
    """A section below its heading, as HTML; None where it has nothing to say of this run."""
    facts = section.facts(run)
    if facts is None:
        return None
    return Drawing(fill(section.template, **{"report": run.report, **facts}))


def write_report(
    path: str | Path,
    report: Mapping[str, Any],
    recordings: Mapping[str, NDArray[Any]],
    program: Program,
    frames: NDArray[np.uint8] | None = None,
) -> None:
    """Write `render(...)` to a file, atomically. Raises BadInput where it cannot be written."""
    write_text(Path(path), render(report, recordings, program, frames))


_STATES: Mapping[Word, tuple[str, str]] = {
    "EQUAL": ("ok", "✓"),
    "NOT COMPARED": ("open", "?"),
    "FAILED": ("bad", "✕"),
}


def _last(path: object) -> str:
    """The last part of a path, or a name as it is."""
    return PurePath(str(path)).name or str(path)


def _tiles(report: object) -> list[tuple[str, str, str]]:
    """The six figures to remember: (what, how much, of what)."""
    best = next((e for e in ("lava", "emulator") if words.accuracy(report, e)), "emulator")
    entry = words.accuracy(report, best)
    ends = None in (number(at(entry, "low")), number(at(entry, "high")))
    parity = words.parity_pairs(report)
    wrong = [number(at(p, k)) for p in parity for k in ("spike_mismatches", "state_mismatches")]
    seen = sum(
        number(at(p, k)) or 0 for p in parity for k in ("spikes_compared", "states_compared")
    )
    mismatches = [x for x in wrong if x is not None]
    used, of, available = words.cores(report).partition(" of ")
    each = "per inference"
    whole = system_total(report)
    over = "" if whole is None else f"; with its host {whole}"
    energy = words.energy_sentence({"energy_range_j": words.energy_range(report)})
    share = "" if ends else f"95{NBSP}%: {interval(entry)}"
    compared = f"in {count(seen)} comparisons" if seen else ""
    return [
        (f"accuracy, {words.TITLES[best]}", percent(at(entry, "value")), share),
        ("mismatches", count(sum(mismatches) if mismatches else None), compared),
        ("neurocores", used, f"{of}{available}".strip()),
        ("synaptic operations", count(at(report, "counts", "synaptic_ops", "total")), each),
        ("energy, estimate", energy, each + over),
        ("time, estimate", words.stream_time(report), each),
    ]
