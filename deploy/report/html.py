"""`report.html`: one self-contained page, complete without scripts, that opens offline."""

from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from deploy.files import write_text
from deploy.program.program import Program
from deploy.report.sections.accuracy import accuracy_section
from deploy.report.sections.activity import activity_section
from deploy.report.sections.cores import cores_section
from deploy.report.sections.counts import counts_section
from deploy.report.sections.coverage import coverage_section
from deploy.report.sections.crosscheck import crosscheck_section
from deploy.report.sections.energy import energy_section
from deploy.report.sections.headline import headline, title
from deploy.report.sections.latency import latency_section
from deploy.report.sections.parity import parity_section
from deploy.report.sections.proof import proof_section
from deploy.report.sections.quantization import quantization_section
from deploy.report.sections.run import placement_section, repeat_section
from deploy.report.sections.skips import skips_section
from deploy.report.sections.traffic import traffic_section
from deploy.report.words.markup import Child, Markup, el, join

CONTENTS = {
    "accuracy": "Accuracy",
    "quantization": "Quantization",
    "parity": "Parity",
    "placement": "What ran where",
    "activity": "Activity",
    "cores": "Cores",
    "skips": "Residual skips",
    "traffic": "Traffic",
    "counts": "Operations",
    "energy": "Energy",
    "latency": "Time",
    "crosscheck": "Cross-check",
    "proof": "Proof",
    "coverage": "Not covered",
    "repeat": "Repeat",
}

# The page may load nothing at all, so a hostile name that escaped escaping could not either.
POLICY = "default-src 'none'; style-src 'unsafe-inline'"


def render(
    report: Mapping[str, Any], recordings: Mapping[str, NDArray[Any]], program: Program
) -> str:
    """The report of a run as one HTML page.

    report: the object that report.json holds; whatever is missing or null is shown as "not
    measured". recordings: {"NAME/s": integers [samples, time, *shape], "NAME/v": int32 likewise},
    as in trace.npz; may be empty. program: gives the order of nodes and which are read-outs.
    """
    quantization = quantization_section(report)
    skips = skips_section(report)
    # Only a float graph has been quantized, and not every model has skips.
    optional = {"quantization": quantization, "skips": skips}
    contents = {k: v for k, v in CONTENTS.items() if optional.get(k, v)}
    body = (
        headline(report),
        el(
            "nav",
            *(el("a", title, href=f"#{identity}") for identity, title in contents.items()),
            aria_label="Contents",
        ),
        el(
            "main",
            accuracy_section(report),
            quantization,
            parity_section(report),
            placement_section(report),
            activity_section(report, recordings, program),
            cores_section(report),
            skips,
            traffic_section(report),
            counts_section(report, program),
            energy_section(report),
            latency_section(report),
            crosscheck_section(report),
            proof_section(report),
            coverage_section(report),
            repeat_section(report),
        ),
    )
    return page(title(report), *body)


def write_report(
    path: Path,
    report: Mapping[str, Any],
    recordings: Mapping[str, NDArray[Any]],
    program: Program,
) -> None:
    """Write `render(...)` to a file, atomically. Raises BadInput where it cannot be written."""
    write_text(path, render(report, recordings, program))


def page(title: str, *body: Child) -> str:
    """A complete HTML document with the report's style inline."""
    style = files(__package__).joinpath("style.css").read_text(encoding="utf-8")
    head = el(
        "head",
        el("meta", charset="utf-8"),
        el("meta", http_equiv="Content-Security-Policy", content=POLICY),
        el("meta", name="viewport", content="width=device-width, initial-scale=1"),
        el("meta", name="color-scheme", content="light dark"),
        el("title", f"{title} – neuroclip report"),
        el("style", Markup(style)),
    )
    document = el("html", head, el("body", join(body)), lang="en")
    return f"<!doctype html>\n{document}\n"
