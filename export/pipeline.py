"""The run behind `neuroclip-export`: lower, execute, compare, map, count, report."""

import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from deploy.baseline import baseline
from deploy.chip import load_chip
from deploy.costs import core_report
from deploy.counts import count
from deploy.counts import to_json as counts_json
from deploy.emulator import check_inputs, emulate
from deploy.energy import bundled_coefficients, energy_report, load_coefficients
from deploy.errors import CheckFailed
from deploy.files import write_json
from deploy.mapping import save_mapping
from deploy.parity import Parity, compare_recordings, compare_registers, merge, recordings
from deploy.partition import partition
from deploy.program import Program, registers
from deploy.program_file import load_program, save_program
from deploy.proof import Proof, prove, require
from deploy.report import write_report
from deploy.trace import Record, Trace, concatenate, first_samples, record_bytes, save_trace
from deploy.validate import require_valid
from export.deployment import Deployment
from export.lava.latency import latency_steps
from export.lower import lower
from export.nir_file import read_nir, write_nir
from export.versions import versions
from neuroclip.statistics import wilson_interval

SCHEMA = 1

# A chunk of samples whose recordings of every state take this much: what is held at once.
_CHUNK_BYTES = 256 << 20


@dataclass(frozen=True)
class Options:
    """What a run was asked for; see `neuroclip-export --help`."""

    target: str
    out: Path
    chip: str = "loihi2"
    coefficients: str | None = None
    dt: float = 1e-4
    record: Record = "spikes"
    record_samples: int = 100
    strict: bool = False
    seed: int = 0
    jobs: int = 1
    lava_python: Path | None = None
    timeout: float = 600.0
    command: str = ""


@dataclass(frozen=True)
class Executor:
    """One way to run a program: `run` gives a trace of every state, `held` the registers behind it."""

    name: str
    run: Callable[[Mapping[str, NDArray[Any]]], Trace]
    held: Callable[[], Mapping[str, NDArray[Any]]]


@dataclass(frozen=True, eq=False)
class Runs:
    """What running all samples on all executors gave.

    trace: of the emulator, its recordings cut to the first samples, its totals over all. predictions:
    {executor: int64 [samples]}. pairs: neighbouring executors compared over all samples.
    """

    trace: Trace
    predictions: Mapping[str, NDArray[np.int64]]
    pairs: tuple[Parity, ...]


class Stages:
    """Seconds spent in each stage of a run."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}

    @contextmanager
    def time(self, stage: str) -> Iterator[None]:
        """Add the time of a block to a stage."""
        start = time.perf_counter()
        try:
            yield
        finally:
            self.seconds[stage] = self.seconds.get(stage, 0.0) + time.perf_counter() - start


def run(deployment: Deployment, options: Options, stages: Stages | None = None) -> dict[str, Any]:
    """Lower, execute, compare, map, count and report; returns the report, written to `options.out`.

    Raises BadInput for what cannot be lowered, and CheckFailed where the program breaks a hard limit
    of the chip, both before anything is written. A parity that does not hold is in the report.
    """
    stages = stages or Stages()
    chip = load_chip(options.chip)
    sets = bundled_coefficients()
    if options.coefficients is not None:
        sets = (load_coefficients(options.coefficients),)
    with stages.time("lower"):
        program = lower(deployment.graph, dt=options.dt, input_ranges=deployment.input_ranges)
        check_inputs(program, deployment.inputs)
        proof = prove(program, deployment.timesteps)
        if options.strict:
            require(proof)
        # The emulator's populations respond within the step; only a chip-like target lags behind.
        latency = dict.fromkeys((p.name for p in program.populations), 0)
        if options.target == "lava":
            latency = latency_steps(program)
        mapping = partition(program, chip)
        require_valid(program, chip, mapping)
    with stages.time("write"):
        program = _through_files(deployment, program, options)
        if options.target == "lava":
            from export.lava.script import write_lava_script

            write_lava_script(options.out / "lava_network.py", program, deployment.timesteps)
    found = executors(deployment, program, options, stages)
    runs = run_all(deployment, program, found, options, stages)
    with stages.time("report"):
        counts = count(
            program, runs.trace.messages, deployment.samples, deployment.timesteps, mapping
        )
        report = {
            "schema": SCHEMA,
            "command": options.command,
            "model": deployment.model,
            "target": options.target,
            "chip": chip.name,
            "data": deployment.data,
            "data_sha256": deployment.data_sha256,
            "seed": options.seed,
            "ok": all(pair.ok for pair in runs.pairs),
            "samples": deployment.samples,
            "timesteps": deployment.timesteps,
            "latency_steps": latency,
            "timings": stages.seconds,
            "accuracy": _accuracy(deployment, runs),
            "predictions": _predictions(deployment, runs),
            "proof": proof.to_json(),
            "placement": {"host": list(deployment.host), "chip": list(deployment.chip)},
            "parity": _parity(runs.pairs),
            "counts": counts_json(counts),
            **energy_report(counts, sets),
            "baseline": baseline(program, counts),
            "cores": core_report(program, chip, mapping),
            "unsupported": _warnings(proof),
            "versions": versions(),
        }
        if options.record != "none":
            save_trace(options.out / "trace.npz", _recorded(runs.trace, options.record))
        save_mapping(options.out / "mapping.json", mapping)
        shown = recordings(runs.trace) | _messages(deployment, runs.trace.samples)
        write_report(options.out / "report.html", report, shown, program)
        write_json(options.out / "report.json", report)
    return report


def write(deployment: Deployment, options: Options) -> Program:
    """Write model.nir and program.npz, both read back and equal to the model register by register.

    Raises BadInput for what cannot be lowered, CheckFailed where a register differs.
    """
    program = lower(deployment.graph, dt=options.dt, input_ranges=deployment.input_ranges)
    program = _through_files(deployment, program, options)
    for executor in executors(deployment, program, options, Stages()):
        different = compare_registers(executor.held(), registers(program))
        if different is not None:
            raise CheckFailed(f"{executor.name} and the written program differ in {different}")
    return program


def executors(
    deployment: Deployment, program: Program, options: Options, stages: Stages
) -> list[Executor]:
    """The executors that a target compares, in the order in which neighbours are compared."""
    found = [
        Executor(
            "emulator", lambda x: _emulate(program, x, options.jobs), lambda: registers(program)
        )
    ]
    if deployment.network is not None:
        from export.torch_run import run_torch, torch_registers

        network = deployment.network
        torch = Executor("torch", lambda x: run_torch(network, x), lambda: torch_registers(network))
        found.insert(0, torch)
    if options.target == "lava":
        found.append(lava_executor(program, options, stages))
    return found


def _emulate(program: Program, inputs: Mapping[str, NDArray[Any]], jobs: int) -> Trace:
    """Emulate samples in `jobs` threads; samples are independent, so the trace is the same."""
    samples = len(next(iter(inputs.values())))
    edges = np.linspace(0, samples, min(jobs, samples) + 1).astype(int)
    parts = [{name: x[a:b] for name, x in inputs.items()} for a, b in pairwise(edges)]
    with ThreadPoolExecutor(len(parts)) as pool:
        return concatenate(list(pool.map(lambda part: emulate(program, part), parts)))


def lava_executor(program: Program, options: Options, stages: Stages) -> Executor:
    """Lava's simulation in its worker process; its registers are those its models reported."""
    from export.lava.client import run_lava

    held: dict[str, NDArray[Any]] = {}

    def execute(inputs: Mapping[str, NDArray[Any]]) -> Trace:
        result = run_lava(program, inputs, python=options.lava_python, timeout=options.timeout)
        held.update(result.registers)
        for stage, seconds in result.timings.items():
            name = f"lava {stage.removesuffix('_s')}"
            stages.seconds[name] = stages.seconds.get(name, 0.0) + seconds
        return result.trace

    return Executor("lava", execute, lambda: held)


def run_all(
    deployment: Deployment,
    program: Program,
    found: list[Executor],
    options: Options,
    stages: Stages,
) -> Runs:
    """Run every sample on every executor, chunk by chunk, and compare neighbours as it goes."""
    per_sample = record_bytes(program, 1, deployment.timesteps, "all")
    size = max(1, _CHUNK_BYTES // per_sample)
    kept: list[Trace] = []
    predictions: dict[str, list[NDArray[np.int64]]] = {e.name: [] for e in found}
    pairs: dict[tuple[str, str], list[Parity]] = {}
    with tqdm(total=deployment.samples, desc="samples", disable=None) as bar:
        for start in range(0, deployment.samples, size):
            where = slice(start, start + size)
            inputs = {name: x[where] for name, x in deployment.inputs.items()}
            traces = {}
            for executor in found:
                with stages.time(executor.name):
                    traces[executor.name] = executor.run(inputs)
                predictions[executor.name].append(deployment.predict(traces[executor.name], where))
            with stages.time("compare"):
                for a, b in pairwise(found):
                    chunk = compare_recordings(
                        a.name,
                        recordings(traces[a.name]),
                        b.name,
                        recordings(traces[b.name]),
                        start,
                    )
                    pairs.setdefault((a.name, b.name), []).append(chunk)
            kept.append(first_samples(traces["emulator"], max(0, options.record_samples - start)))
            bar.update(len(next(iter(inputs.values()))))
    held = {e.name: e.held() for e in found}
    return Runs(
        concatenate(kept),
        {name: np.concatenate(parts) for name, parts in predictions.items()},
        tuple(
            merge(chunks, compare_registers(held[a], held[b])) for (a, b), chunks in pairs.items()
        ),
    )


def _through_files(deployment: Deployment, program: Program, options: Options) -> Program:
    """Write the graph and the program, and read both back: what is written is what is run."""
    graph_file, program_file = options.out / "model.nir", options.out / "program.npz"
    write_nir(graph_file, deployment.graph)
    again = lower(read_nir(graph_file), dt=options.dt, input_ranges=deployment.input_ranges)
    save_program(program_file, again)
    loaded = load_program(program_file)
    different = compare_registers(registers(program), registers(loaded))
    if different is not None:
        raise CheckFailed(f"{graph_file}: read back, it holds another {different}")
    return loaded


def _recorded(trace: Trace, record: Record) -> Trace:
    states = trace.u, trace.v
    u, v = states if record == "all" else ({}, {})
    return Trace(trace.samples, trace.timesteps, trace.s, u, v, trace.messages, trace.readout)


def _messages(deployment: Deployment, samples: int) -> dict[str, NDArray[Any]]:
    """What the inputs sent in the first samples, named as the recordings of populations are."""
    return {f"{name}/s": x[:samples] for name, x in deployment.inputs.items()}


def _accuracy(deployment: Deployment, runs: Runs) -> dict[str, Any]:
    """Accuracy per executor with its 95 % interval; null where it was not measured."""
    names = {"quantized": "torch", "emulator": "emulator", "lava": "lava"}
    predicted = {key: runs.predictions.get(executor) for key, executor in names.items()}
    predicted = {"float": deployment.float_predictions} | predicted
    return {key: _share_right(deployment.labels, p) for key, p in predicted.items()}


def _share_right(
    labels: NDArray[np.int64] | None, predicted: NDArray[np.int64] | None
) -> dict[str, Any] | None:
    if labels is None or predicted is None:
        return None
    correct = int((labels == predicted).sum())
    low, high = wilson_interval(correct, len(labels))
    return {
        "value": correct / len(labels),
        "low": low,
        "high": high,
        "correct": correct,
        "total": len(labels),
    }


def _predictions(deployment: Deployment, runs: Runs) -> dict[str, Any]:
    """The first predictions of the emulator, for the reader."""
    shown = runs.predictions["emulator"][:20]
    labels = deployment.labels
    return {
        "labels": list(deployment.class_names),
        "first": [
            {"sample": i, "label": None if labels is None else int(labels[i]), "predicted": int(p)}
            for i, p in enumerate(shown)
        ],
    }


def _parity(pairs: tuple[Parity, ...]) -> dict[str, Any]:
    return {"ok": all(pair.ok for pair in pairs), "pairs": [pair.to_json() for pair in pairs]}


def _warnings(proof: Proof) -> list[str]:
    return [
        f"node '{node}': {name} can reach {edge.range[0]}..{edge.range[1]} "
        f"beyond {edge.limit[0]}..{edge.limit[1]}; not portable, observed only"
        for node, name, edge in proof.reachable
    ]
