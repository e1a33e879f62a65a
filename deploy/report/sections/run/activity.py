"""What the network did: spike rasters and read-out potentials of the first recorded samples."""

from typing import Any

from deploy.report.charts.potentials import MAX_LABELS, MAX_LINES, potentials
from deploy.report.charts.raster import Band, raster
from deploy.report.words.read import at, items
from deploy.report.words.section import Run

# Each sample adds its spikes to the page; more of them are in the trace file.
MAX_SAMPLES = 4


def facts(run: Run) -> dict[str, Any]:
    """A raster and the read-outs' potentials for each sample that is shown."""
    program = run.program
    integrators = {p.name for p in program.populations if p.is_readout}
    order = [*(n.name for n in program.inputs), *program.order]
    order += sorted({k.rpartition("/")[0] for k in run.recordings} - set(order))
    usable = {k: a for k, a in run.recordings.items() if a.ndim >= 3 and a.size}
    spiking = [n for n in order if n not in integrators and f"{n}/s" in usable]
    reading = [n for n in order if n in integrators and f"{n}/v" in usable]
    recorded = min((len(a) for a in usable.values()), default=0)
    shown = range(min(recorded, MAX_SAMPLES) if spiking or reading else 0)
    return {
        "recorded": recorded,
        "samples": [
            {
                "title": _title(run.report, sample),
                "raster": _raster(run, spiking, sample) if spiking else None,
                "readouts": [_readout(run, name, sample) for name in reading],
            }
            for sample in shown
        ],
    }


def _raster(run: Run, spiking: list[str], sample: int) -> str:
    inputs = {n.name for n in run.program.inputs}
    bands = [
        Band(n, run.recordings[f"{n}/s"][sample], "channels" if n in inputs else "neurons")
        for n in spiking
    ]
    return raster(bands, f"Spike raster of sample {sample}")


def _readout(run: Run, name: str, sample: int) -> dict[str, Any]:
    labels = _labels(run.report)
    v = run.recordings[f"{name}/v"][sample]
    neurons = v[0].size
    # A read-out of as many neurons as there are classes holds their scores.
    scores = len(labels) == neurons
    titles = labels if scores else [str(i) for i in range(neurons)]
    wanted = _class(at(_prediction(run.report, sample), "label"), labels) if scores else None
    label = f"Membrane potential of read-out {name}, sample {sample}"
    return {
        "name": name,
        "drawing": potentials(v, titles, wanted, label),
        "neurons": neurons,
        "drawn": min(neurons, MAX_LINES),
        "all_named": neurons <= MAX_LABELS,
    }


def _labels(report: object) -> list[str]:
    return [str(x) for x in items(at(report, "predictions", "labels"))]


def _prediction(report: object, sample: int) -> Any:
    first = items(at(report, "predictions", "first"))
    return next((p for p in first if at(p, "sample") == sample), None)


def _class(label: object, labels: list[str]) -> int | None:
    """The index of a class given by its number or by its name."""
    if isinstance(label, int) and not isinstance(label, bool):
        return label if 0 <= label < len(labels) else None
    return labels.index(str(label)) if str(label) in labels else None


def _title(report: object, sample: int) -> str:
    known, labels, said = _prediction(report, sample), _labels(report), []
    for key in ("label", "predicted"):
        given = at(known, key)
        index = _class(given, labels)
        if given is not None:
            said.append(f"{key} {labels[index] if index is not None else given}")
    return f"Sample {sample}" + (f" – {', '.join(said)}" if said else "")
