"""The reference emulator beside Lava's simulation and the bare matrix products: `make bench`.

One 512-512-512 network of dense 8-bit weights, about 10 % of the inputs spiking in each step.
Every executor gets the same spikes, and a figure is shown only for those that send the same
messages. Nothing here asserts a time.
"""

import argparse
import importlib.util
import os
import time
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from deploy.emulator import emulate
from deploy.program import Dense, Output, Program, make_input, make_population
from export.lava.client import run_lava

SIZE = 512
RATE = 0.1


def network(seed: int) -> Program:
    """Two dense layers of CUBA LIF neurons, their thresholds such that hidden rates stay moderate."""
    rng = np.random.default_rng(seed)
    decays = {"du": 1024, "dv": 512}
    names = ("input", "layer.1", "layer.2")
    weights = [2 * rng.integers(-127, 128, (SIZE, SIZE)).astype(np.int32) for _ in range(2)]
    return Program(
        (make_input("input", (SIZE,)),),
        tuple(make_population(name, (SIZE,), vth=4000, **decays) for name in names[1:]),
        tuple(Dense(f"w{i}", names[i], names[i + 1], weights[i]) for i in range(2)),
        (Output("spikes", names[2], "s"),),
    )


def best(call: Callable[[], object], repeats: int = 3) -> float:
    """Seconds of the fastest of some calls."""
    times = []
    for _ in range(repeats):
        started = time.perf_counter()
        call()
        times.append(time.perf_counter() - started)
    return min(times)


def all_steps(weights: Sequence[NDArray], spikes: Sequence[NDArray]) -> None:
    """One float32 product per layer for all steps: what no emulator of this network can beat."""
    for weight, rows in zip(weights, spikes, strict=True):
        rows.reshape(-1, SIZE) @ weight


def each_step(weights: Sequence[NDArray], spikes: Sequence[NDArray]) -> None:
    """The products that the emulator makes: float64, one per step and layer over all samples."""
    for t in range(spikes[0].shape[1]):
        for weight, rows in zip(weights, spikes, strict=True):
            rows[:, t] @ weight


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--samples", type=int, default=64)
    parser.add_argument("--timesteps", type=int, default=32)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    samples, timesteps = options.samples, options.timesteps
    steps = samples * timesteps

    program = network(options.seed)
    rng = np.random.default_rng(options.seed + 1)
    inputs = {"input": (rng.random((samples, timesteps, SIZE)) < RATE).astype(np.uint8)}
    stream = {"input": inputs["input"].reshape(1, steps, SIZE)}

    # One sample of all the steps sends other messages, since its state is never cleared.
    streamed, batched = emulate(program, stream), emulate(program, inputs)
    operations = {
        "one": sum(int(streamed.messages[c.source].sum()) * SIZE for c in program.connections),
        "many": sum(int(batched.messages[c.source].sum()) * SIZE for c in program.connections),
    }
    sent = [inputs["input"], batched.s["layer.1"]]
    rows: list[tuple[str, float, int]] = []

    if importlib.util.find_spec("lava") is None:
        rows.append(("Lava fixed_pt: not installed", float("nan"), 0))
    else:
        lava = run_lava(program, inputs, "none", progress=False)
        for name, messages in batched.messages.items():
            assert np.array_equal(lava.trace.messages[name], messages), name
        rows.append(("Lava fixed_pt, streamed", lava.timings["run_s"], operations["many"]))

    once = best(lambda: emulate(program, stream, "none"), 1)
    rows.append(("our emulator, one sample", once, operations["one"]))
    for record in ("none", "all"):
        seconds = best(lambda record=record: emulate(program, inputs, record))
        rows.append((f"our emulator, batch, record {record}", seconds, operations["many"]))
    for title, call, dtype in (
        ("numpy float64 @, each step", each_step, np.float64),
        ("numpy float32 @, all steps", all_steps, np.float32),
    ):
        weights = [c.weight.T.astype(dtype) for c in program.connections]
        spikes = [array.astype(dtype) for array in sent]
        seconds = best(lambda c=call, w=weights, s=spikes: c(w, s))
        rows.append((title, seconds, operations["many"]))

    rates = ", ".join(f"{name} {100 * s.mean():.0f} %" for name, s in batched.s.items())
    print(
        f"{SIZE}-{SIZE}-{SIZE} dense, {samples} samples of {timesteps} steps, seed {options.seed}"
    )
    print(f"spikes: input {100 * inputs['input'].mean():.0f} %, {rates}; ", end="")
    print(f"{os.environ.get('OMP_NUM_THREADS', 'all')} BLAS threads")
    print(f"{'':36} {'steps/s':>10} {'synaptic op/s':>14} {'× first row':>12}")
    for title, seconds, count in rows:
        ratio = rows[0][1] / seconds
        print(f"{title:36} {steps / seconds:10.0f} {count / seconds:14.2g} {ratio:12.2f}")


if __name__ == "__main__":
    main()
