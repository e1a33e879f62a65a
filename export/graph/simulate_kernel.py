"""The compiled loops of `export.graph.simulate`: synapses of what is sent, one by one, then neurons.

For example a source that sends 3 and has two synapses of weights 2 and −1 adds 6 to one target's sum
and −3 to the other's; one that sends 0 costs a comparison.

Imported only where numba is installed. It shares no constant with another file, since numba's cache
sees changes of this file only.
"""

from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from deploy.compiled import can_cache

Array = NDArray[Any]


@njit(nogil=True, cache=can_cache())
def add_sums(
    sent: Array, first: int, indptr: Array, targets: Array, weight: Array, sums: Array
) -> None:
    """sums[t] = Σ weight·message over the synapses of what is sent at step first + t.

    sent: uint8 or float64 [time, source size]; steps before 0 send nothing. indptr, targets, weight: the
    synapses of each source. sums: float64 [steps, target size].
    """
    for t in range(len(sums)):
        row = sums[t]
        row[:] = 0
        if first + t < 0:
            continue
        now = sent[first + t]
        for j in range(len(now)):
            if now[j] == 0:
                continue
            message = np.float64(now[j])
            for k in range(indptr[j], indptr[j + 1]):
                row[targets[k]] += weight[k] * message


@njit(nogil=True, cache=can_cache())
def take_steps(
    sums: Array,
    keep_u: Array,
    keep_v: Array,
    bias: Array,
    threshold: Array,
    u: Array,
    v: Array,
    spikes: Array,
) -> None:
    """Some steps of one population; u, v: float64 [size], updated. spikes: uint8 [steps, size].

    sums: float64 [paths, steps, size]. keep_u, keep_v: 1 − decay. threshold: infinite for integrators.
    """
    for t in range(len(spikes)):
        for i in range(len(u)):
            u[i] = keep_u[i] * u[i]
        for p in range(len(sums)):
            for i in range(len(u)):
                u[i] += sums[p, t, i]
        for i in range(len(u)):
            potential = keep_v[i] * v[i] + u[i] + bias[i]
            fired = potential > threshold[i]
            spikes[t, i] = fired
            v[i] = 0.0 if fired else potential
