"""A program on Brian2Loihi, which writes Loihi's neuron as equations for Brian 2 (Michaelis 2022)."""

import warnings
from typing import Any

import numpy as np
from numpy.typing import NDArray

from deploy.emulate.reference import Messages, check_inputs
from deploy.emulate.trace import Record, Trace
from deploy.errors import BadInput
from deploy.program.pipeline_latency import extra_steps, latency_steps
from deploy.program.program import Population, Program
from export.peers.common import (
    Timed,
    required,
    sample_synapses,
    spiking_populations,
    trace_of,
)


def run_brian2_loihi(program: Program, inputs: Messages) -> Trace:
    """The trace of `timed_brian2_loihi`."""
    return timed_brian2_loihi(program, inputs).trace


def timed_brian2_loihi(program: Program, inputs: Messages, record: Record = "all") -> Timed:
    """Run a program on Brian2Loihi, generated as NumPy code; arguments and trace as `emulate`'s.

    record: "all", or "spikes" without u, v and readouts. The seconds are those that Brian 2 reports
    of its loop, code generation left out, for as many steps as a sample has.
    The current decay is given as du + 1, since Brian2Loihi adds no ds_offset of its own. Where the
    program is portable the trace equals the emulator's; elsewhere weights are clipped to 21 bits and
    shifted one by one by a negative exponent, and neither u nor v is bounded.
    Raises BadInput for other kinds of neurons, graded messages, a bias, registers that differ between
    the neurons of a population (Brian2Loihi has neither), and where it is not installed.
    """
    samples, timesteps = check_inputs(program, inputs)
    populations = spiking_populations(program, "Brian2Loihi")
    registers = {p.name: _registers(p) for p in populations}
    latency = latency_steps(program)
    extra = extra_steps(program, latency)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of escapes in its regular expressions
        package = required("brian2_loihi")
    brian2 = required("brian2")
    before = brian2.prefs.codegen.target
    brian2.prefs.codegen.target = "numpy"  # nothing is compiled for a network of one run
    try:
        groups: dict[str, Any] = {
            p.name: package.LoihiNeuronGroup(samples * p.size, **registers[p.name])
            for p in populations
        }
        made: list[Any] = list(groups.values())
        for node in program.inputs:
            spikes = np.asarray(inputs[node.name]).reshape(samples, timesteps, node.size)
            sample, step, channel = np.nonzero(spikes)
            groups[node.name] = package.LoihiSpikeGeneratorGroup(
                samples * node.size, sample * node.size + channel, step
            )
            made.append(groups[node.name])
        for c in program.connections:
            matrix = sample_synapses(c, samples).tocoo()
            if not matrix.nnz:
                continue
            synapses = package.LoihiSynapses(
                groups[c.source],
                groups[c.target],
                delay=extra[c.name],
                w_exp=c.exponent,
                sign_mode=package.synapse_sign_mode.MIXED,
            )
            synapses.connect(i=matrix.row, j=matrix.col)
            synapses.w = matrix.data
            made.append(synapses)
        monitors = {
            (p.name, quantity): package.LoihiStateMonitor(groups[p.name], quantity, order=order)
            for p in populations
            # The current is read in the slot in which synapses add to it: after them.
            for quantity, order in (("I", 1), ("v", 0))
            if record == "all"
        }
        spikes_of = {p.name: package.LoihiSpikeMonitor(groups[p.name]) for p in populations}
        network = package.LoihiNetwork(*made, *monitors.values(), *spikes_of.values())
        # A message of an input arrives in its own step, unlike on the chip.
        steps = timesteps + max(latency.values()) - 1
        reported: list[float] = []
        network.run(steps, report=lambda elapsed, *_: reported.append(float(elapsed)))
    finally:
        brian2.prefs.codegen.target = before

    def sample_time(p: Population, recorded: NDArray[Any]) -> NDArray[np.int64]:
        first = latency[p.name] - 1
        kept = recorded[:, first : first + timesteps].reshape(samples, *p.shape, timesteps)
        return np.moveaxis(kept, -1, 1).astype(np.int64)

    def states(quantity: str) -> dict[str, NDArray[np.int64]]:
        return {
            p.name: sample_time(p, np.asarray(getattr(monitors[p.name, quantity], quantity)))
            for p in populations
        }

    s = {}
    for p in populations:
        raster = np.zeros((samples * p.size, timesteps + max(latency.values())), np.int64)
        monitor = spikes_of[p.name]
        raster[np.asarray(monitor.i), np.rint(np.asarray(monitor.t_) * 1000).astype(int)] = 1
        s[p.name] = sample_time(p, raster)
    recorded = {"u": states("I"), "v": states("v")} if record == "all" else {}
    return Timed(trace_of(program, inputs, s, **recorded), reported[-1] * timesteps / steps)


def _registers(p: Population) -> dict[str, int]:
    """The registers of a population, which all its neurons share, by Brian2Loihi's names."""
    if p.bias.any():
        raise BadInput(
            f"node '{p.name}': a bias of {int(p.bias[p.bias != 0][0])}; Brian2Loihi has none"
        )
    for register in ("du", "dv", "vth"):
        values = getattr(p, register)
        if (values != values.flat[0]).any():
            raise BadInput(
                f"node '{p.name}': {register} differs between neurons ({int(values.min())}.."
                f"{int(values.max())}); Brian2Loihi has one for a population"
            )
    return {
        "decay_I": int(p.du.flat[0]) + 1,
        "decay_v": int(p.dv.flat[0]),
        "threshold_v_mant": int(p.vth.flat[0]),
        "refractory": p.refractory + 1,
    }
