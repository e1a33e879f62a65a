"""A run checked again from its own files: hashes, replay, mapping and counts."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from deploy.compare.parity import compare_recordings, recordings
from deploy.count.operations import count, to_json
from deploy.emulate.reference import check_shapes
from deploy.emulate.trace import Record, Trace, load_trace, record_bytes
from deploy.errors import BadInput, CheckFailed
from deploy.files import read_npz
from deploy.hardware.chip import Chip, known_chips, load_chip
from deploy.hardware.mapping import Mapping as CoreMapping
from deploy.hardware.mapping import load_mapping
from deploy.jobs import run_jobs
from deploy.map.validate import validate
from deploy.program.file import load_program
from deploy.program.program import Program, equal
from deploy.program.timed import Timed, timed
from deploy.run.emulated import emulated
from deploy.run.evidence import INPUTS, LABELS, ON_CHIP, changed, data_sha256, evidence

# Recordings that the replay holds at a time.
_CHUNK_BYTES = 256 << 20

Arrays = dict[str, NDArray[Any]]


@dataclass(frozen=True)
class Checked:
    """One claim of a run. holds: None where it could not be checked; found: what was, in words."""

    claim: str
    holds: bool | None
    found: str


@dataclass(frozen=True, eq=False)
class _Run:
    """The files of a run, as far as they can be read."""

    folder: Path
    report: Mapping[str, Any]
    program: Program
    inputs: Arrays
    labels: NDArray[Any] | None
    trace: Arrays
    mapping: CoreMapping
    timed: Timed | None

    @property
    def on_chip(self) -> Program:
        """What was mapped."""
        return self.program if self.timed is None else self.timed.program

    @property
    def samples(self) -> int:
        """Samples of which the inputs are kept."""
        return len(next(iter(self.inputs.values())))

    @property
    def whole(self) -> bool:
        """Whether these are all samples of the run."""
        return self.samples == self.report.get("samples")


def verify(
    folder: str | Path, report: Mapping[str, Any], workers: int | None = None
) -> list[Checked]:
    """Every claim of a run that its folder lets one check, in the order in which they build up.

    folder: of the run, with its program, inputs, trace and mapping; report: its report. The inputs are
    run through the program again and compared with the recorded trace, value by value; over all samples
    the counts are made again from what was sent. workers: threads of the cluster that runs them. Raises
    BadInput naming a file that cannot be read.
    """
    folder = Path(folder)
    checked = [_files(folder, report)]
    if not (folder / INPUTS).is_file():
        why = f"the run keeps no {INPUTS}; run it again with this version"
        return [*checked, Checked("replay", None, why)]
    run = _read(folder, report)
    messages, replayed = _replayed(run, workers)
    if run.timed is not None:
        messages = run.timed.with_relays(messages)
    checked += [_data(run), replayed, _lowered(run), *_mapped(run, messages)]
    return checked


def _files(folder: Path, report: Mapping[str, Any]) -> Checked:
    said = report.get("evidence")
    if not isinstance(said, dict) or not said.get("files"):
        return Checked("files", None, "the report keeps no hashes")
    found = evidence(folder)
    if found == said:
        return Checked("files", True, f"{', '.join(found['files'])}: as written")
    wrong = changed(folder, report) or ["the report's hashes are not all of these files"]
    return Checked("files", False, "; ".join(wrong))


def _read(folder: Path, report: Mapping[str, Any]) -> _Run:
    program = load_program(folder / "program.npz")
    arrays = read_npz(folder / INPUTS)
    labels = arrays.pop(LABELS, None)
    try:
        check_shapes(program, arrays)
    except BadInput as error:
        raise BadInput(f"{folder / INPUTS}: {error}") from error
    trace = load_trace(folder / "trace.npz") if (folder / "trace.npz").is_file() else {}
    mapping = load_mapping(folder / "mapping.json")
    return _Run(folder, report, program, arrays, labels, trace, mapping, _timed(program, report))


def _timed(program: Program, report: Mapping[str, Any]) -> Timed | None:
    """The program in the steps of a chip, as the report says; None where it was mapped as it is."""
    said = report.get("lowered")
    if not isinstance(said, dict) or not said.get("depth"):
        return None
    relayed, longest = said.get("relayed"), said.get("longest")
    names = relayed is None or (
        isinstance(relayed, list) and all(isinstance(n, str) for n in relayed)
    )
    if not names or not isinstance(longest, int) or longest < 1:
        raise BadInput(f"report.json: key 'lowered' says no way of waiting: {relayed}, {longest}")
    return timed(program, relayed, longest)


def _lowered(run: _Run) -> Checked:
    """What was mapped against the program in the steps of a chip."""
    if not (run.folder / ON_CHIP).is_file():
        return Checked("lowered", None, f"the run keeps no {ON_CHIP}")
    holds = equal(load_program(run.folder / ON_CHIP), run.on_chip)
    return Checked("lowered", holds, f"{ON_CHIP} is the program in the steps of a chip")


def _data(run: _Run) -> Checked:
    if not run.whole:
        kept = f"{run.samples} of {run.report.get('samples')} samples are kept"
        return Checked("data", None, f"{kept}; their SHA-256 is of all")
    holds = data_sha256(run.inputs, run.labels) == run.report.get("data_sha256")
    return Checked("data", holds, f"SHA-256 of {run.samples} samples and their labels")


def _replayed(run: _Run, workers: int | None) -> tuple[Arrays, Checked]:
    """What every node sent in all samples, and whether the recordings came out again."""
    recorded = len(next(iter(run.trace.values()))) if run.trace else 0
    steps = next(iter(run.inputs.values())).shape[1]
    held = _CHUNK_BYTES // (4 * workers if workers else 1)
    size = max(1, held // max(1, record_bytes(run.program.populations, 1, steps, "all")))
    starts = range(0, run.samples, size)
    parts: list[tuple[Arrays, Record]] = [
        (
            {name: x[start : start + size] for name, x in run.inputs.items()},
            "all" if start < recorded else "none",
        )
        for start in starts
    ]
    work = partial(_emulated, run.program, None if workers is None else 1)
    messages: Arrays = {}
    compared, first = 0, ""
    for start, ran in zip(starts, run_jobs(work, parts, workers), strict=True):
        messages = {n: x + messages[n] if messages else x for n, x in ran.messages.items()}
        stored = {name: x[start : start + size] for name, x in run.trace.items()}
        if start >= recorded or first:
            continue
        ours = {
            name: x[: recorded - start] for name, x in recordings(ran).items() if name in stored
        }
        try:
            parity = compare_recordings("trace.npz", stored, "replay", ours, start, ran.readout)
        except BadInput as error:
            return messages, Checked("replay", False, str(error))
        compared += parity.spikes_compared + parity.states_compared
        first = str(parity.first_divergence or "")
    if not recorded:
        return messages, Checked("replay", None, "the run recorded no trace")
    said = f"{compared} recorded values of {recorded} samples came out again"
    return messages, Checked("replay", not first, first or said)


def _emulated(program: Program, threads: int | None, part: tuple[Arrays, Record]) -> Trace:
    inputs, record = part
    return emulated(program, inputs, record, threads)


def _mapped(run: _Run, messages: Arrays) -> list[Checked]:
    """The mapping against the rules of its chip, and the counts of all samples."""
    if run.mapping.chip not in known_chips():
        why = f"'{run.mapping.chip}' is no bundled chip"
        return [Checked("mapping", None, why), Checked("counts", None, why)]
    chip = load_chip(run.mapping.chip)
    broken = validate(run.on_chip, chip, run.mapping)
    found = broken[0].message if broken else f"{len(run.mapping.cores)} cores within {chip.name}"
    mapping = Checked("mapping", not broken, found)
    if broken:
        return [mapping, Checked("counts", None, "the mapping does not hold")]
    return [mapping, _counts(run, messages, chip)]


def _counts(run: _Run, messages: Arrays, chip: Chip) -> Checked:
    if not run.whole:
        why = f"{run.samples} of {run.report.get('samples')} samples are kept"
        return Checked("counts", None, why)
    steps = next(iter(run.inputs.values())).shape[1]
    try:
        counted = to_json(count(run.on_chip, messages, run.samples, steps, run.mapping, chip))
    except (BadInput, CheckFailed) as error:
        return Checked("counts", False, str(error))
    said = run.report.get("counts")
    said = said if isinstance(said, dict) else {}
    for key, value in counted.items():
        if said.get(key) != value:
            return Checked("counts", False, f"{key}: {_first(said.get(key), value)}")
    operations = counted["synaptic_ops"]["exact_total"]
    return Checked("counts", True, f"{operations} synaptic operations, and every other count")


def _first(said: Any, found: Any) -> str:
    """The first figure that two counts differ in."""
    if isinstance(said, dict) and isinstance(found, dict):
        for key, value in found.items():
            if said.get(key) != value:
                return f"{key}: {_first(said.get(key), value)}"
    return f"{str(said)[:40]} in the report, {str(found)[:40]} counted"
