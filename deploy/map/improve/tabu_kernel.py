"""The compiled steps of `deploy.map.place.tabu_search`, whose `_walk` is their readable twin.

Imported only where numba is installed.
"""

from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from deploy.compiled import can_cache

Array = NDArray[Any]


@njit(nogil=True, cache=can_cache())
def walk(
    flow: Array, apart: Array, pull: Array, slot: Array, cost: int, best: Array, least: int,
    tenures: Array,
) -> int:  # fmt: skip
    """The least cost, of `best`, after a step for each row of tenures [steps, 2].

    flow, apart, pull, slot, cost: of a state (`apart` of its slots), which is moved along. best, least:
    the best placement so far and its cost.
    """
    n = len(slot)
    until = np.zeros((n, n), np.int64)
    for step in range(1, len(tenures) + 1):
        r, s, lowest = 0, 1, np.iinfo(np.int64).max
        for i in range(n):
            for j in range(i + 1, n):
                delta = (
                    pull[i, j] + pull[j, i] + 2 * flow[i, j] * apart[i, j] - pull[i, i] - pull[j, j]
                )
                if delta < lowest and (
                    cost + delta < least or until[i, slot[j]] < step or until[j, slot[i]] < step
                ):
                    r, s, lowest = i, j, delta
        until[r, slot[r]] = step + tenures[step - 1, 0]
        until[s, slot[s]] = step + tenures[step - 1, 1]
        cost += pull[r, s] + pull[s, r] + 2 * flow[r, s] * apart[r, s] - pull[r, r] - pull[s, s]
        for i in range(n):
            change = flow[i, s] - flow[i, r]
            if change:
                for j in range(n):
                    pull[i, j] += change * (apart[r, j] - apart[s, j])
        for i in range(n):
            pull[i, r], pull[i, s] = pull[i, s], pull[i, r]
        for j in range(n):
            apart[r, j], apart[s, j] = apart[s, j], apart[r, j]
        for i in range(n):
            apart[i, r], apart[i, s] = apart[i, s], apart[i, r]
        slot[r], slot[s] = slot[s], slot[r]
        if cost < least:
            least = cost
            best[:] = slot
    return least
