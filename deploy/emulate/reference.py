"""The reference emulator: a program, step by step, many samples at once, in exact integers."""

from collections.abc import Collection, Mapping
from dataclasses import replace
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from deploy.arithmetic.integers import Int64, shifted_sum
from deploy.emulate.edge_counts import count_edges
from deploy.emulate.trace import MAX_RECORD_BYTES, Record, Trace, message_type, record_bytes
from deploy.errors import BadInput, CheckFailed
from deploy.neurons import Neurons
from deploy.neurons.base import State
from deploy.program.program import Program

Messages = Mapping[str, NDArray[Any]]
# Messages whose range is checked at a time.
_CHECKED = 1 << 24


def emulate(
    program: Program,
    inputs: Messages,
    record: Record = "all",
    observe: bool = False,
    per_step: bool = False,
) -> Trace:
    """Run a program on samples that each start from cleared state.

    inputs: {input name: integers [samples, time, *shape]}, within the range of each Input.
    record: which recordings the trace keeps; totals and read-outs are always kept. observe: also
    count, in `Trace.observed`, what went beyond the edges of the registers (`deploy.neurons.edges`).
    per_step: keep the totals of each step too.
    Raises BadInput for a missing input, another shape, a message outside its range, or a recording
    of more than 2 GiB.

        >>> trace = emulate(program, {"in": np.ones((1, 4, 2), int)})  # `Program`'s example
        >>> trace.s["lif"].ravel().tolist(), trace.v["lif"].ravel().tolist()
        ([1, 1, 1, 1], [0, 0, 0, 0])
    """
    samples, timesteps = check_inputs(program, inputs)
    observed: dict[str, dict[str, int]] = {
        p.name: dict.fromkeys(p.limits(), 0) for p in program.populations if observe
    }
    trace = empty_trace(program, samples, timesteps, record, per_step=per_step)
    state = {p.name: p.cleared(samples) for p in program.populations}
    sums = {c.name: c.sums() for c in program.connections}
    # Messages by step, kept for as long as the longest delay can reach back to them.
    past: dict[str, dict[int, Int64]] = {name: {} for name in trace.messages}
    longest = max((c.delay for c in program.connections), default=0)

    for t in range(timesteps):
        for node in program.inputs:
            past[node.name][t] = np.asarray(inputs[node.name][:, t]).astype(np.int64)
        for name in program.order:
            population = program.population(name)
            a = np.zeros((samples, *population.shape), np.int64)
            for c in program.into(name):
                message = past[c.source].get(t - c.delay)
                if message is not None:
                    total = sums[c.name](message.reshape(samples, -1))
                    a += shifted_sum(total, c.exponent).reshape(a.shape)
            if observe:
                for edge, count in count_edges(population, state[name], a, t).items():
                    observed[name][edge] += count
            state[name], s = take_step(population, state[name], a, t)
            past[name][t] = s
            for quantity, values in {"s": s, **population.recording(state[name])}.items():
                recording = getattr(trace, quantity)
                if name in recording:
                    recording[name][:, t] = values
        for name, sent in past.items():
            total = np.count_nonzero(sent[t], axis=0)
            trace.messages[name][...] += total
            if per_step:
                trace.per_step[name][t] = total
            sent.pop(t - longest, None)

    for name, readout in trace.readout.items():
        readout[...] = program.population(name).recording(state[name])["v"]
    return replace(trace, observed=observed)


def check_inputs(program: Program, inputs: Messages) -> tuple[int, int]:
    """(samples, timesteps) of inputs that fit a program's shapes and ranges, else BadInput."""
    sizes = check_shapes(program, inputs)
    for node in program.inputs:
        data = inputs[node.name]
        # Some samples at a time, so that a check takes little memory of its own.
        block = max(1, _CHECKED // (sizes[1] * node.size))
        for first in range(0, sizes[0], block):
            part = data[first : first + block]
            outside = (part < node.low) | (part > node.high)
            if outside.any():
                sample, step, *index = (int(i) for i in np.argwhere(outside)[0])
                at = tuple(index)
                raise BadInput(
                    f"input '{node.name}': message {int(part[sample, step][at])} at sample "
                    f"{first + sample}, step {step}, index {index} is outside "
                    f"{int(node.low[at])}..{int(node.high[at])}"
                )
    return sizes


def check_shapes(program: Program, inputs: Messages) -> tuple[int, int]:
    """(samples, timesteps) of inputs of the right names, types and shapes, else BadInput."""
    known = {node.name for node in program.inputs}
    for name in inputs:
        if name not in known:
            raise BadInput(
                f"data: input '{name}' is not an input of the program, which has {sorted(known)}"
            )
    sizes: tuple[int, int] | None = None
    for node in program.inputs:
        if node.name not in inputs:
            raise BadInput(f"data: input '{node.name}' of the program is missing")
        data = inputs[node.name]
        if not np.issubdtype(data.dtype, np.integer) and data.dtype != np.bool_:
            raise BadInput(f"input '{node.name}': messages of type {data.dtype}, expected integers")
        if data.shape[2:] != node.shape or data.ndim < 3 or 0 in data.shape:
            raise BadInput(
                f"input '{node.name}': data of shape {data.shape}, expected [samples, time, "
                f"{', '.join(map(str, node.shape))}]"
            )
        if sizes not in (None, data.shape[:2]):
            raise BadInput(
                f"input '{node.name}': {data.shape[:2]} samples and steps, others have {sizes}"
            )
        sizes = (data.shape[0], data.shape[1])
    assert sizes is not None  # a program has at least one input
    return sizes


def take_step(p: Neurons, state: State, a: Int64, t: int) -> tuple[State, Int64]:
    """One step of a population, stopped (BadInput, CheckFailed) where its kind breaks its own word."""
    after, s = p.step(state, a, t)
    for name in p.states:
        x = after.get(name)
        if x is None or x.dtype != np.int64 or x.shape != a.shape:
            said = "missing" if x is None else f"{x.dtype} {x.shape[1:]}"
            raise BadInput(
                f"node '{p.name}': state {name} of kind '{p.kind}' is {said} after a step, expected "
                f"int64 {p.shape}"
            )
    check_messages(p, s, t)
    return after, s


def check_messages(p: Neurons, s: Int64, t: int) -> None:
    """Stop (CheckFailed) at messages that a population cannot send.

    Those are any outside the range that its kind holds to, and what no simulator or chip can carry:
    one beyond 32 bits.
    """
    if s.dtype != np.int64 or s.shape[1:] != p.shape:
        raise BadInput(
            f"node '{p.name}': kind '{p.kind}' sends messages {s.dtype} {s.shape[1:]}, expected int64 "
            f"{p.shape}"
        )
    lowest, highest = int(s.min()), int(s.max())
    if p.messages_hold:
        low, high = p.message_range
        if lowest < low or highest > high:
            raise CheckFailed(
                f"node '{p.name}': a message of {lowest if lowest < low else highest} at step {t} is "
                f"outside {low}..{high}, which kind '{p.kind}' says it never leaves"
            )
    name, largest = p.name, max(-lowest, highest)
    if largest >= 2**31:
        raise CheckFailed(
            f"node '{name}': a message of {largest} at step {t} does not fit 32 bits; use negative "
            "weight exponents before it"
        )


def empty_trace(
    program: Program,
    samples: int,
    timesteps: int,
    record: Record,
    cleared: bool = True,
    nodes: Collection[str] | None = None,
    per_step: bool = False,
) -> Trace:
    """A trace to fill. Raises BadInput where the recording exceeds 2 GiB.

    cleared: whether its recordings hold zeros; memory that is not cleared first is faster to fill.
    nodes: the populations to record, by default all. per_step: whether it has totals of each step.
    """
    kept = [p for p in program.populations if nodes is None or p.name in nodes]
    needed = record_bytes(kept, samples, timesteps, record)
    if per_step:
        needed += 8 * timesteps * sum(node.size for node in program.sources)
    if needed > MAX_RECORD_BYTES:
        raise BadInput(
            f"recording {samples} samples takes {needed} bytes, more than {MAX_RECORD_BYTES}"
        )
    spikes, states = record != "none", record == "all"
    allocate = np.zeros if cleared else np.empty

    def state(quantity: Literal["u", "v"]) -> dict[str, NDArray[np.int32]]:
        recording = [p for p in kept if states and quantity in p.recorded]
        return {p.name: allocate((samples, timesteps, *p.shape), np.int32) for p in recording}

    return Trace(
        samples,
        timesteps,
        s={
            p.name: allocate((samples, timesteps, *p.shape), message_type(p))
            for p in kept
            if spikes
        },
        u=state("u"),
        v=state("v"),
        messages={node.name: np.zeros(node.shape, np.int64) for node in program.sources},
        readout={
            p.name: np.zeros((samples, *p.shape), np.int32)
            for p in program.populations
            if p.is_readout
        },
        per_step={
            node.name: np.zeros((timesteps, *node.shape), np.int64)
            for node in program.sources
            if per_step
        },
    )
