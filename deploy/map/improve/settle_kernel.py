"""The compiled round of `deploy.map.place._force_directed`, whose `_settle` is its readable twin.

Imported only where numba is installed.
"""

from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from deploy.compiled import can_cache

Array = NDArray[Any]


@njit(nogil=True, cache=can_cache())
def settle(
    at: Array, slot: Array, held: Array, waiting: Array, strength: Array, indptr: Array,
    others: Array, messages: Array, by_router: Array, routers: Array, first: Array, turn: int,
) -> tuple[int, int]:  # fmt: skip
    """(exchanges, turn) after a round of the waiting cores; slot and held are moved along."""
    columns, moved = at[0].max() + 1, 0
    for core in waiting:
        if indptr[core] == indptr[core + 1]:
            continue
        sum_x, sum_y = 0, 0
        for k in range(indptr[core], indptr[core + 1]):
            sum_x += at[0, slot[others[k]]] * messages[k]
            sum_y += at[1, slot[others[k]]] * messages[k]
        wish_x = np.int64(sum_x / strength[core] + 0.5)
        wish_y = np.int64(sum_y / strength[core] + 0.5)
        i = min(np.searchsorted(routers, wish_y * columns + wish_x), len(routers) - 1)
        turn += 1
        there = by_router[first[i] + turn % (first[i + 1] - first[i])]
        here = slot[core]
        other = held[there]
        if here == there:
            continue
        gain = _gain(at, slot, indptr, others, messages, core, other, here, there)
        if other >= 0:
            gain += _gain(at, slot, indptr, others, messages, other, core, there, here)
        if gain < 0:
            slot[core], held[there], held[here] = there, core, other
            if other >= 0:
                slot[other] = here
            moved += 1
    return moved, turn


@njit(nogil=True, cache=can_cache())
def _gain(
    at: Array, slot: Array, indptr: Array, others: Array, messages: Array,
    core: int, partner: int, here: int, there: int,
) -> int:  # fmt: skip
    gain = 0
    for k in range(indptr[core], indptr[core + 1]):
        if others[k] != partner:
            end = slot[others[k]]
            for axis in range(4):
                gain += messages[k] * (
                    abs(at[axis, end] - at[axis, there]) - abs(at[axis, end] - at[axis, here])
                )
    return gain
