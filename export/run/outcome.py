"""What a run found, as `report.json` holds it."""

import hashlib
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from deploy.compare.parity import Parity
from deploy.count.activity import fans, step_counts
from deploy.count.ann_baseline import AnnZeros, Zeros, baseline
from deploy.count.energy import Coefficients, energy_report
from deploy.count.exchange import exchange_cost
from deploy.count.neurobench import metrics
from deploy.count.operations import count
from deploy.count.operations import to_json as counts_json
from deploy.count.packets import traffic_report
from deploy.count.step_time import latency_report
from deploy.count.system import Around, system_report
from deploy.hardware.chip import Chip
from deploy.hardware.mapping import Mapping as CoreMapping
from deploy.hardware.mesh import distances
from deploy.map.core.costs import core_report
from deploy.program.program import Program
from deploy.program.residual_stream import repeated
from deploy.program.timed import Timed
from deploy.prove.proof import Proof
from deploy.report.words.read import SCHEMA
from deploy.report.words.verdict import verdict
from export.deployment.deployment import Deployment, most_active
from export.quantization.fidelity import FLOAT_GRAPH, quantization_json
from export.run.executors import Runs
from export.run.options import Options
from export.run.timing import timed_run
from export.run.versions import versions
from neuroclip.results.statistics import wilson_interval

_SHOWN = 20


@dataclass(frozen=True, eq=False)
class Found:
    """All that a run found.

    data_sha256: of the deployment's data, found once: of many samples it takes seconds. latency: chip
    steps by population. watched: the populations that can leave their registers. on_chip: the program as
    it is mapped. compared: the mapping beside others, and which candidate won. skips: of both
    lowerings. lowered: how messages wait on the chip. crossed: the target's own entry, under its name.
    """

    deployment: Deployment
    data_sha256: str
    options: Options
    program: Program
    chip: Chip
    sets: tuple[Coefficients, ...]
    proof: Proof
    latency: Mapping[str, int]
    runs: Runs
    watched: Collection[str]
    on_chip: Timed
    mapping: CoreMapping
    compared: Any
    skips: Mapping[str, Any] | None
    lowered: Mapping[str, Any]
    crossed: Mapping[str, Any] | None
    warnings: Sequence[str]


def report_json(found: Found, seconds: Mapping[str, float]) -> dict[str, Any]:
    """The report. seconds: {stage: seconds}, which may still grow."""
    deployment, options, program = found.deployment, found.options, found.program
    chip, mapping, runs = found.chip, found.mapping, found.runs
    cores = core_report(found.on_chip.program, chip, mapping) | found.compared
    report = {
        "schema": SCHEMA,
        "command": options.command,
        "model": deployment.model,
        "target": options.target,
        "chip": chip.name,
        "data": deployment.data,
        "data_set": deployment.data_set,
        "data_sha256": found.data_sha256,
        "seed": options.seed,
        "ok": all(pair.ok for pair in runs.pairs)
        and (found.crossed is None or found.crossed.get("ok") is not False),
        "samples": deployment.samples,
        "skipped": deployment.skipped,
        "seen": deployment.seen,
        "timesteps": deployment.timesteps,
        "latency_steps": found.latency,
        "timings": seconds,
        "accuracy": accuracy_json(deployment, runs),
        "neurobench": _neurobench(found) if options.neurobench else None,
        "predictions": predictions_json(deployment, program, runs),
        "quantization": quantization_json(deployment.quantization, runs.fidelity),
        "proof": found.proof.to_json()
        | ({"observed": runs.trace.observed} if found.watched else {}),
        "placement": {"host": list(deployment.host), "chip": list(deployment.chip)},
        "parity": parity_json(runs.pairs),
        **_costs(found, cores["chips"]),
        "sanafe": None,
        "lowered": found.lowered,
        "cores": cores,
        "new_labels": exchange_cost(found.on_chip.program, chip, mapping, deployment.label_layers)
        if deployment.label_layers
        else None,
        "skips": found.skips,
        # What a target cannot do is refused by name before anything runs.
        "unsupported": [],
        "warnings": found.warnings,
        "versions": versions(),
    }
    if found.crossed is not None and report.get(options.target) is None:
        report[options.target] = found.crossed
    return report | {"verdict": verdict(report).to_json()}


def _costs(found: Found, chips: int) -> dict[str, Any]:
    """Counts and what follows from them: energy, latency, the ANN beside, the system, traffic on the mesh.

    All are of the program that the chip runs, relays included; the ANN is of the network without.
    """
    deployment, chip, of = found.deployment, found.chip, found.on_chip
    mapping, trace = found.mapping, found.runs.trace
    size = deployment.samples, deployment.timesteps
    counts = count(of.program, of.with_relays(trace.messages), *size, mapping, chip)
    assert counts.traffic is not None
    tables = fans(of.program, mapping)
    way = distances(chip, [core.index for core in mapping.cores])
    readers = () if deployment.skips is None else deployment.skips.readers
    per_step = of.with_relays(trace.per_step)
    clock = timed_run(
        of, found.program, deployment.inputs, trace, tables, found.sets, way, found.options.jobs
    )
    energy = energy_report(counts, found.sets)
    latency = latency_report(clock, deployment.timesteps, of.fill)
    ann = baseline(found.program, counts, repeated(readers), *_of_ann(deployment, found.options))
    around = Around(
        *(deployment.host, deployment.work, deployment.reads, found.options.static_power, chips),
        latency["latency_range_s"],
    )
    return {
        "counts": counts_json(counts)
        | {"per_step": step_counts(of.program, per_step, counts.samples, tables)},
        **energy,
        **latency,
        "baseline": ann,
        "system": system_report(
            of.program, counts, around, found.sets, energy["energy"], ann["one_pass"]["macs"]
        ),
        "traffic": traffic_report(chip, mapping, counts.traffic, counts.samples),
    }


def _of_ann(deployment: Deployment, options: Options) -> tuple[AnnZeros, Mapping[str, Any] | None]:
    """The zeros of the ANN beside the network, and the accuracies of one that was trained."""
    ann, labels = deployment.ann, deployment.labels
    trained = None
    if ann is not None:
        right = {"accuracy": ann.predictions, "one_pass_accuracy": ann.one_pass_predictions}
        trained = {
            key: None if labels is None else _share_right(labels == p) for key, p in right.items()
        }
    if options.ann_zeros is not None:
        given = Zeros(hidden=options.ann_zeros)
        return AnnZeros(given, given, f"hidden {options.ann_zeros:g} by --ann-zeros"), trained
    return AnnZeros() if ann is None else ann.zeros, trained


def _neurobench(found: Found) -> dict[str, Any]:
    """NeuroBench's metrics of the program in sample time, without relays of a chip's steps."""
    from export.peers.neurobench import footprint

    deployment, trace = found.deployment, found.runs.trace
    counts = count(found.program, trace.messages, deployment.samples, deployment.timesteps)
    right = _right(deployment, found.runs)["emulator"]
    accuracy = None if right is None else float(right.mean())
    measured = metrics(found.program, counts, deployment.inputs, trace.per_step, accuracy)
    return footprint(deployment.network) | measured


def accuracy_json(deployment: Deployment, runs: Runs) -> dict[str, Any]:
    """Accuracy per executor with its 95 % interval; null where it was not measured."""
    return {key: _share_right(right) for key, right in _right(deployment, runs).items()}


def _right(deployment: Deployment, runs: Runs) -> dict[str, NDArray[np.bool_] | None]:
    """Which samples each executor has right; None where it, or the labels, are not known."""
    # A network quantized here has no torch module; what was made of it first runs on the emulator.
    quantized = "torch" if deployment.quantization is None else "emulator"
    ours = {"quantized": quantized, "emulator": "emulator", "lava": "lava"}
    others = runs.predictions.keys() - {"torch", FLOAT_GRAPH, *ours}
    names = ours | {name: name for name in sorted(others)}
    predicted = {"float": deployment.float_predictions}
    if deployment.untuned_predictions is not None:
        predicted["untuned"] = deployment.untuned_predictions
    predicted |= {key: runs.predictions.get(executor) for key, executor in names.items()}
    labels = deployment.labels
    return {
        key: None if labels is None or p is None else labels == p for key, p in predicted.items()
    }


def _share_right(right: NDArray[np.bool_] | None) -> dict[str, Any] | None:
    if right is None:
        return None
    correct, total = int(right.sum()), len(right)
    low, high = wilson_interval(correct, total)
    return {"value": correct / total, "low": low, "high": high, "correct": correct, "total": total}


def predictions_json(deployment: Deployment, program: Program, runs: Runs) -> dict[str, Any]:
    """The first predictions of the emulator, and which samples each executor has right.

    correct: of each executor a text of one character a sample, "1" where it is right; with
    labels_sha256, of all labels in their order, two runs over the same samples can be paired.
    confusion: how many samples of each label the emulator takes for each class, [label, predicted,
    samples] of every pair that occurs; null without labels.
    outputs: of a network with several, the most active neuron of each in the samples that were
    recorded; `first` is of the one that decides.
    """
    shown = runs.predictions["emulator"][:_SHOWN]
    labels = deployment.labels
    trace, several = runs.trace, len(program.outputs) > 1
    return {
        "labels": list(deployment.class_names),
        "first": [
            {"sample": i, "label": None if labels is None else int(labels[i]), "predicted": int(p)}
            for i, p in enumerate(shown)
        ],
        "correct": {
            key: None if right is None else "".join("01"[int(x)] for x in right)
            for key, right in _right(deployment, runs).items()
        },
        "confusion": None
        if labels is None
        else {
            "executor": "emulator",
            "counts": confusion(labels, runs.predictions["emulator"]),
        },
        "labels_sha256": None if labels is None else hashlib.sha256(labels.tobytes()).hexdigest(),
        "outputs": {
            output.name: most_active(trace, output.source)[:_SHOWN].tolist()
            for output in program.outputs
            if several and (output.source in trace.readout or output.source in trace.s)
        },
    }


def confusion(labels: NDArray[np.int64], predicted: NDArray[np.int64]) -> list[list[int]]:
    """[label, predicted, samples] of every pair that occurs, in order."""
    pairs, samples = np.unique(np.stack([labels, predicted], axis=1), axis=0, return_counts=True)
    found: list[list[int]] = np.concatenate([pairs, samples[:, None]], axis=1).tolist()
    return found


def parity_json(pairs: tuple[Parity, ...]) -> dict[str, Any]:
    """Every pair of executors compared, and whether all were equal."""
    return {"ok": all(pair.ok for pair in pairs), "pairs": [pair.to_json() for pair in pairs]}
