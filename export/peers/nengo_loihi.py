"""A program on nengo-loihi's emulator: hand-made integer blocks, the chip's registers as they are.

nengo-loihi 1.1.0 warns that nengo 4 is untested; its emulator, which is NumPy alone, runs under it.
"""

import time
import warnings
from types import SimpleNamespace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from deploy.arithmetic.integers import STATE_SHIFT, UV_LIMIT
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


def run_nengo_loihi(program: Program, inputs: Messages) -> Trace:
    """The trace of `timed_nengo_loihi`."""
    return timed_nengo_loihi(program, inputs).trace


def timed_nengo_loihi(program: Program, inputs: Messages, record: Record = "all") -> Timed:
    """Run a program on `nengo_loihi.emulator.EmulatorInterface`; arguments and trace as `emulate`'s.

    record: "all", or "spikes" without u, v and readouts. The seconds are of as many emulator steps as
    a sample has, copies of what is recorded left out.
    A weight enters as weight·2^(6 + exponent), the synaptic accumulator's unit; decays, threshold and
    bias as they are, a refractory period one longer; v is clipped to ±(2^23 − 1). Where the program
    is portable the trace equals the emulator's; elsewhere the accumulator of 21 bits and the wrap of
    u + bias at 23 bits tell.
    Raises BadInput for other kinds of neurons, for graded messages, for messages that a connection
    must hold back (nengo-loihi has no delays; a loop's own step is none), for a negative exponent that
    cuts bits of a weight, and where nengo-loihi is not installed.
    """
    samples, timesteps = check_inputs(program, inputs)
    populations = spiking_populations(program, "nengo-loihi")
    latency = latency_steps(program)
    for name, steps in extra_steps(program, latency).items():
        if steps:
            raise BadInput(
                f"node '{name}': messages are held back {steps} steps; nengo-loihi has no delays"
            )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of nengo's version, see above
        required("nengo_loihi")
        emulator = _emulator(program, populations, inputs, samples)
    where: dict[str, slice] = {}
    for p in populations:
        start = max((s.stop for s in where.values()), default=0)
        where[p.name] = slice(start, start + samples * p.size)
    state, steps, seconds = emulator.compartment, timesteps + max(latency.values()), 0.0
    registers = {"s": "spiked", "u": "current", "v": "voltage"}
    rows: dict[str, list[NDArray[np.int32]]] = {
        quantity: [] for quantity in (registers if record == "all" else "s")
    }
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of every overflow, which is what the caller may look for
        for step in range(1, steps + 1):
            started = time.perf_counter()
            emulator.step()
            seconds += time.perf_counter() - started
            for quantity, kept in rows.items():
                kept.append(getattr(state, registers[quantity]).astype(np.int32))
            for name, lag in latency.items():
                # What a deep layer did before its first sample step, of its bias alone, never was.
                if step <= lag:
                    for register in (
                        state.current,
                        state.voltage,
                        state.spiked,
                        state.ref_count,
                    ):
                        register[where[name]] = 0

    def states(quantity: str) -> dict[str, NDArray[Any]]:
        recorded = np.stack(rows[quantity])
        return {
            p.name: recorded[latency[p.name] : latency[p.name] + timesteps, where[p.name]]
            .reshape(timesteps, samples, *p.shape)
            .swapaxes(0, 1)
            for p in populations
        }

    trace = trace_of(program, inputs, **{quantity: states(quantity) for quantity in rows})
    return Timed(trace, seconds * timesteps / steps)


def _emulator(
    program: Program, populations: tuple[Population, ...], inputs: Messages, samples: int
) -> Any:
    """The emulator with a block for each population, holding its neurons for every sample."""
    from nengo_loihi.block import Axon, LoihiBlock, Synapse
    from nengo_loihi.emulator import EmulatorInterface
    from nengo_loihi.inputs import SpikeInput

    blocks = {p.name: LoihiBlock(samples * p.size, p.name) for p in populations}
    for p in populations:
        _set_registers(blocks[p.name].compartment, p, samples)
    sources: dict[str, Any] = dict(blocks)
    for node in program.inputs:
        source = sources[node.name] = SpikeInput(samples * node.size, node.name)
        steps = np.moveaxis(np.asarray(inputs[node.name]), 1, 0)
        for t, messages in enumerate(steps, start=1):
            source.add_spikes(t, np.flatnonzero(messages))
    for c in program.connections:
        matrix = sample_synapses(c, samples)
        if not matrix.nnz:
            continue
        shift = STATE_SHIFT + c.exponent
        weight = np.ldexp(matrix.data.astype(np.float64), shift)
        if ((matrix.data % (1 << max(-c.exponent, 0))) != 0).any():
            raise BadInput(
                f"node '{c.name}': exponent {c.exponent} cuts bits of the sum, which nengo-loihi keeps"
            )
        synapse = Synapse(matrix.shape[0], c.name)
        synapse.set_weights(matrix)
        # set_weights makes float32 of them; integers are what tells the emulator to be the chip.
        synapse.weights = [w.astype(np.int32)[None] for w in np.split(weight, matrix.indptr[1:-1])]
        blocks[c.target].add_synapse(synapse)
        axon = Axon(matrix.shape[0], c.name)
        axon.target = synapse
        sources[c.source].add_axon(axon)
    return EmulatorInterface(
        SimpleNamespace(
            blocks=list(blocks.values()),
            inputs=[sources[node.name] for node in program.inputs],
            probes=[],
            dt=0.001,
        ),
        seed=0,
    )


def _set_registers(compartment: Any, p: Population, samples: int) -> None:
    def each(values: NDArray[Any]) -> NDArray[np.int32]:
        return np.tile(values.reshape(-1), samples).astype(np.int32)

    compartment.decay_u, compartment.decay_v = each(p.du), each(p.dv)
    compartment.scale_u = compartment.scale_v = False
    compartment.vth = each(p.vth) << STATE_SHIFT
    compartment.bias = each(p.bias)
    compartment.refract_delay = np.full(len(compartment.bias), p.refractory + 1, np.int32)
    compartment.vmin, compartment.vmax = -UV_LIMIT + 1, UV_LIMIT - 1
