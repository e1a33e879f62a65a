"""A program as a network of Lava processes: for one's own Lava program, and run in a worker process.

In: a program and messages. Out: a Process with ports, or the trace that Lava gives.

Importing this package needs no Lava; `build` does.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # a worker's Python may lack even numpy, and must live to say so
    from deploy.program.program import Program

__all__ = ["build"]


def build(program: "Program", timesteps: int) -> Any:
    """A program as one hierarchical Lava Process made of stock processes (see `Network`).

    timesteps: steps per sample; every neuron clears its state when a sample's first step reaches it.
    The Process's `inputs` and `outputs` hold its ports, `u` and `v` its states, `latency` the chip
    steps by which each population's response lags behind its input. Where branches of different length
    meet, relays hold the shorter ones back: populations of stock processes, one for each step.

        from lava.magma.core.run_conditions import RunSteps
        from lava.magma.core.run_configs import Loihi2SimCfg
        from lava.proc.io.sink import RingBuffer as Sink
        from lava.proc.io.source import RingBuffer as Source

        network = build(program, timesteps)
        source = Source(data=spikes)  # integers [*input shape, timesteps]
        source.s_out.connect(network.inputs["image"])
        steps = timesteps + network.latency["classes"]
        sink = Sink(shape=network.outputs["classes"].shape, buffer=steps)
        network.outputs["classes"].connect(sink.a_in)
        network.run(condition=RunSteps(num_steps=steps), run_cfg=Loihi2SimCfg(select_tag="fixed_pt"))
        answer = sink.data.get()[..., network.latency["classes"]:]  # step t answers input step t
        network.stop()

    Raises BadInput where stock processes do not run the program exactly (connections with delays),
    and where Lava is not installed.
    """
    from export.targets.lava.network import build_network

    return build_network(program, timesteps)
