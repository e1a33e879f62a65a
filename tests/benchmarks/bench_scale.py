"""Time of partition and placement against size, to a million neurons and 100 million synapses.

    python tests/benchmarks/bench_scale.py [--sides 64 128 256] [--plot FILE.svg]

Layers of 8 channels on `hala-point`, 1 152 chips, kernels shared: with the limits of the chip, and
with 8 neurons a core, so that a million neurons are on almost every chip. Times are of the
processor, all threads together; every mapping is checked by the independent validator.
"""

import argparse
import resource
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from bench_partition import chip_of, timed

from deploy.connections import Conv2d
from deploy.count.operations import count
from deploy.map.compared import comparison
from deploy.map.partition import partition
from deploy.map.validate import validate
from deploy.program.program import Program, make_input, make_population

# (what limits it, neurons, processor seconds) of a mapping.
Point = tuple[str, int, float]
# Neurons up to which the baselines are counted too: in the order of a layer's neurons, a large
# convolution takes many more cores.
_COMPARED = 300_000


def scale_network(side: int) -> Program:
    """Two layers of 8 channels: 3×3 kernels, of dilation 1 and 2, from the frame and from the first."""

    def conv(name: str, a: str, b: str, inputs: int, pad: int = 1) -> Conv2d:
        weight = np.full((8, inputs, 3, 3), 2, np.int32)
        return Conv2d(name, a, b, weight, (side, side), padding=(pad, pad), dilation=(pad, pad))

    return Program(
        (make_input("frame", (2, side, side)),),
        (make_population("a", (8, side, side)), make_population("b", (8, side, side))),
        (
            conv("c1", "frame", "a", 2),
            conv("c2", "a", "b", 8),
            conv("c3", "a", "b", 8, 2),
            conv("c4", "frame", "b", 2),
            conv("c5", "frame", "b", 2, 2),
        ),
        (),
    )


def measure(sides: Sequence[int]) -> list[Point]:
    points = []
    for label, chip in (
        ("limits of the chip", chip_of("hala-point")),
        ("8 neurons a core", chip_of("hala-point", neurons=8)),
    ):
        for side in sides:
            program = scale_network(side)
            neurons = sum(p.size for p in program.populations)
            start = time.time()
            mapping, seconds = timed(lambda p=program, c=chip: partition(p, c))
            wall = time.time() - start
            memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
            points.append((label, neurons, seconds))
            print(
                f"{label}: {neurons:>9,} neurons, {sum(c.synapse_count() for c in program.connections):>11,} "
                f"synapses, {len(mapping.cores):>7,} cores on "
                f"{len({c.index // 122 for c in mapping.cores}):>5,} chips: {seconds:5.1f} s "
                f"({wall:.1f} s on the clock), {1e6 * seconds / neurons:.0f} µs a neuron, "
                f"{memory:.1f} GiB at most so far",
                flush=True,
            )
            violations, checked = timed(lambda p=program, c=chip, m=mapping: validate(p, c, m))
            sent = {node.name: np.ones(node.shape, np.int64) for node in program.sources}
            counts, counted = timed(
                lambda p=program, s=sent, c=chip, m=mapping: count(p, s, 1, 1, m, c)
            )
            said = f"{sum(counts.messages.values()):,} packets"
            if neurons <= _COMPARED:
                found, compared = timed(lambda p=program, c=chip, m=mapping: comparison(p, c, m))
                assert found["ours"]["packets"] == sum(counts.messages.values())
                said = ", ".join(
                    f"{name} {'does not fit' if of is None else format(int(of['packets']), ',')}"
                    for name, of in found.items()
                )
                said = f"packets: {said} ({compared:.1f} s)"
            print(
                f"  {len(violations)} violations ({checked:.1f} s); counts of every core "
                f"({counted:.1f} s); {said}",
                flush=True,
            )
    return points


def slope(points: list[Point], label: str) -> float:
    """The exponent of the time in the number of neurons: 1 is linear."""
    found = [(n, s) for of, n, s in points if of == label]
    return float(np.polyfit(*np.log(np.array(found)).T, 1)[0])


def plot(points: list[Point], path: Path) -> None:
    import matplotlib

    matplotlib.use("svg")
    matplotlib.rcParams["svg.hashsalt"] = "scale"  # the same plot is the same file
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(6, 4))
    for label in dict.fromkeys(of for of, _, _ in points):
        found = np.array([(n, s) for of, n, s in points if of == label])
        axes.loglog(*found.T, "o-", label=f"{label}: time ~ neurons^{slope(points, label):.2f}")
    sizes = np.array(sorted({n for _, n, _ in points}))
    last = max(s for _, n, s in points if n == sizes[-1])
    axes.loglog(sizes, last * sizes / sizes[-1], "--", color="grey", label="linear")
    axes.set(xlabel="neurons", ylabel="processor seconds", title="partition and placement")
    axes.grid(True, which="both", alpha=0.3)
    axes.legend()
    figure.tight_layout()
    figure.savefig(path, metadata={"Date": None})
    print(f"plot: {path}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sides", type=int, nargs="+", default=[64, 128, 256])
    parser.add_argument("--plot", type=Path, metavar="FILE", help="an SVG; needs matplotlib")
    options = parser.parse_args()
    measured = measure(options.sides)
    if len(options.sides) > 1:
        for what in dict.fromkeys(label for label, _, _ in measured):
            print(f"{what}: time grows as neurons^{slope(measured, what):.2f}")
    if options.plot is not None:
        plot(measured, options.plot)
