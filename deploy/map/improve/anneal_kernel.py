"""The compiled loop of `deploy.map.improve.anneal`, which says what it does.

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
def anneal(
    first: Array,
    incident: Array,
    weight: Array,
    indptr: Array,
    pins: Array,
    size: Array,
    core: Array,
    held: Array,
    room: Array,
    temperatures: Array,
    logarithms: Array,
    proposals: int,
    seed: int,
    best: Array,
) -> None:
    """Anneal `core`, of each vertex, into `best`; so many proposals at each temperature.

    first, incident: the hyperedges of each vertex; weight, indptr, pins: of each hyperedge. held: its
    pins on each core, [edges, cores]. room: of each core. logarithms: −ln of evenly spaced numbers
    in 0..1, a power of two of them.
    """
    vertices, cores = len(core), held.shape[1]
    state = np.uint64(seed * 2 + 1) * np.uint64(0x9E3779B97F4A7C15)
    # Vertices of each core, for partners of exchanges.
    lists = np.empty((cores, vertices), np.int32)
    count = np.zeros(cores, np.int64)
    at = np.empty(vertices, np.int64)
    for vertex in range(vertices):
        k = core[vertex]
        lists[k, count[k]] = vertex
        at[vertex] = count[k]
        count[k] += 1
    change, least = 0, 0
    table = len(logarithms)
    for t in range(len(temperatures)):
        temperature = temperatures[t]
        for _ in range(proposals):
            state ^= state << np.uint64(13)
            state ^= state >> np.uint64(7)
            state ^= state << np.uint64(17)
            r = state * np.uint64(0x2545F4914F6CDD1D)
            v = np.int64((r >> np.uint64(40)) * np.uint64(vertices) >> np.uint64(24))
            degree = first[v + 1] - first[v]
            if degree == 0:
                continue
            here = core[v]
            e = incident[first[v] + np.int64(r & np.uint64(0xFFFFF)) % degree]
            span = indptr[e + 1] - indptr[e]
            p = pins[indptr[e] + np.int64((r >> np.uint64(20)) & np.uint64(0xFFFFF)) % span]
            there = core[p]
            if there == here:
                continue
            state ^= state << np.uint64(13)
            state ^= state >> np.uint64(7)
            state ^= state << np.uint64(17)
            r = state * np.uint64(0x2545F4914F6CDD1D)
            bound = temperature * logarithms[np.int64(r & np.uint64(table - 1))]
            other = -1
            if room[there] < size[v]:
                pick = np.int64((r >> np.uint64(16)) & np.uint64(0xFFFFFF)) % count[there]
                other = lists[there, pick]
                if room[there] + size[other] < size[v] or room[here] + size[v] < size[other]:
                    continue
            delta = 0
            for i in range(first[v], first[v + 1]):
                e = incident[i]
                if held[e, there] == 0:
                    delta += weight[e]
                if held[e, here] == 1:
                    delta -= weight[e]
            if other < 0:
                if delta > bound:
                    continue
                for i in range(first[v], first[v + 1]):
                    held[incident[i], here] -= 1
                    held[incident[i], there] += 1
            else:
                for i in range(first[v], first[v + 1]):
                    held[incident[i], here] -= 1
                    held[incident[i], there] += 1
                for i in range(first[other], first[other + 1]):
                    e = incident[i]
                    if held[e, here] == 0:
                        delta += weight[e]
                    if held[e, there] == 1:
                        delta -= weight[e]
                if delta > bound:
                    for i in range(first[v], first[v + 1]):
                        held[incident[i], here] += 1
                        held[incident[i], there] -= 1
                    continue
                for i in range(first[other], first[other + 1]):
                    held[incident[i], there] -= 1
                    held[incident[i], here] += 1
            change += delta
            core[v] = there
            room[here] += size[v]
            room[there] -= size[v]
            last = lists[here, count[here] - 1]
            lists[here, at[v]] = last
            at[last] = at[v]
            count[here] -= 1
            lists[there, count[there]] = v
            at[v] = count[there]
            count[there] += 1
            if other >= 0:
                core[other] = here
                room[there] += size[other]
                room[here] -= size[other]
                last = lists[there, count[there] - 1]
                lists[there, at[other]] = last
                at[last] = at[other]
                count[there] -= 1
                lists[here, count[here]] = other
                at[other] = count[here]
                count[here] += 1
            if change < least and temperature <= temperatures[-1] * 2:
                least = change
                best[:] = core
