"""`lava_network.py`: the few lines that rebuild a program's Lava network and run one sample."""

from pathlib import Path

from deploy import connections, neurons
from deploy.errors import BadInput
from deploy.files import write_text
from deploy.program.program import Program
from export.targets.lava.network import stock_program

_SCRIPT = '''"""Rebuilds the network in Lava from program.npz, beside this file, and runs one sample.

Needs Python 3.10 with lava-nc 0.10.0 and the packages `deploy` and `export` of neuroclip.
"""

from pathlib import Path

import numpy as np
from lava.magma.core.run_conditions import RunSteps
from lava.magma.core.run_configs import Loihi2SimCfg
from lava.proc.io.sink import RingBuffer as Sink
from lava.proc.io.source import RingBuffer as Source

from deploy.program.file import load_program
from export.targets.lava import build

TIMESTEPS = {timesteps}


def main() -> None:
    program = load_program(Path(__file__).with_name("program.npz"))
    network = build(program, TIMESTEPS)
    # Your data goes here: integers [*input shape, time]. A RingBuffer starts over at its end.
    generator = np.random.default_rng(0)
    for node in program.inputs:
        sample = generator.integers(node.low, node.high + 1, (TIMESTEPS, *node.shape))
        source = Source(data=np.moveaxis(sample, 0, -1))
        source.s_out.connect(network.inputs[node.name])
    steps = TIMESTEPS + max(network.latency.values())
    sinks = {{}}
    for name, port in network.outputs.items():
        sinks[name] = Sink(shape=port.shape, buffer=steps)
        port.connect(sinks[name].a_in)

    # A population of latency k ends the sample at chip step TIMESTEPS + k: read its potential then.
    run_cfg, done, potentials = Loihi2SimCfg(select_tag="fixed_pt"), 0, {{}}
    for name in sorted(network.latency, key=network.latency.get):
        end = TIMESTEPS + network.latency[name]
        if end > done:
            network.run(condition=RunSteps(num_steps=end - done), run_cfg=run_cfg)
            done = end
        if any(o.source == name and o.quantity == "v" for o in program.outputs):
            potentials[name] = network.v[name].get().astype(int)
    spikes = {{name: sink.data.get().astype(int) for name, sink in sinks.items()}}
    network.stop()

    for name, recorded in spikes.items():
        latency = network.latency[name]
        counts = recorded[..., latency : latency + TIMESTEPS].sum(axis=-1)
        print(f"{{name}}: spikes {{counts.tolist()}}")
    for name, v in potentials.items():
        print(f"{{name}}: membrane potential {{v.tolist()}}")


if __name__ == "__main__":
    main()
'''


def write_lava_script(path: Path, program: Program, timesteps: int) -> None:
    """Write `lava_network.py`, for samples of `timesteps` steps, atomically.

    Raises BadInput where `build` would, and for kinds of one's own, so that no script is written that
    fails.
    """
    kinds = [(p.name, p.kind) for p in program.populations if p.kind not in neurons.BUNDLED]
    kinds += [(c.name, c.kind) for c in program.connections if c.kind not in connections.BUNDLED]
    if kinds:
        name, kind = kinds[0]
        raise BadInput(
            f"node '{name}': the script would not know the kind '{kind}'; import it and call "
            "export.targets.lava.build"
        )
    stock_program(program, timesteps)
    write_text(path, _SCRIPT.format(timesteps=timesteps))
