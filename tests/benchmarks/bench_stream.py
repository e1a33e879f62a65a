"""A data set streamed: 10 000 N-MNIST-sized samples through the NIR paper's convolutional network.

Batches are framed from recordings when they are asked for (real ones, over and over, where
NEUROCLIP_DATA names a folder), so that neither inputs nor traces are ever held as a whole. Prints
rates, what framing takes of it, and peak memory; asserts nothing.
"""

import argparse
import resource
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from networks import Messages, convolutional, data_folder, nmnist
from numpy.typing import NDArray

from deploy.emulate.fast import emulate_fast, prepare
from deploy.run.stream import Kept, stream


@dataclass(frozen=True)
class Counts:
    """Spikes of each class [samples, classes], over time."""

    values: NDArray[np.int64]

    def packed(self) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
        """As `deploy.run.stream` keeps it."""
        return {}, {"values": self.values}


def load(folder: Path | None, first: int, samples: int, timesteps: int) -> Messages:
    """Frames of some samples."""
    if folder is not None:
        return {"input": nmnist(folder, samples, timesteps, first)}
    rng = np.random.default_rng(first)
    return {"input": (rng.random((samples, timesteps, 2, 34, 34)) < 0.006).astype(np.uint8)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--samples", type=int, default=10_000)
    parser.add_argument("--timesteps", type=int, default=300)
    parser.add_argument("--batch", type=int, default=50)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--folder", type=Path, help="keep parts there, and resume from them")
    options = parser.parse_args()
    data = data_folder()
    program = convolutional(None if data is None else data / "nir" / "cnn_sinabs.nir")
    batches = [
        partial(load, data, first, min(options.batch, options.samples - first), options.timesteps)
        for first in range(0, options.samples, options.batch)
    ]
    cpu = time.process_time()
    some = batches[:: max(1, len(batches) // 5)]
    for batch in some:
        batch()
    framing = (time.process_time() - cpu) / len(some)
    started, cpu = time.perf_counter(), time.process_time()
    plan = prepare(program)

    def run(batch: Callable[[], Messages]) -> Counts:
        trace = emulate_fast(plan, batch(), "spikes", options.jobs, nodes={output})
        return Counts(trace.s[output].sum(axis=1, dtype=np.int64))

    output = program.outputs[0].source
    kept = Kept(lambda _, arrays: Counts(arrays["values"]), options.folder, str(options))
    counts = np.concatenate(
        [part.values for part in stream(run, batches, lambda _, part: part, kept)]
    )
    wall, cpu = time.perf_counter() - started, time.process_time() - cpu
    steps = options.samples * options.timesteps
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    print(
        f"{options.samples} samples of {options.timesteps} steps in {wall:.0f} s ({cpu:.0f} s of CPU, "
        f"of which framing {framing * len(batches):.0f} s): {options.samples / wall:.0f} samples/s, "
        f"{steps / wall:.0f} steps/s; peak memory {peak:.2f} GiB"
    )
    print(f"predicted: {np.bincount(counts.argmax(axis=1), minlength=10).tolist()}")


if __name__ == "__main__":
    main()
