"""A timed program step by step, as a chip takes them: everything at once, every connection a step late.

This is the reference that shows a lowering to a step a layer computes what the program computes. The
host sends a sample's messages in its first steps and nothing after; every population runs from the
first step to the last, its state cleared when its sample reaches it. What arrives there sooner than a
delay of the program's own allows was sent before the sample, and is dropped.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from deploy.arithmetic.integers import Int64, shifted_sum
from deploy.emulate.reference import Messages, check_inputs, take_step
from deploy.emulate.trace import message_type
from deploy.program.timed import Timed


def emulate_timed(of: Timed, inputs: Messages) -> dict[str, NDArray[Any]]:
    """Recordings of every population in sample time, relays left out: as `compare.recordings`.

    inputs: {input name: integers [samples, time, *shape]}, each sample alone. Raises BadInput as
    `deploy.emulate.reference.emulate` does, and CheckFailed for a message that cannot be sent.
    """
    program = of.program
    samples, timesteps = check_inputs(program, inputs)
    steps = timesteps + of.depth
    sums = {c.name: c.sums() for c in program.connections}
    longest = max((c.delay for c in program.connections), default=1)
    own = {c.name: c.delay for c in of.in_sample_time.connections}
    state = {p.name: p.cleared(samples) for p in program.populations}
    recorded: dict[str, NDArray[Any]] = {}
    for p in program.populations:
        for quantity, kind in {"s": message_type(p), **dict.fromkeys(p.recorded, np.int32)}.items():
            recorded[f"{p.name}/{quantity}"] = np.zeros((samples, steps, *p.shape), kind)
    sent: list[dict[str, Int64]] = []  # of the steps before, the last one first
    for t in range(steps):
        now: dict[str, Int64] = {}
        for node in program.inputs:
            if t < timesteps:
                now[node.name] = np.asarray(inputs[node.name][:, t]).astype(np.int64)
        for p in program.populations:
            step = t - of.latency[p.name]
            a = np.zeros((samples, *p.shape), np.int64)
            for c in program.into(p.name):
                before = sent[c.delay - 1] if c.delay <= len(sent) else {}
                if c.source in before and not 0 <= step < own[c.name]:
                    total = sums[c.name](before[c.source].reshape(samples, -1))
                    a += shifted_sum(total, c.exponent).reshape(a.shape)
            if step == 0:
                state[p.name] = p.cleared(samples)
            state[p.name], now[p.name] = take_step(p, state[p.name], a, max(step, 0))
            for quantity, values in {
                "s": now[p.name], **p.recording(state[p.name]),
            }.items():  # fmt: skip
                recorded[f"{p.name}/{quantity}"][:, t] = values
        sent = [now, *sent[: longest - 1]]
    return of.in_samples(recorded, timesteps)
