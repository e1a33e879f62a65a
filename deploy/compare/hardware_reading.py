"""How a chip is read: the conventions in which a recording of hardware differs from a trace.

Found on the public recordings of Loihi in NIR's and nengo-loihi's repositories: the membrane potential
of a neuron reads 128 in the step in which it fires, and everything comes a step later per layer.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from deploy.errors import BadInput

Arrays = Mapping[str, NDArray[Any]]

V_AT_SPIKE = 128
"""What the hardware reads of v where the neuron fires, and the trace holds the reset's 0."""


def hardware_reading(
    trace: Arrays, recording: Arrays, latency: Mapping[str, int]
) -> tuple[dict[str, NDArray[Any]], dict[str, NDArray[Any]]]:
    """A trace as the hardware would read it, and the recording in the trace's steps, to be compared.

    trace, recording: {"NAME/s": [samples, time, *shape], ...}, the trace in sample time, the recording
    as it was read. latency: {NAME: steps by which a population lags}, of
    `deploy.program.pipeline_latency`. Row t of the recording of a population of latency k is sample
    step t − k, and both are cut to the steps that
    they share; of a trace, only what was recorded is kept (a chip has few probes).
    Raises BadInput naming the entry that the trace does not hold, a population without latency, a v
    whose spikes are not in the trace, and a recording shorter than the trace.
    """
    ours: dict[str, NDArray[Any]] = {}
    theirs: dict[str, NDArray[Any]] = {}
    for entry, read in recording.items():
        name, _, quantity = entry.rpartition("/")
        if entry not in trace:
            raise BadInput(f"entry '{entry}' of the recording is not in the trace")
        if name not in latency:
            raise BadInput(f"node '{name}': no population of this name in the program")
        values, lag = trace[entry], latency[name]
        if quantity == "v":
            if f"{name}/s" not in trace:
                raise BadInput(
                    f"entry '{entry}': the trace has no '{name}/s', which say where v reads {V_AT_SPIKE}"
                )
            values = np.where(trace[f"{name}/s"] != 0, V_AT_SPIKE, values)
        steps = values.shape[1]
        if read.shape[1] < steps or steps <= lag:
            raise BadInput(
                f"entry '{entry}': a recording of {read.shape[1]} steps of a trace of {steps}, "
                f"which it lags by {lag}"
            )
        theirs[entry] = read[:, lag : lag + steps]
        ours[entry] = values[:, : theirs[entry].shape[1]]
    return ours, theirs
