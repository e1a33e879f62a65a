"""A program's populations and connections as the keyword arguments of Lava's processes."""

from typing import Any

import numpy as np

from deploy.program import Dense, Input, IntArray, Population, Program, Shape


def neuron_arguments(
    population: Population, latency: int, timesteps: int, shape: Shape
) -> dict[str, Any]:
    """Arguments of LIFReset for a population of `shape` ([*shape] or flattened, [size]).

    State is cleared before the population's first step of every sample: LIFReset clears it when
    step % interval == offset, with steps counted from 1. An integrator is a neuron whose threshold
    register is at its maximum.
    """
    registers = {r: _register(getattr(population, r), shape) for r in ("du", "dv", "vth")}
    return registers | {
        "shape": shape,
        "bias_mant": population.bias_mant.reshape(shape),
        "bias_exp": population.bias_exp.reshape(shape),
        "reset_interval": timesteps,
        "reset_offset": (latency + 1) % timesteps,
        "name": population.name,
    }


def synapse_arguments(program: Program, connection: Dense) -> dict[str, Any]:
    """Arguments of Lava's Dense; the sign mode is explicit, since Lava otherwise guesses it."""
    from lava.utils.weightutils import SignMode

    return {
        "weights": connection.weight,
        "weight_exp": connection.exponent,
        "num_weight_bits": 8,
        "sign_mode": SignMode.MIXED,
        "num_message_bits": message_bits(program.source(connection.source)),
        "name": connection.name,
    }


def message_bits(source: Input | Population) -> int:
    """Bits of a graded message, sign included; 0 for binary spikes, which is what Dense calls them."""
    if isinstance(source, Population) or source.binary:
        return 0
    low, high = int(source.low.min()), int(source.high.max())
    return max(abs(low), abs(high)).bit_length() + (low < 0)


def loose_parts(program: Program) -> list[str]:
    """One sender of each part that no connection joins to the rest; empty where all are joined.

    Lava silently leaves out processes that it cannot reach from the one it runs. A neuron that
    every part reaches through weights of 0 joins them.
    """
    part = {node.name: node.name for node in program.sources}
    for c in program.connections:
        old, new = part[c.source], part[c.target]
        part = {name: new if of == old else of for name, of in part.items()}
    parts = sorted(set(part.values()))
    return parts if len(parts) > 1 else []


def _register(values: IntArray, shape: Shape) -> int | IntArray:
    """One number where a register is uniform, as people write it in Lava, else an array."""
    if (values == values.flat[0]).all():
        return int(values.flat[0])
    return np.ascontiguousarray(values).reshape(shape)
