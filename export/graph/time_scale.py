"""Whether a graph's time constants suit its step: files state them in seconds, milliseconds or steps."""

from math import floor, log10

import numpy as np
from numpy.typing import NDArray

from export.graph.graph import Graph

LONG = 1e4
"""Steps: a neuron with a longer time constant loses less in a step than a register of 12 bits can say
(1/4096); no sample is as long, so that it was meant in another unit."""


def long_note(graph: Graph, dt: float) -> str | None:
    """What to say of a graph all of whose time constants are above LONG steps of dt seconds, or None."""
    steps = _time_constants(graph)
    if not steps.size or steps.min() <= LONG:
        return None
    return f"all time constants are above {LONG:g} steps: {dt_note(graph, dt)}"


def dt_note(graph: Graph, dt: float) -> str:
    """The `--dt` that would make sense for a graph, beside what its values are at dt seconds."""
    steps = _time_constants(graph)
    if steps.size:
        tau = steps * dt
        least = float(tau.min())
        # What is stated in steps or milliseconds is at least one of them.
        step = 1.0 if 1 <= least <= LONG else 10.0 ** (floor(log10(least)) - 1)
        return (
            f"they are {_span(steps)} steps of --dt {dt:g}; --dt {step:g} would make them "
            f"{_span(tau / step)} steps"
            + (", if the file states them in steps" if step == 1 else "")
        )
    # Without a time constant, dt is in what a message adds to the potential: unit = dt·r.
    unit = float(np.median(np.concatenate([n.unit.reshape(-1) for n in graph.neurons])))
    if abs(unit - 1) < 1e-6:
        return f"without time constants, --dt {dt:g} changes nothing of that"
    return (
        f"a message of weight 1 adds {unit:.3g} to a potential under --dt {dt:g}; --dt {dt / unit:.3g} "
        "would make that 1"
    )


def _time_constants(graph: Graph) -> NDArray[np.float64]:
    """Of neurons that keep a part of their state from step to step, in steps."""
    shares = np.concatenate([x.reshape(-1) for n in graph.neurons for x in (n.du, n.dv)])
    return np.asarray(1 / shares[(shares > 0) & (shares < 1)])


def _span(values: NDArray[np.float64]) -> str:
    low, high = (f"{value:.3g}" for value in (values.min(), values.max()))
    return low if low == high else f"{low} to {high}"
