"""The fast emulator beside the reference, Lava's simulation and the bare arithmetic.

One 512-512-512 network of dense 8-bit weights; every executor gets the same spikes, and a figure
is shown only for those that send the same messages. Compilation is warmed up before. The bare
arithmetic is what no emulator of the network can do without: the matrix products of both layers
in float32 (BLAS), or finding the spikes and adding their int8 rows in 16-bit lanes, on the same
spikes, without neurons and without recording. Nothing here asserts a time. Each figure is the best
of several rounds, and every round runs all of them side by side; where other work shares the
machine, steps per CPU second (of this process, all threads) are the steadier figure.
"""

import argparse
import importlib.util
import os
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from numpy.typing import NDArray

from deploy.emulator import emulate
from deploy.fast import emulate_fast, prepare
from deploy.fast.spikes import pack
from deploy.program import Dense, Output, Program, make_input, make_population

SIZE = 512
HAS_NUMBA = importlib.util.find_spec("numba") is not None


def network(seed: int) -> Program:
    """Two dense layers of CUBA LIF neurons, their thresholds such that hidden rates stay moderate."""
    rng = np.random.default_rng(seed)
    names = ("input", "layer.1", "layer.2")
    weights = [2 * rng.integers(-127, 128, (SIZE, SIZE)).astype(np.int32) for _ in range(2)]
    return Program(
        (make_input("input", (SIZE,)),),
        tuple(make_population(n, (SIZE,), vth=4000, du=1024, dv=512) for n in names[1:]),
        tuple(Dense(f"w{i}", names[i], names[i + 1], weights[i]) for i in range(2)),
        (Output("spikes", names[2], "s"),),
    )


def rounds(calls: dict[str, Callable[[], object]], repeats: int) -> dict[str, tuple[float, float]]:
    """Least seconds, of wall and of CPU, of calls that take turns, after one turn to warm up."""
    best = dict.fromkeys(calls, (float("inf"), float("inf")))
    for turn in range(repeats + 1):
        for name, call in calls.items():
            wall, cpu = time.perf_counter(), time.process_time()
            call()
            wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
            if turn:
                best[name] = min(best[name][0], wall), min(best[name][1], cpu)
    return best


def products(program: Program, sent: list[NDArray[np.uint8]]) -> Callable[[], object]:
    """One float32 product per layer over samples × time."""
    weights = [c.weight.T.astype(np.float32) for c in program.connections]
    spikes = [s.reshape(-1, SIZE).astype(np.float32) for s in sent]
    return lambda: [rows @ weight for rows, weight in zip(spikes, weights, strict=True)]


def gathers(program: Program, sent: list[NDArray[np.uint8]], threads: int) -> Callable[[], object]:
    """The sums of the rows of the spikes of each step, kept for one sample at a time."""
    from deploy.fast.kernels import add_events

    layers = [s for block in prepare(program).blocks for s in block.outside]
    packed = [np.empty((*spikes.shape[:2], SIZE // 64), np.uint64) for spikes in sent]
    for spikes, bits in zip(sent, packed, strict=True):
        pack(spikes, bits)
    size = -(-len(sent[0]) // threads)

    def part(first: int) -> None:
        sums = np.zeros((1, sent[0].shape[1], SIZE), np.int32)
        for i in range(first, min(first + size, len(sent[0]))):
            for bits, s in zip(packed, layers, strict=True):
                w = s.weights
                add_events(bits[i : i + 1], s.link, w.rows, w.taps, w.table, 0, sums)

    def all_samples() -> None:
        with ThreadPoolExecutor(threads) as pool:
            list(pool.map(part, range(0, len(sent[0]), size)))

    return all_samples


def same_messages(
    program: Program, inputs: dict[str, NDArray[np.uint8]], **options: object
) -> None:
    expected = emulate(program, inputs, "none").messages
    found = emulate_fast(program, inputs, "none", **options).messages  # type: ignore[arg-type]
    for name, messages in expected.items():
        assert np.array_equal(found[name], messages), name


Row = tuple[str, float, float, int, float]


def table(title: str, rows: list[Row]) -> None:
    """rows: (name, seconds, CPU seconds, steps, synaptic operations); ratios are to the first."""
    print(f"\n{title}")
    print(f"{'':44}{'steps/s':>11}{'per CPU s':>11}{'synaptic op/s':>15}{'× first':>9}")
    first = rows[0][3] / rows[0][1]
    for name, seconds, cpu, steps, operations in rows:
        rate = steps / seconds
        print(
            f"{name:44}{rate:11.0f}{steps / cpu:11.0f}{operations / seconds:15.2g}{rate / first:9.1f}"
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--samples", type=int, default=400)
    parser.add_argument("--timesteps", type=int, default=100)
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--lava-samples", type=int, default=30, help="0: without Lava")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    samples, timesteps, threads = options.samples, options.timesteps, options.threads
    steps = samples * timesteps
    rng = np.random.default_rng(options.seed + 1)
    program = network(options.seed)
    plan = prepare(program)

    def spikes(rate: float) -> dict[str, NDArray[np.uint8]]:
        return {"input": (rng.random((samples, timesteps, SIZE)) < rate).astype(np.uint8)}

    def operations(inputs: dict[str, NDArray[np.uint8]]) -> float:
        sent = emulate_fast(plan, inputs, "none", threads).messages
        return float(sum(sent[c.source].sum() * SIZE for c in program.connections))

    def lava(inputs: dict[str, NDArray[np.uint8]], title: str) -> list[Row]:
        if importlib.util.find_spec("lava") is None or not options.lava_samples:
            return []
        from export.lava.client import run_lava

        run = run_lava(program, inputs, "none", progress=False)
        expected = emulate_fast(plan, inputs, "none", threads).messages
        for name, messages in run.trace.messages.items():
            assert np.array_equal(messages, expected[name]), name
        count = inputs["input"].shape[0] * inputs["input"].shape[1]
        return [(title, run.timings["run_s"], float("nan"), count, operations(inputs))]

    inputs = spikes(0.1)
    some = {"input": inputs["input"][: max(1, samples // 10)]}
    kernels = ["numba", "numpy"] if HAS_NUMBA else ["numpy"]
    for kernel in kernels:
        same_messages(program, some, threads=threads, kernel=kernel)
    hidden = emulate_fast(plan, inputs, "spikes", threads).s["layer.1"]
    rates = f"input 10 %, layer.1 {100 * hidden.mean():.0f} %"
    print(f"{SIZE}-{SIZE}-{SIZE} dense, seed {options.seed}, {rates}; {threads} threads; ", end="")
    print(f"{os.environ.get('OMP_NUM_THREADS', 'all')} BLAS threads")

    rows = lava({"input": inputs["input"][: options.lava_samples]}, "Lava fixed_pt, streamed")
    sent = [inputs["input"], hidden]
    calls: dict[str, Callable[[], object]] = {"reference": lambda: emulate(program, inputs, "none")}
    rows += [
        (name, *seconds, steps, operations(inputs)) for name, seconds in rounds(calls, 1).items()
    ]
    calls = {"fast, numpy, 1 thread": lambda: emulate_fast(plan, inputs, "none", 1, "numpy")}
    for count in sorted({1, threads}) if HAS_NUMBA else []:
        for record in ("none", "spikes"):
            calls[f"fast, numba, {count} threads, record {record}"] = lambda c=count, r=record: (
                emulate_fast(plan, inputs, r, c, "numba")
            )
        calls[f"bare: gathers alone, {count} threads"] = gathers(program, sent, count)
    calls["bare: float32 products alone"] = products(program, sent)
    best = rounds(calls, options.repeats)
    rows += [(name, *seconds, steps, operations(inputs)) for name, seconds in best.items()]
    table(f"{samples} samples of {timesteps} steps", rows)
    if HAS_NUMBA:
        for count in sorted({1, threads}):
            whole = best[f"fast, numba, {count} threads, record none"]
            bare = best[f"bare: gathers alone, {count} threads"]
            print(
                f"whole emulation / gathers alone, {count} threads: {whole[0] / bare[0]:.2f} "
                f"({whole[1] / bare[1]:.2f} by CPU time)"
            )

    stream = {"input": inputs["input"].reshape(1, steps, SIZE)[:, : min(steps, 3000)]}
    count = stream["input"].shape[1]
    rows = lava(stream, "Lava fixed_pt")
    calls = {"reference": lambda: emulate(program, stream, "none")}
    for kernel in kernels[::-1]:
        calls[f"fast, {kernel}"] = lambda k=kernel: emulate_fast(plan, stream, "none", None, k)
    best = rounds(calls, max(2, options.repeats // 2))
    rows += [(name, *seconds, count, operations(stream)) for name, seconds in best.items()]
    table(f"one sample of {count} steps", rows)

    print("\nactivity of the input, numba, record none" if HAS_NUMBA else "")
    for rate in (0.01, 0.05, 0.1, 0.2, 0.5) if HAS_NUMBA else ():
        inputs = spikes(rate)
        layer = emulate_fast(plan, inputs, "spikes", threads).s["layer.1"]
        calls = {
            "whole": lambda x=inputs: emulate_fast(plan, x, "none", threads, "numba"),
            "gathers": gathers(program, [inputs["input"], layer], threads),
            "products": products(program, [inputs["input"], layer]),
        }
        best = rounds(calls, options.repeats // 2 + 1)
        wall = {name: steps / seconds[0] for name, seconds in best.items()}
        print(
            f"{100 * rate:4.0f} % (layer.1 {100 * layer.mean():3.0f} %) {wall['whole']:9.0f} steps/s "
            f"{operations(inputs) / best['whole'][0]:8.2g} op/s; gathers alone {wall['gathers']:9.0f}, "
            f"products alone {wall['products']:9.0f} steps/s; whole / gathers by CPU time "
            f"{best['whole'][1] / best['gathers'][1]:.2f}"
        )


if __name__ == "__main__":
    main()
