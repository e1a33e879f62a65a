"""A kind of connection of one's own, in one file: synapses that are the same all around a ring.

    python examples/own_connection.py [FOLDER]

`Ring` says how many neurons it joins and lists its synapses; everything else follows from the list:
the emulators, proof, parity, files, mapping, validator, counts and report all take it. Targets that
know no such connection get the list (Lava, SANA-FE) or refuse it by name (NIR). A package that is
installed needs no `register`: its entry point of the group `neuroclip.connections` is found by name.
"""

import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np

import neuroclip as nc
from deploy.arithmetic.registers import IntArray
from deploy.compare.parity import compare
from deploy.connections import Connection, register
from deploy.connections.synapse_list import SynapseList
from deploy.count.operations import count
from deploy.emulate.fast import emulate_fast
from deploy.emulate.reference import emulate
from deploy.hardware.chip import load_chip
from deploy.map.partition import partition
from deploy.map.validate import require_valid
from deploy.program.file import load_program, save_program
from deploy.program.program import (
    Dense,
    Output,
    Program,
    make_input,
    make_population,
    registers,
)
from deploy.prove.proof import prove


@register
@dataclass(frozen=True, eq=False)
class Ring(Connection):
    """Target i hears source (i + k) mod n with weight[k], for k from 0. weight: int32 [taps].

    Each synapse has one of the weights, so that a chip could keep them once; here they are listed.
    """

    kind = "ring"
    name: str
    source: str
    target: str
    weight: IntArray
    source_size: int
    exponent: int = 0
    delay: int = 0

    @property
    def target_size(self) -> int:
        """As many targets as sources."""
        return self.source_size

    def listed(self) -> SynapseList:
        """The synapses of every target, sources in ascending order."""
        n, taps = self.source_size, len(self.weight)
        sources = (np.arange(n)[:, None] + np.arange(taps)) % n
        ascending = np.argsort(sources, axis=1)
        return SynapseList(
            self.weight[ascending].reshape(-1),
            np.take_along_axis(sources, ascending, axis=1).astype(np.int32).reshape(-1),
            np.arange(0, n * taps + 1, taps, dtype=np.int32),
            n,
        )


def ring_network(size: int = 60) -> Program:
    """input → ring → a (and a → ring → a, one step later) → dense → scores."""
    rng = np.random.default_rng(0)
    near = np.array([-40, 30, 90, 30, -40], np.int32)
    return Program(
        (make_input("input", (size,)),),
        (
            make_population("a", (size,), du=1024, dv=512, vth=120),
            make_population("scores", (4,), kind="integrator"),
        ),
        (
            Ring("in", "input", "a", near, size),
            Ring("loop", "a", "a", np.array([20, 0, 10], np.int32), size, delay=1),
            Dense("out", "a", "scores", (2 * rng.integers(-20, 20, (4, size))).astype(np.int32)),
        ),
        (Output("class", "scores", "v"),),
    )


def main(folder: Path) -> None:
    program = ring_network()
    save_program(folder / "ring.npz", program)
    program = load_program(folder / "ring.npz")
    spikes = (np.random.default_rng(1).random((8, 20, 60)) < 0.2).astype(np.int32)

    trace = emulate(program, {"input": spikes})
    fast, held = emulate_fast(program, {"input": spikes}), registers(program)
    parity = compare("emulator", held, trace, "fast emulator", held, fast)
    print("parity   ", "equal" if parity.ok else "different")
    print("proof    ", f"{len(prove(program, 20).reachable)} register edges can be reached")
    chip = load_chip("loihi2")
    mapping = partition(program, chip, trace.messages)
    require_valid(program, chip, mapping)
    counts = count(program, trace.messages, 8, 20, mapping, chip)
    print(
        "mapping  ", f"{len(mapping.cores)} cores, {sum(counts.synaptic_ops.values())} operations"
    )

    report = nc.export(program, spikes, out=folder / "report")
    print("report   ", report.json["verdict"]["word"], report.path / "report.html")


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "runs/ring"))
