"""The networks and spikes of the benchmarks."""

import os
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from deploy.connections import Connection, Conv2d
from deploy.program.program import Dense, Output, Program, make_input, make_population

Messages = dict[str, NDArray[np.uint8]]

SIZE = 512


def dense(seed: int) -> Program:
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


def recurrent(seed: int, size: int = SIZE) -> Program:
    """`size` inputs onto as many neurons that hear one another a step later."""
    rng = np.random.default_rng(seed)
    weights = [2 * rng.integers(-127, 128, (size, size)).astype(np.int32) for _ in range(2)]
    return Program(
        (make_input("input", (size,)),),
        (make_population("loop", (size,), vth=4000, du=1024, dv=512),),
        (Dense("in", "input", "loop", weights[0]), Dense("own", "loop", "loop", weights[1], 0, 1)),
        (Output("spikes", "loop", "s"),),
    )


def convolutional(graph: Path | None = None, seed: int = 0) -> Program:
    """The NIR paper's convolutional network for N-MNIST, its weights rounded to 8 bits.

    graph: its file (cnn_sinabs.nir); without it the weights are random, of the same spread. A sum
    pool without neurons and the layer after it are one layer, whose kernel repeats each weight over
    the window: a 6×6 convolution of stride 2, and a dense layer.
    """
    shapes = ((16, 2, 5, 5), (16, 16, 3, 3), (8, 16, 3, 3), (256, 128), (10, 256))
    spreads = (0.24, 0.21, 0.18, 0.1, 0.1)
    rng = np.random.default_rng(seed)
    found = [rng.normal(0, s, shape) for s, shape in zip(spreads, shapes, strict=True)]
    if graph is not None:
        import nir

        nodes = nir.read(graph).nodes
        found = [np.asarray(nodes[name].weight) for name in ("0", "2", "5", "9", "11")]
    scales = [254 / np.abs(w).max() for w in found]
    w0, w1, w2, w3, w4 = (
        2 * np.rint(w * scale / 2).astype(np.int32) for w, scale in zip(found, scales, strict=True)
    )
    connections: tuple[Connection, ...] = (
        Conv2d("conv0", "input", "if0", w0, (34, 34), (2, 2), (1, 1)),
        Conv2d("conv1", "if0", "if1", w1, (16, 16), (1, 1), (1, 1)),
        Conv2d("conv2", "if1", "if2", _pooled(w2), (16, 16), (2, 2), (2, 2)),
        Dense("fc0", "if2", "if3", _pooled(w3.reshape(256, 8, 4, 4)).reshape(256, 512)),
        Dense("fc1", "if3", "if4", w4),
    )
    sizes = ((16, 16, 16), (16, 16, 16), (8, 8, 8), (256,), (10,))
    # An IF neuron of threshold 1: no decay, and a current of one step.
    populations = tuple(
        make_population(f"if{i}", shape, du=4095, dv=0, vth=int(scale))
        for i, (shape, scale) in enumerate(zip(sizes, scales, strict=True))
    )
    return Program(
        (make_input("input", (2, 34, 34)),), populations, connections, (Output("o", "if4", "s"),)
    )


def _pooled(weight: NDArray[np.int32]) -> NDArray[np.int32]:
    """The kernel on what a 2×2 sum pool sums."""
    return np.repeat(np.repeat(weight, 2, axis=2), 2, axis=3)


def data_folder() -> Path | None:
    """The folder of real data that NEUROCLIP_DATA names, or None."""
    named = os.environ.get("NEUROCLIP_DATA")
    return Path(named) if named and (Path(named) / "nmnist").is_dir() else None


def nmnist(folder: Path, samples: int, timesteps: int, first: int = 0) -> NDArray[np.uint8]:
    """Frames of 1 ms from the first event on, whether a pixel had an event: [samples, time, 2, 34, 34].

    The recordings are taken from all classes, from number `first` on, and over again after the last.
    """
    files = sorted((folder / "nmnist").glob("*/*/*.bin"), key=lambda file: (file.name, file.parent))
    frames = np.zeros((samples, timesteps, 2, 34, 34), np.uint8)
    for i in range(samples):
        file = files[(first + i) % len(files)]
        raw = np.fromfile(file, np.uint8).reshape(-1, 5).astype(np.int64)
        x, y, polarity = raw[:, 0], raw[:, 1], raw[:, 2] >> 7
        time = ((raw[:, 2] & 127) << 16) | (raw[:, 3] << 8) | raw[:, 4]
        step = (time - time[0]) // 1000
        kept = (step < timesteps) & (x < 34) & (y < 34)
        frames[i, step[kept], polarity[kept], y[kept], x[kept]] = 1
    return frames
