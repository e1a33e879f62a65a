"""Both lowerings of a residual stream: which one is exported, and what each of them costs."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from deploy.compare.parity import Parity, compare_recordings, merge, recordings
from deploy.count.lowering_costs import lowering_cost
from deploy.emulate.fast import Plan, emulate_fast, prepare
from deploy.emulate.reference import Messages
from deploy.emulate.trace import Trace, record_bytes
from deploy.errors import BadInput, CheckFailed
from deploy.hardware.chip import Chip
from deploy.hardware.mapping import Mapping
from deploy.map.lower import OnChip, lower_to_chip
from deploy.map.partition import partition
from deploy.program.program import Program
from deploy.program.residual_stream import Reader, as_stream

FAN_IN, STREAM = "fan-in", "stream"
# Recordings of a chunk of samples.
_CHUNK_BYTES = 256 << 20


@dataclass(frozen=True, eq=False)
class Lowerings:
    """The lowering that is exported, and the program of the other, or why there is none.

    readers: of the residual stream.
    """

    chosen: str
    other: str
    readers: tuple[Reader, ...]
    program: Program | None
    refused: str = ""


def lowerings(
    fan_in: Program, readers: tuple[Reader, ...], chosen: str
) -> tuple[Program, Lowerings]:
    """The program of the chosen lowering, and the other. Raises BadInput where it is not possible."""
    try:
        stream = as_stream(fan_in, readers)
    except BadInput as error:
        if chosen == STREAM:
            raise
        return fan_in, Lowerings(FAN_IN, STREAM, readers, None, str(error))
    if chosen == STREAM:
        return stream, Lowerings(STREAM, FAN_IN, readers, fan_in)
    return fan_in, Lowerings(FAN_IN, STREAM, readers, stream)


def skips_json(
    held: Lowerings,
    exported: OnChip,
    chip: Chip,
    mapping: Mapping,
    inputs: Messages,
    trace: Trace,
    *,
    seed: int = 0,
    tries: int = 1,
    jobs: int = 1,
) -> dict[str, Any]:
    """The report's `skips`: {"lowering", "costs": {lowering: figures}, "refused", "equal"}.

    exported: the program of the chosen lowering in the steps of the chip, as mapped; the other one is
    brought there in the same way. trace: of the emulator's run on all of these inputs. costs: of each
    lowering the figures of `deploy.count.lowering_costs`, null where there is no program or it does not
    fit the chip;
    refused: {lowering: why not}. equal: both lowerings compared, the exported one first, in every
    recorded spike and state of what both have.
    Raises CheckFailed where a spike, a state, or a neuron's number of messages differs.
    """
    of = trace.samples, trace.timesteps
    sent = exported.timed.with_relays(trace.messages)
    costs: dict[str, Any] = {
        held.chosen: lowering_cost(exported.timed.program, chip, mapping, sent, *of)
    }
    if held.program is None:
        found = {"costs": costs | {held.other: None}, "refused": {held.other: held.refused}}
        return {"lowering": held.chosen, **found, "equal": None}
    messages, parity = _compared(held, trace, inputs, jobs)
    refused, other, program = {}, None, held.program
    try:
        timed = lower_to_chip(program, chip, seed).timed
        program, messages = timed.program, timed.with_relays(messages)
        other = partition(program, chip, messages, seed=seed, tries=tries)
    except CheckFailed as error:
        refused[held.other] = str(error)
    costs[held.other] = lowering_cost(program, chip, other, messages, *of)
    return {
        "lowering": held.chosen,
        "costs": costs,
        "refused": refused,
        "equal": parity.to_json(),
    }


def _compared(
    held: Lowerings, trace: Trace, inputs: Messages, jobs: int
) -> tuple[dict[str, NDArray[np.int64]], Parity]:
    """What every node of the other lowering sent, and its comparison with the exported one's run."""
    assert held.program is not None
    plan = prepare(held.program)
    names = {p.name for p in held.program.populations}
    expected = {
        entry: values
        for entry, values in recordings(trace).items()
        if entry.rpartition("/")[0] in names
    }
    recorded = min((len(values) for values in expected.values()), default=0)
    per_sample = record_bytes(held.program.populations, 1, trace.timesteps, "all")
    size = max(1, _CHUNK_BYTES // per_sample)
    messages: dict[str, NDArray[np.int64]] = {}
    chunks = []
    for start in range(0, trace.samples, size):
        stop = min(start + size, trace.samples)
        part = _run(plan, inputs, slice(start, stop), start < recorded, jobs)
        for name, sent in part.messages.items():
            messages[name] = messages.get(name, 0) + sent
        if start < recorded:
            last = min(stop, recorded)
            ours = {entry: values[start:last] for entry, values in expected.items()}
            found = recordings(part)
            theirs = {entry: found[entry][: last - start] for entry in ours}
            chunks.append(
                compare_recordings(held.chosen, ours, held.other, theirs, start, trace.readout)
            )
    parity = merge(chunks, None)
    if not parity.ok:
        raise CheckFailed(f"skips: {parity.describe()}")
    for name in names & trace.messages.keys():
        if not np.array_equal(messages[name], trace.messages[name]):
            raise CheckFailed(
                f"skips: node '{name}' sends other messages by {held.chosen} than as {held.other}"
            )
    return messages, parity


def _run(plan: Plan, inputs: Messages, where: slice, records: bool, jobs: int) -> Trace:
    part = {name: values[where] for name, values in inputs.items()}
    return emulate_fast(plan, part, "all" if records else "none", jobs)
