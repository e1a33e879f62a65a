"""An exported network inside a Lava program of your own, made of stock Lava processes only.

    python examples/own_lava_program.py PROGRAM.npz [STEPS]

Run `make demo` first: it writes demo/program.npz. Needs Lava, and so Python 3.10. The network is
one hierarchical Process with ports; here a RingBuffer feeds it random messages of its input's
range, and the answer is read and compared with the emulator's.
"""

import sys
from pathlib import Path

import numpy as np

from deploy.emulate.reference import emulate
from deploy.program.file import load_program
from export.targets.lava import build


def main(path: Path, steps: int) -> None:
    program = load_program(path)
    source_node, last = program.inputs[0], program.populations[-1]
    messages = np.random.default_rng(0).integers(
        source_node.low, source_node.high + 1, (1, steps, *source_node.shape)
    )

    # `build` comes before any other import of Lava: it sets up how Lava starts its processes.
    network = build(program, timesteps=steps)
    from lava.magma.core.run_conditions import RunSteps
    from lava.magma.core.run_configs import Loihi2SimCfg
    from lava.proc.io.source import RingBuffer

    # A RingBuffer sends one column per step; it starts with column 0.
    source = RingBuffer(data=np.moveaxis(messages[0], 0, -1).astype(np.int32))
    source.s_out.connect(network.inputs[source_node.name])
    try:
        network.run(
            condition=RunSteps(num_steps=steps + network.latency[last.name]),
            run_cfg=Loihi2SimCfg(select_tag="fixed_pt"),
        )
        potential = network.v[last.name].get()
    finally:
        network.stop()

    expected = emulate(program, {source_node.name: messages}).v[last.name][0, -1]
    print(f"Lava:     '{last.name}' v = {potential.astype(int).tolist()}")
    print(f"emulator: '{last.name}' v = {expected.tolist()}")
    if not np.array_equal(potential, expected):
        raise SystemExit("the two differ")


if __name__ == "__main__":
    if len(sys.argv) not in (2, 3):
        raise SystemExit("usage: own_lava_program.py PROGRAM.npz [STEPS]")
    main(Path(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) == 3 else 10)
