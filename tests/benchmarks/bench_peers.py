"""Our emulator beside Lava, nengo-loihi, Brian2Loihi and SANA-FE: one sample, the same spikes.

A dense network, the NIR paper's convolutional network on N-MNIST frames (real ones and its weights
where NEUROCLIP_DATA names a folder), and a recurrent network. Timed are, best of some runs, the steps
alone of the peers, on the first steps of the sample, and our whole call; Lava streams through
processes of its own. Whether a peer sent the same spikes is compared neuron by neuron. Nothing here
asserts a time.
"""

import argparse

import numpy as np
from networks import SIZE, Messages, convolutional, data_folder, dense, nmnist, recurrent
from peers import PEERS
from timing import HAS_NUMBA, machine, rounds

from deploy.emulate.fast import emulate_fast, prepare
from deploy.emulate.reference import emulate
from deploy.errors import BadInput
from deploy.program.program import Program


def beside_peers(program: Program, inputs: Messages, peer_steps: int, peer_rounds: int) -> None:
    """One sample on every simulator, the slow ones on its first steps."""
    plan, steps = prepare(program), inputs["input"].shape[1]
    kernel = "numba" if HAS_NUMBA else "numpy"
    best = rounds({"ours": lambda: emulate_fast(plan, inputs, "none", 1, kernel)}, 5)
    ours = steps / best["ours"][0]
    print(f"{f'our emulator, {kernel}':28}{ours:12.0f} steps/s   of {steps} steps")
    few = {"input": inputs["input"][:, :peer_steps]}
    expected = emulate(program, few, "none").messages
    for name, peer in PEERS.items():
        try:
            run = min((peer(program, few) for _ in range(peer_rounds)), key=lambda r: r.seconds)
        except BadInput as reason:
            print(f"{name:28}{'':12} skipped: {reason}")
            continue
        rate = few["input"].shape[1] / run.seconds
        told = "spikes are ours"
        if run.messages:
            other = sum(int(np.count_nonzero(expected[n] != m)) for n, m in run.messages.items())
            told = f"{other} neurons sent other spikes" if other else "same spikes"
        print(f"{name:28}{rate:12.0f} steps/s   ours ×{ours / rate:7.0f}   {told}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--timesteps", type=int, default=3000)
    parser.add_argument("--peer-steps", type=int, default=100)
    parser.add_argument("--peer-rounds", type=int, default=2)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    timesteps = options.timesteps
    rng, folder = np.random.default_rng(options.seed), data_folder()
    spikes = (rng.random((1, timesteps, SIZE)) < 0.1).astype(np.uint8)
    if folder is None:
        print("NEUROCLIP_DATA is not set: random weights and frames stand in for N-MNIST's")
        frames = (rng.random((1, 300, 2, 34, 34)) < 0.006).astype(np.uint8)
        graph = None
    else:
        frames, graph = nmnist(folder, 1, 300), folder / "nir" / "cnn_sinabs.nir"
    cases = {
        f"dense {SIZE}-{SIZE}-{SIZE}, 10 % input spikes": (dense(options.seed), spikes),
        "the NIR paper's convolutional network, N-MNIST": (convolutional(graph), frames),
        f"recurrent, {SIZE} inputs and {SIZE} neurons": (recurrent(options.seed), spikes),
    }
    print(f"one sample, one thread; {machine()}")
    for title, (program, x) in cases.items():
        print(f"\n{title}")
        beside_peers(program, {"input": x}, options.peer_steps, options.peer_rounds)


if __name__ == "__main__":
    main()
