"""Our emulator on many samples: beside Lava's simulation, and beside the bare arithmetic.

Every executor gets the same spikes, and a figure is shown only for those that send the same messages
(the reference emulator's). The bare arithmetic is what no emulator of the network can do without, on
the same spikes, without neurons and without recording: finding the spikes and adding the weights of
each to one row of sums, in one compiled call (events), or the matrix products of all steps (BLAS,
float32). Compilation is warmed up before;
each figure is the best of some rounds, in which all calls take turns. Where other work shares the
machine, steps per CPU second (of this process, all threads) are the steadier figure; Lava computes in
processes of its own, and streams. Nothing here asserts a time.
"""

import argparse
import importlib.util
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import NamedTuple

import numpy as np
from networks import SIZE, Messages, convolutional, data_folder, dense, nmnist, recurrent
from timing import HAS_NUMBA, machine, rounds

if HAS_NUMBA:
    from roofline import loops, sums_alone

from deploy.connections import Dense, Sparse
from deploy.emulate.fast import Plan, emulate_fast, prepare
from deploy.emulate.fast.layout import aligned
from deploy.emulate.fast.products import add_products
from deploy.emulate.fast.spikes import Spikes, pack, words
from deploy.emulate.reference import emulate
from deploy.program.program import Program

Call = Callable[[], object]


def packed(plan: Plan, name: str, x: np.ndarray) -> Spikes:
    """Spikes [samples, time, *shape] as the kernels read them."""
    flat = np.ascontiguousarray(plan.layouts[name].inner(x))
    bits = np.empty((*flat.shape[:2], words(flat.shape[2])), np.uint64)
    pack(flat, bits)
    return Spikes(bits, flat.shape[2], int(np.count_nonzero(flat)))


class Bare(NamedTuple):
    """The two kernels alone, and what they work on."""

    events: Call
    products: Call
    operations: int
    activity: str


def bare(plan: Plan, inputs: Messages, threads: int = 1) -> Bare:
    """The sums of each connection alone; threads: of events, over samples; BLAS has its own."""
    trace = emulate_fast(plan, inputs, "spikes")
    sent = {**inputs, **trace.s}
    heard = {name: packed(plan, name, x) for name, x in sent.items()}
    synapses = [s for block in plan.blocks for s in (*block.outside, *block.inside)]
    dense_layers = [c for c in plan.program.connections if isinstance(c, Dense)]
    matrices = [
        (
            sent[c.source].reshape(-1, c.source_size).astype(np.float32),
            c.weight.T.astype(np.float32),
        )
        for c in dense_layers
    ]
    size = -(-trace.samples // threads)

    def sums(width: int) -> np.ndarray:
        return aligned((1, trace.timesteps, width), np.int32)

    def part(first: int) -> None:
        for s in synapses:
            spikes = heard[s.connection.source]
            few = replace(spikes, bits=spikes.bits[first : first + size])
            sums_alone(s, few, s.start + words(s.target.size) * 64)

    def events() -> None:
        with ThreadPoolExecutor(threads) as pool:
            list(pool.map(part, range(0, trace.samples, size)))

    def products() -> None:
        for rows, matrix in matrices:
            np.matmul(rows, matrix)
        for s in synapses:
            assert not isinstance(s.connection, Sparse)
            if not isinstance(s.connection, Dense):
                kept = sums(s.start + words(s.target.size) * 64)
                for bits in heard[s.connection.source].bits:
                    add_products(s, Spikes(bits[None], s.connection.source_size, 0), 0, kept)

    count = sum(
        int((trace.messages[c.source].reshape(-1) * c.fan_out()).sum())
        for c in plan.program.connections
    )
    active = ", ".join(f"{name} {100 * h.activity:.1f} %" for name, h in heard.items())
    return Bare(events, products, count, active)


def beside_lava(program: Program, inputs: Messages, lava_samples: int, repeats: int) -> None:
    """The dense network: Lava, the reference and both kernels, on one thread and on two."""
    samples, timesteps = inputs["input"].shape[:2]
    plan, steps = prepare(program), samples * timesteps
    expected = emulate(program, inputs, "none").messages
    kernels = ["numba", "numpy"] if HAS_NUMBA else ["numpy"]
    calls: dict[str, Call] = {}
    for kernel in kernels:
        for threads in (1, 2):
            found = emulate_fast(plan, inputs, "none", threads, kernel).messages  # type: ignore[arg-type]
            assert all(np.array_equal(found[n], expected[n]) for n in expected)
            for record in ("none", "spikes") if kernel == "numba" else ("none",):
                calls[f"{kernel}, {threads} thread, record {record}"] = (
                    lambda k=kernel, t=threads, r=record: emulate_fast(plan, inputs, r, t, k)  # type: ignore[misc]
                )
    best = rounds(calls, repeats)
    best |= rounds({"the reference, record none": lambda: emulate(program, inputs, "none")}, 1)
    lava = float("nan")
    if importlib.util.find_spec("lava") is not None and lava_samples:
        from export.targets.lava.client import run_lava

        few = {"input": inputs["input"][:lava_samples]}
        run = run_lava(program, few, "none", progress=False)
        expected = emulate(program, few, "none").messages
        assert all(np.array_equal(run.trace.messages[n], expected[n]) for n in expected)
        lava = len(few["input"]) * timesteps / run.timings["run_s"]
        print(f"{'Lava fixed_pt':32}{lava:12.0f} steps/s, {len(few['input'])} samples streamed")
    for name, (wall, cpu) in best.items():
        print(
            f"{name:32}{steps / wall:12.0f} steps/s {steps / cpu:10.0f} per CPU s"
            f"   Lava ×{steps / wall / lava:6.0f}"
        )


def beside_arithmetic(program: Program, inputs: Messages, repeats: int) -> None:
    """One thread: the whole emulation, and the sums of each connection alone by either kernel."""
    plan, steps = prepare(program), inputs["input"].shape[0] * inputs["input"].shape[1]
    alone = bare(plan, inputs)
    silent = {name: np.zeros_like(x) for name, x in inputs.items()}
    machine_loops = loops()
    if not all(isinstance(c, Dense) for c in program.connections):
        del machine_loops["reading rows"], machine_loops["adding in registers"]
    calls: dict[str, Call] = {
        "whole": lambda: emulate_fast(plan, inputs, "none", 1, "numba"),
        "events alone": alone.events,
        "products alone": alone.products,
        "whole, without a spike": lambda: emulate_fast(plan, silent, "none", 1, "numba"),
        **{name: call for name, (call, _, _) in machine_loops.items()},
    }
    best = rounds(calls, repeats)
    print(f"active: {alone.activity}")
    for name, (_, does, unit) in machine_loops.items():
        rate = does / best.pop(name)[1]
        # A weight is a byte that is read, and 3 vector operations take 64 of them, 32 lanes each.
        needed = alone.operations * {"adds": 1.5}.get(unit, 1.0)
        share = needed / best["events alone"][1] / rate
        print(
            f"{name:32}{rate:12.3g} {unit}/s: events alone do {100 * share:.0f} % of it; whoever did "
            f"that alone would take {steps * rate / needed:.0f} steps/s"
        )
    for name, (wall, cpu) in best.items():
        operations = 0 if "without" in name else alone.operations / wall
        print(
            f"{name:32}{steps / wall:12.0f} steps/s {steps / cpu:10.0f} per CPU s"
            f" {operations:9.2g} op/s   whole / this by CPU time: {best['whole'][1] / cpu:.2f}"
        )


def by_activity(program: Program, samples: int, timesteps: int, seed: int, repeats: int) -> None:
    """Throughput of the dense network as more of its inputs are active."""
    rng, plan, steps = np.random.default_rng(seed), prepare(program), samples * timesteps
    for rate in (0.01, 0.03, 0.1, 0.3, 0.6):
        spikes = (rng.random((samples, timesteps, SIZE)) < rate).astype(np.uint8)
        inputs = {"input": spikes}
        alone = bare(plan, inputs)
        calls: dict[str, Call] = {
            "whole": lambda x=inputs: emulate_fast(plan, x, "none", 1, "numba"),  # type: ignore[misc]
            "events": alone.events,
            "products": alone.products,
        }
        cpu = {name: seconds for name, (_, seconds) in rounds(calls, repeats).items()}
        rates = {name: steps / seconds for name, seconds in cpu.items()}
        print(
            f"{100 * rate:4.0f} % of inputs: {rates['whole']:9.0f} steps"
            f" {alone.operations / cpu['whole']:8.2g} op; alone: events {rates['events']:9.0f},"
            f" products {rates['products']:9.0f} steps; whole / events {cpu['whole'] / cpu['events']:.2f}"
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--samples", type=int, default=400)
    parser.add_argument("--timesteps", type=int, default=100)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--lava-samples", type=int, default=30, help="0: without Lava")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    samples, timesteps, repeats = options.samples, options.timesteps, options.repeats
    rng, folder = np.random.default_rng(options.seed + 1), data_folder()
    spikes = (rng.random((samples, timesteps, SIZE)) < 0.1).astype(np.uint8)
    program = dense(options.seed)
    print(f"{samples} samples of {timesteps} steps; {machine()}")
    title = f"{SIZE}-{SIZE}-{SIZE} dense, 10 % input spikes"
    print(f"\n{title}, beside Lava")
    beside_lava(program, {"input": spikes}, options.lava_samples, repeats)
    if not HAS_NUMBA:
        print("numba is not installed: no kernels to hold beside the bare arithmetic")
        return
    few = max(1, samples // 10)
    if folder is None:
        print("\nNEUROCLIP_DATA is not set: random weights and frames stand in for N-MNIST's")
        frames, graph = (rng.random((few, 300, 2, 34, 34)) < 0.006).astype(np.uint8), None
    else:
        frames, graph = nmnist(folder, few, 300), folder / "nir" / "cnn_sinabs.nir"
    for name, network, x in (
        (title, program, spikes),
        ("the NIR paper's convolutional network, N-MNIST", convolutional(graph), frames),
        (f"recurrent, {SIZE} inputs and {SIZE} neurons", recurrent(options.seed), spikes),
    ):
        print(f"\n{name}, beside the bare arithmetic: one thread, {len(x)} samples")
        beside_arithmetic(network, {"input": x}, repeats)
    print(f"\n{SIZE}-{SIZE}-{SIZE} dense by activity, one thread, per CPU second")
    by_activity(program, few, timesteps, options.seed, repeats)


if __name__ == "__main__":
    main()
