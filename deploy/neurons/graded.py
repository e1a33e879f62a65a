"""Graded messages without memory, as lava-nc 0.10.0's lava.proc.graded sends them."""

import numpy as np
from numpy.typing import NDArray

from deploy.neurons.populations import Graded

Int64 = NDArray[np.int64]


def messages(p: Graded, a: Int64) -> Int64:
    """The synaptic sums beyond the threshold, unscaled and unclipped, else 0."""
    return np.where((a if p.rectified else np.abs(a)) > p.vth, a, 0)
