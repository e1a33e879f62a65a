"""Our emulator beside Lava, nengo-loihi, Brian2Loihi and SANA-FE: one sample, the same spikes.

A dense network, the NIR paper's convolutional network on N-MNIST frames (real ones and its weights
where NEUROCLIP_DATA names a folder), and a recurrent network; and our emulator on many samples beside
the bare arithmetic: the sums of each connection alone, by events and by matrix products, of the same
spikes. Each figure is the best of some rounds that take turns; nothing here asserts a time.
"""

import argparse
import os
from collections.abc import Callable

import numpy as np
from bench_fast import HAS_NUMBA, SIZE, network, rounds
from networks import Messages, convolutional, data_folder, nmnist, recurrent
from peers import PEERS, Cannot

from deploy.connections import Sparse
from deploy.emulator import emulate
from deploy.fast import Plan, emulate_fast, prepare
from deploy.fast.products import add_products
from deploy.fast.spikes import Spikes, pack, words
from deploy.program import Program
from deploy.synapses import fan_out


def operations(program: Program, sent: dict[str, np.ndarray]) -> int:
    """Synaptic operations: each message at each of its synapses."""
    return sum(int((sent[c.source].reshape(-1) * fan_out(c)).sum()) for c in program.connections)


def beside_peers(program: Program, inputs: Messages, peer_steps: int) -> None:
    """One sample on every simulator, the slow ones on its first steps."""
    steps = inputs["input"].shape[1]
    plan = prepare(program)
    kernel = "numba" if HAS_NUMBA else "numpy"
    best = rounds({"ours": lambda: emulate_fast(plan, inputs, "none", kernel=kernel)}, 5)
    ours = steps / best["ours"][0]
    print(f"{'our emulator':28}{ours:12.0f} steps/s")
    few = {"input": inputs["input"][:, :peer_steps]}
    expected = {n: int(m.sum()) for n, m in emulate(program, few, "none").messages.items()}
    for name, peer in PEERS.items():
        try:
            run = peer(program, few)
        except Cannot as reason:
            print(f"{name:28}{'':12} skipped: {reason}")
            continue
        rate = few["input"].shape[1] / run.seconds
        told = "spikes not compared"
        if run.sent:
            alike = all(expected[n] == count for n, count in run.sent.items())
            told = "same spikes" if alike else f"other spikes: {run.sent} for {expected}"
        print(f"{name:28}{rate:12.0f} steps/s   ours ×{ours / rate:7.0f}   {told}")


def beside_arithmetic(program: Program, inputs: Messages) -> None:
    """Many samples on one thread, and the sums of each connection alone."""
    plan = prepare(program)
    spikes = emulate_fast(plan, inputs, "spikes")
    steps = len(inputs["input"]) * spikes.timesteps
    heard = {name: _packed(plan, name, x) for name, x in {**inputs, **spikes.s}.items()}
    synapses = [s for block in plan.blocks for s in (*block.outside, *block.inside)]

    def alone(by_products: bool) -> None:
        from deploy.fast.kernels import add_events

        for s in synapses:
            sent, w = heard[s.connection.source], s.weights
            width = words(s.target.size) * 64
            sums = np.zeros((1, spikes.timesteps, s.start + width), np.int32)
            for g in range(len(sent.bits)):
                if by_products and not isinstance(s.connection, Sparse):
                    one = Spikes(sent.bits[g : g + 1], sent.size, 0)
                    add_products(s, one, 0, sums)
                else:
                    add_events(sent.bits[g : g + 1], s.link, w.rows, w.taps, w.table, 0, sums)

    calls: dict[str, Callable[[], object]] = {
        "whole, 1 thread": lambda: emulate_fast(plan, inputs, "none", 1, "numba"),
        "events alone, 1 thread": lambda: alone(False),
        "products alone, 1 thread": lambda: alone(True),
    }
    best = rounds(calls, 4)
    count = operations(program, dict(spikes.messages))
    rates = ", ".join(f"{n} {100 * h.activity:.1f} %" for n, h in heard.items())
    print(f"{len(inputs['input'])} samples of {spikes.timesteps} steps; active: {rates}")
    for name, (wall, cpu) in best.items():
        print(
            f"{name:28}{steps / wall:12.0f} steps/s {steps / cpu:10.0f} per CPU s {count / wall:9.2g} op/s"
        )
    whole, alone_cpu = best["whole, 1 thread"][1], min(v[1] for v in [*best.values()][1:])
    print(f"whole / faster kernel alone, by CPU time: {whole / alone_cpu:.2f}")


def _packed(plan: Plan, name: str, x: np.ndarray) -> Spikes:
    flat = np.ascontiguousarray(plan.layouts[name].inner(x))
    bits = np.empty((*flat.shape[:2], words(flat.shape[2])), np.uint64)
    pack(flat, bits)
    return Spikes(bits, flat.shape[2], int(np.count_nonzero(flat)))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--samples", type=int, default=100)
    parser.add_argument("--timesteps", type=int, default=300)
    parser.add_argument("--peer-steps", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    samples, timesteps = options.samples, options.timesteps
    rng, folder = np.random.default_rng(options.seed), data_folder()
    spikes = (rng.random((samples, timesteps, SIZE)) < 0.1).astype(np.uint8)
    if folder is None:
        print("NEUROCLIP_DATA is not set: random weights and frames stand in for N-MNIST's")
        frames = (rng.random((samples, timesteps, 2, 34, 34)) < 0.006).astype(np.uint8)
        graph = None
    else:
        frames, graph = nmnist(folder, samples, timesteps), folder / "nir" / "cnn_sinabs.nir"
    cases = {
        f"dense {SIZE}-{SIZE}-{SIZE}, 10 % input spikes": (network(options.seed), spikes),
        "the NIR paper's convolutional network, N-MNIST": (convolutional(graph), frames),
        f"recurrent, {SIZE} inputs and {SIZE} neurons": (recurrent(options.seed), spikes),
    }
    print(f"{os.environ.get('OMP_NUM_THREADS', 'all')} BLAS threads")
    for title, (program, x) in cases.items():
        print(f"\n{title}\none sample:")
        beside_peers(program, {"input": x[:1]}, options.peer_steps)
        if HAS_NUMBA:
            print("many samples:")
            beside_arithmetic(program, {"input": x})


if __name__ == "__main__":
    main()
