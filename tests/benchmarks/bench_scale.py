"""Time and memory of partition and placement against size, to ten million neurons and a billion synapses.

    python tests/benchmarks/bench_scale.py [--sides 64 128 256 512 800] [--plot FILE.svg]

Layers of 8 channels on `hala-point`, 1 152 chips, kernels shared: with the limits of the chip, and
with 8 neurons a core, so that a million neurons are on almost every chip. Times are of the
processor, all threads together; memory is the most that the process took until the mapping was
there, where the system says it (Linux). The independent validator checks every mapping but those of
so many cores that it would take minutes.
"""

import argparse
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from bench_partition import chip_of, timed

from deploy.connections import Conv2d
from deploy.count.operations import count
from deploy.errors import CheckFailed
from deploy.hardware.chip import Chip
from deploy.hardware.mapping import Mapping
from deploy.map.compared import comparison
from deploy.map.core.hypergraph import count_packets, parts_of
from deploy.map.partition import partition
from deploy.map.validate import validate
from deploy.program.program import Program, make_input, make_population

# (what limits it, neurons, processor seconds) of a mapping.
Point = tuple[str, int, float]
# Neurons up to which the baselines are counted too: in the order of a layer's neurons, a large
# convolution takes many more cores.
_COMPARED = 300_000
# Cores up to which a mapping is checked, and up to which each core's counts are taken.
_CHECKED, _COUNTED = 40_000, 10_000
_CLEAR = Path("/proc/self/clear_refs")


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
            forget_peak()
            start = time.time()
            try:
                mapping, seconds = timed(lambda p=program, c=chip: partition(p, c))
            except CheckFailed as refused:
                print(f"{label}: {neurons:>10,} neurons: {refused}", flush=True)
                continue
            wall = time.time() - start
            points.append((label, neurons, seconds))
            synapses = sum(c.synapse_count() for c in program.connections)
            print(
                f"{label}: {neurons:>10,} neurons, {synapses:>13,} synapses, "
                f"{len(mapping.cores):>7,} cores on "
                f"{len({c.index // 122 for c in mapping.cores}):>5,} chips: {seconds:5.1f} s "
                f"({wall:.1f} s on the clock), {1e6 * seconds / neurons:.0f} µs a neuron, {peak()}",
                flush=True,
            )
            print(f"  {checks(program, chip, mapping)}", flush=True)
    return points


def checks(program: Program, chip: Chip, mapping: Mapping) -> str:
    """What the validator, the counts and the baselines say of a mapping."""
    parts, cores = parts_of(program, mapping), len(mapping.cores)
    packets = count_packets(program, parts, cores)
    said = [f"{packets:,} packets"]
    if cores <= _CHECKED:
        violations, seconds = timed(lambda: validate(program, chip, mapping))
        said.append(f"{len(violations)} violations ({seconds:.1f} s)")
    if cores <= _COUNTED:
        sent = {node.name: np.ones(node.shape, np.int64) for node in program.sources}
        counts, seconds = timed(lambda: count(program, sent, 1, 1, mapping, chip))
        assert packets == sum(counts.messages.values())
        said.append(f"the same in the counts of every core ({seconds:.1f} s)")
    if sum(p.size for p in program.populations) <= _COMPARED:
        found, seconds = timed(lambda: comparison(program, chip, mapping))
        assert found["ours"]["packets"] == packets
        beside = ", ".join(
            f"{name} {'does not fit' if of is None else format(int(of['packets']), ',')}"
            for name, of in found.items()
            if name != "ours"
        )
        said.append(f"beside them {beside} ({seconds:.1f} s)")
    return "; ".join(said)


def forget_peak() -> None:
    """Let the peak of memory begin anew, where the system can."""
    if _CLEAR.exists():
        _CLEAR.write_text("5")


def peak() -> str:
    """The most memory since then."""
    if not _CLEAR.exists():
        return "memory not known"
    lines = Path("/proc/self/status").read_text().splitlines()
    (line,) = (line for line in lines if line.startswith("VmHWM:"))
    return f"{int(line.split()[1]) / 2**20:.2f} GiB at most"


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
