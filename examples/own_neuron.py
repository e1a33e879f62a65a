"""A kind of neurons of your own, in one file: from its equation to a report on a chip's cores.

    python examples/own_neuron.py [OUT]

On Loihi 2 neurons are programs. This one has a threshold that rises with every spike and falls back
by itself. The package knows nothing of it: `register` adds it to the table of kinds, and everything
that is asked of a kind is asked of the class below. What it does not state is not made up: without
`bounds` the proof says "no bounds known", and the Lava target refuses it by name until a Lava process
is registered for it (`export.targets.lava.parts.neurons.register_lava`).

A package of yours registers it for every command by an entry point:

    [project.entry-points."neuroclip.neurons"]
    adaptive = "your_package.own_neuron:Adaptive"
"""

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np

import neuroclip as nc
from deploy.arithmetic.integers import Int64, clipped, decayed
from deploy.arithmetic.registers import DECAY_MAX, VTH_MAX, IntArray, check_number, check_range
from deploy.compare.parity import compare
from deploy.count.operations import count
from deploy.emulate.fast import emulate_fast, prepare
from deploy.emulate.reference import emulate
from deploy.errors import BadInput
from deploy.hardware.chip import load_chip
from deploy.map.partition import partition
from deploy.map.validate import validate
from deploy.neurons import Neurons, make_population, register
from deploy.neurons.base import State
from deploy.program.file import load_program, save_program
from deploy.program.program import Dense, Output, Program, equal, make_input, registers
from deploy.prove.proof import prove
from deploy.report.inspect import inspect
from deploy.run.by_core import emulate_mapped
from export.targets.lava.parts.neurons import check_neurons


@register
@dataclass(frozen=True, eq=False)
class Adaptive(Neurons):
    """Leaky integrate-and-fire neurons whose threshold adapts.

        v ← clip(T(v·(4096 − dv)) + (a << 6))
        s = v > (vth << 6) + w, then v ← 0 where s
        w ← T(w·(4096 − dw)) + (jump << 6)·s

    Registers: dv in 0..4095, vth in 0..131071. dw: 1..4095; jump: 0..131071.
    """

    dv: IntArray
    vth: IntArray
    dw: int = 410
    jump: int = 100

    kind: ClassVar[str] = "adaptive"
    states: ClassVar[tuple[str, ...]] = ("v", "w")
    recorded: ClassVar[Mapping[str, str]] = {"u": "w", "v": "v"}  # what a trace calls u and v

    def check(self) -> None:
        """Refuse what no register holds."""
        check_range(self.name, "dv", self.dv, 0, DECAY_MAX)
        check_range(self.name, "vth", self.vth, 0, VTH_MAX)
        check_number(self.name, "dw", self.dw, 1, DECAY_MAX)
        check_number(self.name, "jump", self.jump, 0, VTH_MAX)

    def step(self, state: State, a: Int64, t: int) -> tuple[State, Int64]:
        """One step of all neurons of all samples."""
        v = clipped(decayed(state["v"], self.dv) + (a << 6))
        s = (v > (self.vth.astype(np.int64) << 6) + state["w"]).astype(np.int64)
        w = decayed(state["w"], self.dw) + (self.jump << 6) * s
        return {"v": np.where(s > 0, 0, v), "w": w}, s


def network() -> Program:
    """12 inputs → 20 adaptive neurons → 8 plain ones → 4 integrators."""
    rng = np.random.default_rng(0)

    def weights(targets: int, sources: int) -> np.ndarray:
        return (2 * rng.integers(-60, 100, (targets, sources))).astype(np.int32)

    return Program(
        (make_input("input", (12,)),),
        (
            Adaptive("adaptive", (20,), np.full(20, 300, np.int32), np.full(20, 90, np.int32)),
            make_population("lif", (8,), dv=200, vth=200),
            make_population("scores", (4,), kind="integrator"),
        ),
        (
            Dense("fc1", "input", "adaptive", weights(20, 12)),
            Dense("fc2", "adaptive", "lif", weights(8, 20)),
            Dense("fc3", "lif", "scores", weights(4, 8)),
        ),
        (Output("out", "scores", "v"),),
    )


def main(out: Path) -> None:
    out.mkdir(parents=True, exist_ok=True)
    program = network()
    save_program(out / "own.npz", program)
    assert equal(load_program(out / "own.npz"), program)
    held = registers(program)

    spikes = np.random.default_rng(1).integers(0, 2, (32, 40, 12), dtype=np.uint8)
    reference, fast = emulate(program, {"input": spikes}), emulate_fast(program, {"input": spikes})
    print(
        f"spikes of 'adaptive' {int(reference.s['adaptive'].sum())} of {reference.s['adaptive'].size}"
    )
    print(compare("reference", held, reference, "fast", held, fast).describe())

    why = prepare(program).uncompiled.get("adaptive")
    print(
        f"fast emulator        {f'NumPy takes the step: {why}' if why else 'the step is compiled'}"
    )
    for name, edge in prove(program, timesteps=40).edges["adaptive"].items():
        print(f"proof of 'adaptive'  {name}: {edge.verdict}")

    chip = load_chip("loihi2")
    mapping = partition(program, chip)
    print(
        f"mapping              {len(mapping.cores)} cores, {len(validate(program, chip, mapping))} violations"
    )
    by_core = emulate_mapped(program, mapping, {"input": spikes}).trace
    print(compare("reference", held, reference, "cores", held, by_core).describe())
    counts = count(program, reference.messages, 32, 40, mapping)
    print(f"neuron updates       {counts.neuron_updates['adaptive'] // 32} of 'adaptive' a sample")
    print(inspect(program, timesteps=40))

    for p in program.populations:
        try:
            check_neurons(p)
        except BadInput as refusal:
            print(f"on Lava              {refusal}")

    report = nc.export(program, spikes, out=out / "report")
    print(
        f"report               {report.json['verdict']['word']}: {out / 'report' / 'report.html'}"
    )


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else Path("runs/own-neuron"))
