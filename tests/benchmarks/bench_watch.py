"""Events a second that `neuroclip watch` takes from a pipe: decoded, checked, framed, encoded and scored.

One core and one thread; the stream holds a million events a second, in N-MNIST's five bytes, on a sensor of
34×34. Prints the rate and its ratio to that of the stream, above 1 where it keeps up; asserts nothing.
"""

import argparse
import os
import threading
import time

import numpy as np
import torch

from neuroclip.adapter.checkpoint import clip_of, load_checkpoint
from neuroclip.adapter.watch import ChipScores
from neuroclip.live.decoders import decoder
from neuroclip.live.watch import watch_stream
from neuroclip.live.windows import DEFAULT_WINDOW_US, recordings

RATE = 1_000_000


def stream(events: int) -> bytes:
    """Random events, a million a second; times start again after 2^23 µs, as five bytes hold them."""
    random = np.random.default_rng(0)
    t = np.arange(events) % (1 << 23)
    x, y = random.integers(0, 34, (2, events))
    p = random.integers(0, 2, events)
    fields = np.stack([x, y, p << 7 | t >> 16, t >> 8 & 255, t & 255], axis=1)
    return fields.astype(np.uint8).tobytes()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--events", type=int, default=3_000_000)
    events = parser.parse_args().events
    torch.set_num_threads(1)
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    loaded = load_checkpoint("neuroclip-digits")
    clip = clip_of(loaded, None)
    content = stream(events)
    reading, writing = os.pipe()

    def write() -> None:
        with os.fdopen(writing, "wb") as pipe:
            pipe.write(content)

    threading.Thread(target=write).start()
    started, cpu = time.perf_counter(), time.process_time()
    parts = recordings(lambda: os.read(reading, 1 << 19), decoder("a.bin", None), (34, 34), None)
    slices = sum(
        1
        for _ in watch_stream(
            parts, clip, loaded.frames, lambda: ChipScores(loaded.chip_adapter), DEFAULT_WINDOW_US
        )
    )
    wall, cpu = time.perf_counter() - started, time.process_time() - cpu
    print(
        f"watch: {events / wall:,.0f} events/s ({events / cpu:,.0f} a second of processor time), "
        f"{slices} slices; {events / cpu / RATE:.2f}× the {RATE:,} events/s of the stream"
    )


if __name__ == "__main__":
    main()
