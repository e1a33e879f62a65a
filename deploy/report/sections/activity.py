"""What the network did: spike rasters and read-out potentials of the first recorded samples."""

from collections.abc import Mapping
from typing import Any

from numpy.typing import NDArray

from deploy.program.program import Program
from deploy.report.charts.potentials import MAX_LABELS, MAX_LINES, potentials
from deploy.report.charts.raster import Band, raster
from deploy.report.words.markup import Child, Markup, el, missing, section
from deploy.report.words.read import at, items

# Each sample adds its spikes to the page; more of them are in the trace file.
MAX_SAMPLES = 4

Recordings = Mapping[str, NDArray[Any]]


def activity_section(report: object, recordings: Recordings, program: Program) -> Markup:
    """Rasters and potentials, the first sample open and the next ones folded."""
    integrators = {p.name for p in program.populations if p.is_readout}
    order = [*(n.name for n in program.inputs), *program.order]
    order += sorted({k.rpartition("/")[0] for k in recordings} - set(order))
    usable = {k: a for k, a in recordings.items() if a.ndim >= 3 and a.size}
    spiking = [n for n in order if n not in integrators and f"{n}/s" in usable]
    reading = [n for n in order if n in integrators and f"{n}/v" in usable]
    samples = min((len(a) for a in usable.values()), default=0)
    if not samples or not (spiking or reading):
        return section("activity", "Activity", el("p", missing(), " – nothing was recorded."))
    shown = [
        el(
            "details",
            el("summary", _title(report, sample)),
            *_sample(report, usable, program, sample, spiking, reading),
            open="" if sample == 0 else None,
        )
        for sample in range(min(samples, MAX_SAMPLES))
    ]
    return section(
        "activity",
        "Activity",
        el(
            "p",
            "Spikes by population in sample time: step t is the response to input step t. "
            "Graded messages are shaded by size, negative ones in the second colour. Read-outs show "
            "raw register values: the highest at the end is drawn strong, the label, where it "
            "is another one, dashed.",
        ),
        *shown,
        el("p", f"{samples} samples were recorded; the trace file holds the others.", cls="note")
        if samples > MAX_SAMPLES
        else None,
    )


def _sample(
    report: object,
    recordings: Recordings,
    program: Program,
    sample: int,
    spiking: list[str],
    reading: list[str],
) -> list[Child]:
    parts: list[Child] = []
    if spiking:
        units = {n.name: "channels" for n in program.inputs}
        bands = [
            Band(name, recordings[f"{name}/s"][sample], units.get(name, "neurons"))
            for name in spiking
        ]
        parts.append(raster(bands, f"Spike raster of sample {sample}"))
    labels = [str(x) for x in items(at(report, "predictions", "labels"))]
    known = _prediction(report, sample)
    for name in reading:
        v = recordings[f"{name}/v"][sample]
        neurons = v[0].size
        scores = len(labels) == neurons
        titles = labels if scores else [str(i) for i in range(neurons)]
        wanted = _class(at(known, "label"), labels) if scores else None
        label = f"Membrane potential of read-out {name}, sample {sample}"
        parts.append(el("h3", f"Read-out {name}: membrane potential v"))
        parts.append(potentials(v, titles, wanted, label))
        if neurons > MAX_LABELS:
            lines = (
                f"{min(neurons, MAX_LINES)} of {neurons} integrators drawn; only the highest named."
            )
            parts.append(el("p", lines, cls="note"))
    return parts


def _prediction(report: object, sample: int) -> Any:
    first = items(at(report, "predictions", "first"))
    return next((p for p in first if at(p, "sample") == sample), None)


def _class(label: object, labels: list[str]) -> int | None:
    """The index of a class given by its number or by its name."""
    if isinstance(label, int) and not isinstance(label, bool):
        return label if 0 <= label < len(labels) else None
    return labels.index(str(label)) if str(label) in labels else None


def _title(report: object, sample: int) -> str:
    known = _prediction(report, sample)
    labels = [str(x) for x in items(at(report, "predictions", "labels"))]
    said = []
    for key in ("label", "predicted"):
        given = at(known, key)
        index = _class(given, labels)
        if given is not None:
            said.append(f"{key} {labels[index] if index is not None else given}")
    return f"Sample {sample}" + (f" – {', '.join(said)}" if said else "")
