"""The compiled twin of `edge_counts.counted_from_states`: one pass over recorded u and v.

For example a neuron that forgets both (mu = mv = 0), without bias, whose sum may not pass 2:

    u        [128, 320], as recorded after two steps
    sums     [128 >> 6, 320 >> 6] = [2, 5], of which one is beyond: counts[0] += 1
    with mu = 4096, which keeps u: (320 − 128) >> 6 = 3, beyond as well
    drive    u + bias = [128, 320], and v the same, each held against limits of its own

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
def count(
    u: Array, v: Array, mu: Array, mv: Array, bias: Array, limits: Array, counts: Array
) -> None:
    """counts[e] += values beyond limits[e], of the edges sum, current, drive, potential, clipped v.

    u, v: int32 [samples, time, size], as recorded. mu, mv: 4096 − decay, int64 [size]; bias: int64
    [size]. limits: int64 [5, 2]. counts: int64 [5].
    """
    samples, timesteps, size = u.shape
    (a0, a1), (b0, b1), (c0, c1), (d0, d1), (e0, e1) = limits
    for sample in range(samples):
        for t in range(timesteps):
            # Scalars, not an array: then the loop is vectorised.
            sums = currents = drives = potentials = clipped = 0
            for i in range(size):
                kept_u, kept_v = np.int64(0), np.int64(0)
                if t:
                    x, y = mu[i] * u[sample, t - 1, i], mv[i] * v[sample, t - 1, i]
                    # Towards zero: a negative product gets all but one of what the shift drops.
                    kept_u, kept_v = (x + ((x >> 63) & 4095)) >> 12, (y + ((y >> 63) & 4095)) >> 12
                now = np.int64(u[sample, t, i])
                a = ((((now - kept_u) >> 6) + 131072) & 262143) - 131072
                current = kept_u + (a << 6)
                drive = now + bias[i]
                potential = kept_v + drive
                held = min(max(potential, -8388607), 8388607)
                sums += (a < a0) | (a > a1)
                currents += (current < b0) | (current > b1)
                drives += (drive < c0) | (drive > c1)
                potentials += (potential < d0) | (potential > d1)
                clipped += (held < e0) | (held > e1)
            counts[0] += sums
            counts[1] += currents
            counts[2] += drives
            counts[3] += potentials
            counts[4] += clipped
