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

import numpy as np
from networks import Messages, convolutional, data_folder, nmnist

from deploy.run.dataset import join, stream_dataset


@dataclass(frozen=True)
class Recordings:
    """Batches of frames of `batch` samples each."""

    folder: Path | None
    samples: int
    timesteps: int
    batch: int

    @property
    def key(self) -> str:
        """The folder, and how it is cut."""
        return f"{self.folder} {self.samples} {self.timesteps} {self.batch}"

    @property
    def sizes(self) -> tuple[int, ...]:
        """Samples of each batch."""
        return tuple(min(self.batch, self.samples - a) for a in range(0, self.samples, self.batch))

    def loader(self, index: int) -> Callable[[], Messages]:
        """Batch `index`."""
        return partial(load, self.folder, index * self.batch, self.sizes[index], self.timesteps)


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
    batches = Recordings(data, options.samples, options.timesteps, options.batch)
    cpu = time.process_time()
    some = range(0, len(batches.sizes), max(1, len(batches.sizes) // 5))
    for i in some:
        batches.loader(i)()
    framing = (time.process_time() - cpu) / len(some)
    started, cpu = time.perf_counter(), time.process_time()
    whole = join(stream_dataset(program, batches, folder=options.folder, jobs=options.jobs))
    wall, cpu = time.perf_counter() - started, time.process_time() - cpu
    steps = whole.samples * whole.timesteps
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    print(
        f"{whole.samples} samples of {whole.timesteps} steps in {wall:.0f} s ({cpu:.0f} s of CPU, of "
        f"which framing {framing * len(batches.sizes):.0f} s): {whole.samples / wall:.0f} samples/s, "
        f"{steps / wall:.0f} steps/s; peak memory {peak:.2f} GiB"
    )
    print(f"predicted: {np.bincount(whole.predictions, minlength=10).tolist()}")


if __name__ == "__main__":
    main()
