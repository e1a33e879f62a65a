"""The run behind `neuroclip-export`: lower, execute, compare, map, count, report."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from deploy.compare.parity import compare_registers, recordings
from deploy.count.activity import Fan, fans, step_counts
from deploy.count.ann_baseline import baseline
from deploy.count.energy import Coefficients, bundled_coefficients, energy_report, load_coefficients
from deploy.count.exchange import exchange_cost
from deploy.count.operations import Counts, count
from deploy.count.operations import to_json as counts_json
from deploy.count.packets import traffic_report
from deploy.count.step_time import latency_report
from deploy.emulate.reference import check_inputs
from deploy.emulate.trace import Record, Trace, save_trace
from deploy.errors import BadInput, CheckFailed, ToolError
from deploy.files import staged, write_json
from deploy.hardware.chip import Chip, load_chip
from deploy.hardware.mapping import Mapping, save_mapping
from deploy.hardware.mesh import distances
from deploy.map.compared import comparison
from deploy.map.core.costs import core_report
from deploy.map.partition import partition, require_fit
from deploy.map.validate import require_valid
from deploy.program.file import load_program, save_program
from deploy.program.pipeline_latency import latency_steps
from deploy.program.program import Program, registers
from deploy.program.residual_stream import Reader, repeated
from deploy.prove.proof import prove, require
from deploy.report import write_report
from export.deployment.deployment import Deployment
from export.deployment.skips import skips_json
from export.lowering.exact import lower
from export.net_format.write import write_net
from export.nir_format.read.file import read_nir
from export.nir_format.write.file import write_nir
from export.nir_format.write.program import program_graph
from export.quantization.fidelity import quantization_json
from export.run.executors import (
    Executor,
    emulator_executor,
    lava_executor,
    run_all,
    torch_executor,
)
from export.run.fits import require_fan_in
from export.run.kept import forget, keep
from export.run.outcome import accuracy_json, parity_json, predictions_json
from export.run.stages import Stages
from export.run.versions import versions
from export.targets.sanafe import cross_check
from export.targets.sanafe.files import ARCHITECTURE, NETWORK

SCHEMA = 1

# What an output folder receives; the report comes last, so that a folder with it is whole.
OUTPUT_FILES = (
    "model.nir",
    "program.npz",
    "network.net",
    "lava_network.py",
    "trace.npz",
    "mapping.json",
    ARCHITECTURE,
    NETWORK,
    "report.html",
    "report.json",
)


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
    tries: int = 1
    jobs: int = 1
    resume: bool = False
    lava_python: Path | None = None
    timeout: float = 600.0
    command: str = ""


def run(deployment: Deployment, options: Options, stages: Stages | None = None) -> dict[str, Any]:
    """Lower, execute, compare, map, count and report; returns the report, written to `options.out`.

    Raises BadInput for what cannot be lowered, and CheckFailed where the program breaks a hard limit
    of the chip; then, as after a kill, the files of the last run are still there. A parity that does
    not hold is in the report.
    """
    with staged(options.out, OUTPUT_FILES) as folder:
        try:
            report = _run(deployment, replace(options, out=folder), stages or Stages(), options.out)
        except ToolError:
            forget(options.out)
            raise
        forget(options.out)
    return report


def _run(deployment: Deployment, options: Options, stages: Stages, out: Path) -> dict[str, Any]:
    """The run; what is written goes to `options.out`, chunks that are done are kept in `out`."""
    chip = load_chip(options.chip)
    sets = _coefficients(options.coefficients)
    with stages.time("lower"):
        program = _lowered(deployment, options)
        require_fan_in(program, chip, deployment.model)
        proof = prove(program, deployment.timesteps)
        if options.strict:
            require(proof)
        # The emulator's populations respond within the step; only a chip-like target lags behind.
        latency = dict.fromkeys((p.name for p in program.populations), 0)
        if options.target == "lava":
            latency = latency_steps(program)
        require_fit(program, chip)
    warnings = [*deployment.notes, *proof.warnings]
    with stages.time("write"):
        program, unwritten = _through_files(deployment, program, options)
        warnings += unwritten
        if options.target == "lava":
            warnings += _write_script(program, deployment.timesteps, options.out)
    found = _executors(deployment, program, options, stages)
    watched = {node for node, _, _ in proof.reachable}
    what = (deployment.data_sha256, options.record_samples, *(e.name for e in found))
    kept = keep(out, options.resume, program, *what)
    runs = run_all(deployment, program, found, options.record_samples, stages, kept, watched)
    if runs.float_predictions is not None:
        deployment = replace(deployment, float_predictions=runs.float_predictions)
    with stages.time("map"):
        # Neurons that were seen to talk with each other go together.
        sent = runs.trace.messages
        mapping = partition(program, chip, sent, seed=options.seed, tries=options.tries)
        require_valid(program, chip, mapping)
        beside = comparison(program, chip, mapping, sent, deployment.samples, options.seed)
    skips = None
    if deployment.skips is not None:
        with stages.time("skips"):
            skips = skips_json(
                *(deployment.skips, program, chip, mapping, deployment.inputs, runs.trace),
                seed=options.seed,
                tries=options.tries,
                jobs=options.jobs,
            )
    counts = count(program, sent, deployment.samples, deployment.timesteps, mapping, chip)
    recorded = _recorded_messages(deployment, runs.trace)
    tables = fans(program, mapping)
    crossed = None
    if options.target == "sanafe":
        with stages.time("sanafe"):
            crossed = cross_check(
                options.out, program, chip, mapping, recorded, timeout=options.timeout
            )
    with stages.time("report"):
        report = {
            "schema": SCHEMA,
            "command": options.command,
            "model": deployment.model,
            "target": options.target,
            "chip": chip.name,
            "data": deployment.data,
            "data_sha256": deployment.data_sha256,
            "seed": options.seed,
            "ok": all(pair.ok for pair in runs.pairs)
            and (crossed is None or crossed["ok"] is not False),
            "samples": deployment.samples,
            "skipped": deployment.skipped,
            "timesteps": deployment.timesteps,
            "latency_steps": latency,
            "timings": stages.seconds,
            "accuracy": accuracy_json(deployment, runs),
            "predictions": predictions_json(deployment, program, runs),
            "quantization": quantization_json(deployment.quantization, runs.fidelity),
            "proof": proof.to_json() | ({"observed": runs.trace.observed} if watched else {}),
            "placement": {"host": list(deployment.host), "chip": list(deployment.chip)},
            "parity": parity_json(runs.pairs),
            **_costs(
                *(program, chip, mapping, counts, sets, tables, recorded, runs.trace),
                () if deployment.skips is None else deployment.skips.readers,
            ),
            "sanafe": crossed,
            "cores": core_report(program, chip, mapping) | {"comparison": beside},
            "new_labels": exchange_cost(program, chip, mapping, deployment.label_layers)
            if deployment.label_layers
            else None,
            "skips": skips,
            # What a target cannot do is refused by name before anything runs.
            "unsupported": [],
            "warnings": warnings,
            "versions": versions(),
        }
        if options.record != "none":
            save_trace(options.out / "trace.npz", _recorded(runs.trace, options.record))
        save_mapping(options.out / "mapping.json", mapping)
        shown = recordings(runs.trace) | _messages(deployment, options.record_samples)
        write_report(options.out / "report.html", report, shown, program)
        write_json(options.out / "report.json", report)
    return report


def _coefficients(own: str | None) -> tuple[Coefficients, ...]:
    """Every bundled set, and one's own beside them: a figure of one set alone is never shown."""
    bundled = bundled_coefficients()
    if own is None:
        return bundled
    given = load_coefficients(own)
    return (given, *(each for each in bundled if each.name != given.name))


def _recorded_messages(deployment: Deployment, trace: Trace) -> dict[str, NDArray[Any]]:
    """What inputs and populations sent in the samples of which recordings are kept."""
    kept = len(next(iter(trace.s.values())))
    return {**{name: x[:kept] for name, x in deployment.inputs.items()}, **trace.s}


def _costs(
    program: Program,
    chip: Chip,
    mapping: Mapping,
    counts: Counts,
    sets: tuple[Coefficients, ...],
    tables: tuple[Fan, ...],
    recorded: dict[str, NDArray[Any]],
    trace: Trace,
    readers: tuple[Reader, ...],
) -> dict[str, Any]:
    """Counts and what follows from them: energy, latency, the ANN beside, traffic on the mesh."""
    assert counts.traffic is not None
    way = distances(chip, [core.index for core in mapping.cores])
    steps = step_counts(program, trace.per_step, counts.samples, tables)
    return {
        "counts": counts_json(counts) | {"per_step": steps},
        **energy_report(counts, sets),
        **latency_report(tables, recorded, sets, way),
        "baseline": baseline(program, counts, repeated(readers)),
        "traffic": traffic_report(chip, mapping, counts.traffic, counts.samples),
    }


def write(deployment: Deployment, options: Options) -> Program:
    """Write model.nir and program.npz, both read back and equal to the model register by register,
    and for the target netx network.net too, with what a reader should know of it in the notes.

    Raises BadInput for what cannot be lowered or written, CheckFailed where a register differs.
    """
    with staged(options.out, OUTPUT_FILES) as folder:
        options = replace(options, out=folder)
        program = _lowered(deployment, options)
        program, unwritten = _through_files(deployment, program, options)
        if options.target == "nir" and unwritten:
            raise BadInput(f"{deployment.model}: {unwritten[0]}")
        if options.target == "netx":
            write_net(options.out / "network.net", program)
        for executor in _executors(deployment, program, options, Stages()):
            different = compare_registers(executor.held(), registers(program))
            if different is not None:
                raise CheckFailed(f"{executor.name} and the written program differ in {different}")
    return program


def _lowered(deployment: Deployment, options: Options) -> Program:
    """The program of a deployment, which its data fits; errors name the model or the data."""
    try:
        program = deployment.program
        if program is None:
            assert deployment.graph is not None
            program = lower(deployment.graph, dt=options.dt, input_ranges=deployment.input_ranges)
    except BadInput as error:
        raise BadInput(f"{deployment.model}: {error}") from error
    try:
        check_inputs(program, deployment.inputs)
    except BadInput as error:
        raise BadInput(f"{deployment.data}: {error}") from error
    classes = len(deployment.class_names) or program.population(program.outputs[0].source).size
    labels = () if deployment.labels is None else deployment.labels
    for sample, label in enumerate(labels):
        if not 0 <= label < classes:
            raise BadInput(
                f"{deployment.data}: label {label} of sample {sample} is not one of the {classes} "
                f"classes 0..{classes - 1}"
            )
    return program


def _executors(
    deployment: Deployment, program: Program, options: Options, stages: Stages
) -> list[Executor]:
    """The executors that a target compares, in the order in which neighbours are compared."""
    found = [emulator_executor(program, options.jobs)]
    if deployment.network is not None:
        found.insert(0, torch_executor(deployment.network))
    if options.target == "lava":
        found.append(lava_executor(program, stages, options.lava_python, options.timeout))
    return found


def _through_files(
    deployment: Deployment, program: Program, options: Options
) -> tuple[Program, list[str]]:
    """Write the graph and the program, and read both back: what is written is what is run.

    Returns the program as read, and why there is no model.nir where NIR cannot hold a program that
    did not come as a graph.
    """
    graph_file, program_file = options.out / "model.nir", options.out / "program.npz"
    unwritten: list[str] = []
    again = program
    try:
        write_nir(graph_file, deployment.graph or program_graph(program, options.dt))
        again = lower(read_nir(graph_file), dt=options.dt, input_ranges=deployment.input_ranges)
    except BadInput as error:
        if deployment.graph is not None:
            raise
        graph_file.unlink(missing_ok=True)
        reason = str(error).replace(f"{graph_file}: ", "")
        unwritten.append(f"model.nir is not written: {reason}")
    save_program(program_file, again)
    loaded = load_program(program_file)
    different = compare_registers(registers(program), registers(loaded))
    if different is not None:
        raise CheckFailed(f"{graph_file}: read back, it holds another {different}")
    return loaded, unwritten


def _write_script(program: Program, timesteps: int, out: Path) -> list[str]:
    """Write lava_network.py, or say why stock Lava processes, unlike our worker's, cannot do it."""
    from export.targets.lava.script import write_lava_script

    try:
        write_lava_script(out / "lava_network.py", program, timesteps)
    except BadInput as error:
        return [f"lava_network.py is not written: {error}"]
    return []


def _recorded(trace: Trace, record: Record) -> Trace:
    states = trace.u, trace.v
    u, v = states if record == "all" else ({}, {})
    return Trace(trace.samples, trace.timesteps, trace.s, u, v, trace.messages, trace.readout)


def _messages(deployment: Deployment, samples: int) -> dict[str, NDArray[Any]]:
    """What the inputs sent in the first samples, named as the recordings of populations are."""
    return {f"{name}/s": x[:samples] for name, x in deployment.inputs.items()}
