"""The run behind `neuroclip-export`: lower, execute, compare, map, count, report."""

from contextlib import suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from deploy.compare.parity import compare_registers, recordings
from deploy.count.energy import Coefficients, bundled_coefficients, load_coefficients
from deploy.emulate.trace import Record, Trace, save_trace
from deploy.errors import BadInput, CheckFailed, ToolError
from deploy.files import read_json, staged, write_json, write_npz
from deploy.hardware.chip import Chip, load_chip
from deploy.hardware.mapping import save_mapping
from deploy.jobs import cluster
from deploy.map.assumptions import assumptions
from deploy.map.compared import comparison
from deploy.map.core.fits import require_room
from deploy.map.lower import OnChip
from deploy.map.partition import Task, search
from deploy.map.system import SYSTEMS, smallest_system
from deploy.map.validate import require_valid
from deploy.program.file import save_program
from deploy.program.program import Program, registers
from deploy.prove.proof import prove, require
from deploy.report import write_report
from deploy.report.words.read import SCHEMA
from deploy.run.evidence import FRAMES, INPUTS, ON_CHIP, evidence, kept_inputs
from export.deployment.deployment import Deployment
from export.deployment.skips import skips_json
from export.quantization.fidelity import quantization_json
from export.run.executors import by_core, emulator_executor, run_all, torch_executor
from export.run.fits import require_fan_in
from export.run.kept import forget, keep
from export.run.lowered import lowered, through_files
from export.run.on_chip import compared_samples, lowered_json, on_chip
from export.run.options import Options
from export.run.outcome import Found, report_json
from export.run.silence import silence
from export.run.stages import Stages
from export.targets.table import BUILT_IN, find_target
from export.targets.target import Executor, Job, Mapped, Target


def run(deployment: Deployment, options: Options, stages: Stages | None = None) -> dict[str, Any]:
    """Lower, execute, compare, map, count and report; returns the report, written to `options.out`.

    For a target that only writes, the files are made and the registers compared: of the report there
    is then only what that says, returned and not written.
    Raises BadInput for what cannot be lowered or the target cannot hold, and CheckFailed where the
    program breaks a hard limit of the chip or a file holds another register; then, as after a kill,
    the files of the last run are still there. A parity that does not hold is in the report.
    """
    target = find_target(options.target)
    files = _output_files(target, options.out)
    _require_writable(options.neurobench, options.out, files)
    with staged(options.out, files) as folder:
        inside = replace(options, out=folder)
        if not target.runs:
            return _write(deployment, inside, target)
        try:
            report = _run(deployment, inside, target, stages or Stages(), options.out)
        except ToolError:
            forget(options.out)
            raise
        forget(options.out)
    if options.neurobench is not None:
        write_json(options.neurobench, report["neurobench"])
    return report


def _require_writable(file: Path | None, out: Path, files: tuple[str, ...]) -> None:
    """Refuse, before any work, a file for NeuroBench's metrics that would replace another's or the run's."""
    if file is None:
        return
    if file.resolve() in {(out / name).resolve() for name in files}:
        raise BadInput(
            f"--neurobench {file}: is what the run itself writes there; give another name"
        )
    if file.parent.resolve() != out.resolve() and not file.parent.is_dir():
        raise BadInput(f"--neurobench {file}: there is no folder {file.parent}")
    if not file.exists():
        return
    with suppress(BadInput):
        found = read_json(file)
        if isinstance(found, dict) and "SynapticOperations" in found:
            return
    raise BadInput(f"--neurobench {file}: exists, and holds no metrics of NeuroBench")


def _output_files(target: Target, out: Path) -> tuple[str, ...]:
    """What an output folder receives; the report comes last, so that a folder with it is whole.

    The files of another's target go too, where the last run into the folder was to one.
    """
    of_targets = [file for each in map(find_target, BUILT_IN) for file in each.files]
    with suppress(BadInput, KeyError, TypeError):  # no report, or none that says it
        of_targets += find_target(read_json(out / "report.json")["target"]).files
    # The program comes first: by it the next run knows the folder, whenever this one is killed.
    ours = "program.npz", "model.nir", ON_CHIP
    first = dict.fromkeys((*ours, *of_targets, *target.files))
    return (*first, INPUTS, FRAMES, "trace.npz", "mapping.json", "report.html", "report.json")


def _run(
    deployment: Deployment, options: Options, target: Target, stages: Stages, out: Path
) -> dict[str, Any]:
    """The run; what is written goes to `options.out`, chunks that are done are kept in `out`."""
    named = None if options.chip is None else load_chip(options.chip)
    sets = _coefficients(options.coefficients)
    with stages.time("lower"):
        program = lowered(deployment, options.dt)
        chip = named or load_chip(SYSTEMS[0])
        require_room({p.name: p.size for p in program.populations}, named or load_chip(SYSTEMS[-1]))
        require_fan_in(program, chip, deployment.model)
        proof = prove(program, deployment.timesteps)
        if options.strict:
            require(proof)
        latency = target.latency(program)
        target.check(program, deployment.timesteps)
    warnings = [*deployment.notes, *proof.warnings]
    with stages.time("write"):
        job = _job(deployment, program, options, stages)
        program = job.program
        warnings += [job.no_graph] if job.no_graph else []
        warnings += target.write(job)
    with stages.time("lower"):

        def fit(chip: Chip) -> tuple[OnChip, list[str]]:
            return on_chip(program, chip, options.seed)

        chip, (chipped, refused) = smallest_system(fit) if named is None else (named, fit(named))
        warnings += refused
        save_program(options.out / ON_CHIP, chipped.timed.program)
    found = [*_ours(deployment, program, options.jobs)]
    if (theirs := target.executor(job)) is not None:
        if theirs.name in {executor.name for executor in found}:
            raise BadInput(
                f"target '{target.name}': its executor calls itself '{theirs.name}', as ours"
            )
        found.append(theirs)
    watched = {node for node, _, _ in proof.reachable}
    # States are many times the messages: without need they are kept of what is compared again.
    wanted = options.record == "all" or options.by_core
    compared = compared_samples(chipped.timed, deployment.timesteps)
    states = options.record_samples if wanted else min(options.record_samples, compared)
    digest = deployment.data_sha256
    what = (digest, options.record_samples, states, *(e.name for e in found))
    kept = partial(keep, out, options.resume, program, *what)
    with cluster(options.workers) as threads:
        runs = run_all(
            deployment,
            program,
            found,
            options.record_samples,
            states,
            stages,
            kept,
            watched,
            threads,
            options.jobs,
        )
    warnings += silence(program, runs.trace, deployment.silent_note)
    if runs.float_predictions is not None:
        deployment = replace(deployment, float_predictions=runs.float_predictions)
    with stages.time("map"):
        # Neurons that were seen to talk with each other go together.
        sent, held = chipped.timed.with_relays(runs.trace.messages), chipped.timed.program
        searched = search(Task(held, chip, sent, options.seed, options.tries))
        mapping = searched.mapping
        require_valid(held, chip, mapping)
        beside = {
            "comparison": comparison(held, chip, mapping, sent, deployment.samples, options.seed),
            "found_by": searched.to_json(deployment.samples),
        }
    if options.assumptions:
        with stages.time("assumptions"):
            beside["assumptions"] = assumptions(held, chip, sent, deployment.samples, options.seed)
    if options.by_core:
        with stages.time("by-core"):
            pair = by_core(deployment, chipped.timed.in_sample_time, mapping, runs.trace)
        runs = replace(runs, pairs=(*runs.pairs, pair))
    skips = None
    if deployment.skips is not None:
        with stages.time("skips"):
            skips = skips_json(
                *(deployment.skips, chipped, chip, mapping, deployment.inputs, runs.trace),
                seed=options.seed,
                tries=options.tries,
                jobs=options.jobs,
            )
    kept_samples = len(next(iter(runs.trace.s.values())))
    inputs = {name: x[:kept_samples] for name, x in deployment.inputs.items()}
    with stages.time("compare"):
        # Executors that differ are what the report is for: then it must be written.
        sound = all(pair.ok for pair in runs.pairs)
        steps_equal = lowered_json(chipped, inputs, runs.trace, strict=sound)
    recorded = chipped.timed.with_relays({**inputs, **runs.trace.s})
    with stages.time(target.name):
        crossed = target.cross_check(job, Mapped(chip, mapping, recorded, held, runs.checked))
    with stages.time("count"):
        report = report_json(
            Found(
                deployment, digest, options, program, chip, sets, proof, latency, runs, watched,
                chipped.timed, mapping, beside, skips, steps_equal, crossed, warnings,
            ),
            stages.seconds,
        )  # fmt: skip
    with stages.time("files"):
        if options.record != "none":
            save_trace(options.out / "trace.npz", _recorded(runs.trace, options.record))
        save_mapping(options.out / "mapping.json", mapping)
        write_npz(
            options.out / INPUTS, kept_inputs(deployment.inputs, deployment.labels, kept_samples)
        )
        if deployment.frames is not None:
            write_npz(options.out / FRAMES, {"frames": deployment.frames})
        report |= {"evidence": evidence(options.out)}
    with stages.time("page"):
        sent_in = {f"{n}/s": x[: options.record_samples] for n, x in deployment.inputs.items()}
        shown = recordings(runs.trace) | sent_in
        write_report(options.out / "report.html", report, shown, program, deployment.frames)
    write_json(options.out / "report.json", report)
    return report


def _write(deployment: Deployment, options: Options, target: Target) -> dict[str, Any]:
    """The target's files, and the registers of every executor of ours against what is written."""
    program = lowered(deployment, options.dt)
    target.check(program, deployment.timesteps)
    job = _job(deployment, program, options, Stages())
    warnings = [*deployment.notes, *target.write(job)]
    for executor in _ours(deployment, job.program, options.jobs):
        different = compare_registers(executor.held(), registers(job.program))
        if different is not None:
            raise CheckFailed(f"{executor.name} and the written program differ in {different}")
    written, made = target.told(job)
    return {
        "schema": SCHEMA,
        "command": options.command,
        "model": deployment.model,
        "target": target.name,
        "ok": True,
        "written": written,
        "made": made,
        "quantization": quantization_json(deployment.quantization, {}),
        "warnings": warnings,
    }


def _job(deployment: Deployment, program: Program, options: Options, stages: Stages) -> Job:
    """What the target gets: the program as it was written and read back."""
    program, no_graph = through_files(deployment, program, options.dt, options.out)
    return Job(
        *(deployment.model, program, deployment.timesteps, options.out, no_graph),
        python=options.lava_python,
        timeout=options.timeout,
        stock=options.stock,
        reader=options.reader,
        dt=options.dt,
        seconds=stages.seconds,
    )


def _ours(deployment: Deployment, program: Program, jobs: int) -> list[Executor]:
    """The executors of every run, in the order in which neighbours are compared."""
    emulator = emulator_executor(program, jobs)
    return (
        [emulator] if deployment.network is None else [torch_executor(deployment.network), emulator]
    )


def _coefficients(own: str | None) -> tuple[Coefficients, ...]:
    """Every bundled set, and one's own beside them: a figure of one set alone is never shown."""
    bundled = bundled_coefficients()
    if own is None:
        return bundled
    given = load_coefficients(own)
    return (given, *(each for each in bundled if each.name != given.name))


def _recorded(trace: Trace, record: Record) -> Trace:
    """What `trace.npz` holds: all, or the messages and the potentials of read-outs, which are the answer."""
    if record == "all":
        return trace
    return replace(trace, u={}, v={name: v for name, v in trace.v.items() if name in trace.readout})
