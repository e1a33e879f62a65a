"""What went through the network: the first samples as seen, their spikes, and their read-outs."""

from typing import Any

import numpy as np

from deploy.report.charts.maps import channel_maps, gray_frames, input_frames, is_spatial
from deploy.report.charts.potentials import MAX_LABELS, MAX_LINES, potentials
from deploy.report.charts.raster import Band, raster
from deploy.report.charts.svg import Drawing
from deploy.report.words.figures import count, percent
from deploy.report.words.read import at, items
from deploy.report.words.section import Run

# Each sample adds to the page; more of them are in the trace file. Nodes of a deep network likewise.
MAX_SAMPLES, MAX_NODES = 4, 12


def facts(run: Run) -> dict[str, Any]:
    """Of each sample that is shown its frames, a map or a raster of every node, and its read-outs."""
    program = run.program
    taken_in = {node.name for node in program.inputs}
    integrators = {p.name for p in program.populations if p.is_readout}
    order = [*(n.name for n in program.inputs), *program.order]
    order += sorted({k.rpartition("/")[0] for k in run.recordings} - set(order))
    usable = {k: a for k, a in run.recordings.items() if a.ndim >= 3 and a.size}
    spiking = [n for n in order if n not in integrators and f"{n}/s" in usable]
    reading = [n for n in order if n in integrators and f"{n}/v" in usable]
    recorded = min((len(a) for a in usable.values()), default=0)
    shown = range(min(recorded, MAX_SAMPLES) if spiking or reading else 0)
    chosen = np.linspace(0, len(spiking) - 1, min(len(spiking), MAX_NODES)).round().astype(int)
    drawn = [spiking[i] for i in chosen]
    return {
        "recorded": recorded,
        "nodes": (len(drawn), len(spiking)),
        "samples": [
            {
                "title": _title(run.report, sample),
                "seen": _seen(run, sample),
                "spatial": [_maps(run, n, sample) for n in nodes if _spatial(run, n)],
                "raster": _raster(run, [n for n in nodes if not _spatial(run, n)], sample),
                "readouts": [_readout(run, name, sample) for name in reading],
            }
            for sample in shown
            # All nodes of one sample show how the network works; of the others, what they are.
            for nodes in [drawn if sample == 0 else [n for n in drawn if n in taken_in]]
        ],
    }


def _seen(run: Run, sample: int) -> Drawing | None:
    """The frames that the host made and looked at, where it did."""
    frames = run.frames
    if frames is None or sample >= len(frames):
        return None
    return gray_frames(frames[sample], f"Frames of sample {sample}")


def _spatial(run: Run, name: str) -> bool:
    return is_spatial(run.recordings[f"{name}/s"].shape[2:])


def _maps(run: Run, name: str, sample: int) -> dict[str, Any]:
    """A spatial node's name, what it is, how much it sent, and its pictures."""
    sent = run.recordings[f"{name}/s"][sample]
    taken_in = any(node.name == name for node in run.program.inputs)
    draw = input_frames if taken_in else channel_maps
    shape = " × ".join(str(n) for n in sent.shape[1:])
    fired = int(np.count_nonzero(sent))
    return {
        "name": name,
        "said": f"{shape}, {count(fired)} {'messages' if taken_in else 'spikes'} "
        f"({percent(fired / max(1, sent.size))}), by {'step' if taken_in else 'channel'}",
        "drawing": draw(sent, f"Maps of {name}, sample {sample}"),
    }


def _raster(run: Run, names: list[str], sample: int) -> Drawing | None:
    if not names:
        return None
    inputs = {n.name for n in run.program.inputs}
    bands = [
        Band(n, run.recordings[f"{n}/s"][sample], "channels" if n in inputs else "neurons")
        for n in names
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
