"""Cores onto the mesh: where each core goes so that messages travel few hops.

The cost is Σ messages · distance (`deploy.hardware.mesh`), a quadratic assignment. Up to a few hundred
cores it is searched by robust tabu search (Taillard 1991) from several starts; above that by moving
each core to the middle of those it talks with, in exchange with the core there, where that pays
(force-directed). Only as many chips are used as the cores need, and a compact part of a chip.

For example cores A, B, C at routers 0, 1, 2 of a row; A and C exchange 10 messages, B and C one:

    A B C    10·2 + 1·1 = 21; exchanging B and C saves most
    A C B    10·1 + 1·1 = 11; every further exchange costs more, or as much (B C A)

Here swaps alone end. Tabu search takes the least bad exchange all the same, and forbids cores their
last routers for some steps, so that it leaves such a minimum behind; it keeps the best it has seen.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from deploy.arithmetic.index_sets import Ints
from deploy.hardware.chip import Chip, amount
from deploy.hardware.mesh import coordinates, distances
from deploy.map.cut.orders import hilbert
from deploy.map.improve.anneal import available

Traffic = tuple[Ints, Ints, Ints]

# Slots that tabu search takes on; its steps a slot, and what a start may cost, in slots² · steps.
_DENSE = 320
_STEPS = 100
_WORK = 3_000_000
_STARTS = 4
# Exchanges that the force-directed search considers.
_EXCHANGES = 200_000


def arrange(chip: Chip, cores: int, traffic: Traffic, along: Ints, seed: int = 0) -> Ints:
    """The index of each core, int64 [cores], with few hops.

    traffic: (from, to, messages) of pairs of cores. along: the cores in an order in which
    neighbours talk with each other, a permutation.
    """
    slots = compact_slots(chip, cores)
    start = np.empty(cores, np.int64)
    start[along] = np.arange(cores)
    if cores < 2 or not len(traffic[0]):
        return slots[start]
    if len(slots) > _DENSE:
        return _force_directed(chip, slots, start, traffic)
    flow = np.zeros((len(slots), len(slots)), np.int64)
    np.add.at(flow, (traffic[0], traffic[1]), traffic[2])
    flow += flow.T
    apart = distances(chip, slots).cost(chip)
    rng = np.random.default_rng(seed)
    rest = np.arange(cores, len(slots))
    starts = [np.concatenate([start, rest]), np.arange(len(slots))]
    starts += [rng.permutation(len(slots)) for _ in range(_STARTS - len(starts))]
    steps = min(_STEPS * len(slots), _WORK // len(slots) ** 2)
    found = [tabu_search(flow, apart, s, rng, steps) for s in starts]
    return slots[min(found, key=lambda f: f[0])[1][:cores]]


def compact_slots(chip: Chip, cores: int) -> Ints:
    """Indices of at least `cores` cores close together, in an order in which neighbours are near."""
    per_chip, per_router = amount(chip.cores_per_chip), amount(chip.cores_per_router)
    needed = -(-cores // per_chip)
    grid = np.arange(chip.chips)
    y, x = np.divmod(grid, amount(chip.chip_columns))
    chips = grid[np.argsort(hilbert(y, x), kind="stable")][:needed]
    y, x = np.divmod(np.arange(per_chip) // per_router, amount(chip.mesh_columns))
    within = np.arange(per_chip)
    if needed == 1:
        # Some room to spare, in the north-west corner.
        spare = min(per_chip, cores + cores // 8 + 1)
        within = np.sort(np.lexsort((within, x + y, np.maximum(x, y)))[:spare])
    within = within[np.argsort(hilbert(y[within], x[within]), kind="stable")]
    return (chips[:, None] * per_chip + within[None, :]).reshape(-1)


def tabu_search(
    flow: Ints, apart: Ints, start: Ints, rng: np.random.Generator, steps: int
) -> tuple[int, Ints]:
    """(cost, slot of each core) of the best found in so many steps of robust tabu search.

    Without a step: after the best exchange of two, again and again, while one pays.

    flow, apart: int64 [n, n], symmetric, diagonals zero: messages of cores, distances of slots.
    start: int64 [n], the slot of each core; cores without messages stand for empty slots.
    """
    state = _State(flow, apart, start)
    cost, best = _search(state)
    n = len(start)
    tenures = rng.integers(max(n * 9 // 10, 1), n * 11 // 10 + 2, (steps, 2))
    if not steps or not available():
        return _walk(state, cost, best, tenures)
    from deploy.map.improve.tabu_kernel import walk

    least = walk(state.flow, state.apart, state.pull, state.slot, state.cost, best, cost, tenures)
    return int(least), best


def _walk(state: "_State", least: int, best: Ints, tenures: Ints) -> tuple[int, Ints]:
    """(cost, slot of each core) of the best seen after a step for each row of tenures [steps, 2].

    least, best: of what was seen before.
    """
    n = len(best)
    until = np.zeros((n, n), np.int64)  # [core, slot]: the step up to which it may not go back
    rows = np.arange(n)
    upper = np.triu_indices(n, 1)
    for step, tenure in enumerate(tenures, 1):
        delta = state.deltas()[upper]
        back = until[rows[:, None], state.slot[None, :]]  # core r to the slot of core s
        forbidden = ((back >= step) & (step <= back.T))[upper]
        delta = np.where(forbidden & (state.cost + delta >= least), np.iinfo(np.int64).max, delta)
        pick = int(np.argmin(delta))
        r, s = int(upper[0][pick]), int(upper[1][pick])
        until[r, state.slot[r]] = step + tenure[0]
        until[s, state.slot[s]] = step + tenure[1]
        state.swap(r, s)
        if state.cost < least:
            least, best = state.cost, state.slot.copy()
    return least, best


class _State:
    """A placement, its cost, and what every exchange would change, updated in O(n²)."""

    def __init__(self, flow: Ints, apart: Ints, slot: Ints) -> None:
        self.flow, self.slot = flow, slot.copy()
        self.apart = apart[np.ix_(slot, slot)]
        self.pull = flow @ self.apart
        self.cost = int(np.trace(self.pull)) // 2

    def deltas(self) -> Ints:
        own = np.diag(self.pull)
        both = self.pull + self.flow * self.apart
        return both + both.T - own[:, None] - own[None, :]

    def swap(self, r: int, s: int) -> None:
        crossed = int(self.pull[r, s] + self.pull[s, r]) + 2 * int(
            self.flow[r, s] * self.apart[r, s]
        )
        self.cost += crossed - int(self.pull[r, r]) - int(self.pull[s, s])
        self.pull += np.outer(self.flow[:, s] - self.flow[:, r], self.apart[r] - self.apart[s])
        self.pull[:, [r, s]] = self.pull[:, [s, r]]
        self.apart[[r, s]] = self.apart[[s, r]]
        self.apart[:, [r, s]] = self.apart[:, [s, r]]
        self.slot[[r, s]] = self.slot[[s, r]]


def _search(state: _State) -> tuple[int, Ints]:
    while True:
        delta = state.deltas()
        r, s = np.unravel_index(int(np.argmin(delta)), delta.shape)
        if delta[r, s] >= 0:
            return state.cost, state.slot.copy()
        state.swap(int(r), int(s))


@dataclass(frozen=True)
class _Neighbours:
    indptr: Ints
    others: Ints
    messages: Ints

    def of(self, core: int) -> tuple[Ints, Ints]:
        here = slice(self.indptr[core], self.indptr[core + 1])
        return self.others[here], self.messages[here]


@dataclass(frozen=True)
class _Routers:
    """The slots of each router, one after another: those of router i begin at first[i].

    at: coordinates of each slot, [4, slots]. number: of each router, y · columns + x, ascending.
    """

    at: Ints
    slots: Ints
    number: Ints
    first: Ints


def _force_directed(chip: Chip, slots: Ints, start: Ints, traffic: Traffic) -> Ints:
    cores = len(start)
    near = _neighbours(cores, traffic)
    # Scaled, so that what a message costs is the sum of the differences.
    crossing = amount(chip.chip_crossing)
    at = coordinates(chip, slots) * np.array([1, 1, crossing, crossing])[:, None]
    router = at[1] * (int(at[0].max()) + 1) + at[0]
    by_router = np.argsort(router, kind="stable")
    number, first = np.unique(router[by_router], return_index=True)
    mesh = _Routers(at, by_router, number, np.append(first, len(slots)))
    held = np.full(len(slots), -1, np.int64)
    held[start] = np.arange(cores)
    slot = start.copy()
    strength = np.bincount(traffic[0], traffic[2], cores) + np.bincount(
        traffic[1], traffic[2], cores
    )
    waiting = np.argsort(-strength, kind="stable")
    turn = 0
    for _ in range(max(1, _EXCHANGES // cores)):
        moved, turn = _round(mesh, near, strength, waiting, slot, held, turn)
        if not moved:
            break
    return slots[slot]


def _round(
    mesh: _Routers, near: _Neighbours, strength: NDArray[Any], waiting: Ints,
    slot: Ints, held: Ints, turn: int,
) -> tuple[int, int]:  # fmt: skip
    """As `_settle`, compiled where that can be."""
    if not available():
        return _settle(mesh, near, strength, waiting, slot, held, turn)
    from deploy.map.improve.settle_kernel import settle

    moved, turn = settle(
        mesh.at, slot, held, waiting, strength, near.indptr, near.others, near.messages,
        mesh.slots, mesh.number, mesh.first, turn,
    )  # fmt: skip
    return moved, turn


def _settle(
    mesh: _Routers, near: _Neighbours, strength: NDArray[Any], waiting: Ints,
    slot: Ints, held: Ints, turn: int,
) -> tuple[int, int]:  # fmt: skip
    """(exchanges, turn) after each waiting core went to the middle of those it talks with, where that pays.

    slot: of each core, held: the core of each slot, or −1: both are moved along. turn: of the slots of
    a router, which is tried next.
    """
    at, columns, moved = mesh.at, int(mesh.at[0].max()) + 1, 0
    for core in waiting.tolist():
        others, messages = near.of(core)
        if not len(others):
            continue
        ends = at[:, slot[others]]
        wish_x, wish_y = (ends[:2] @ messages / strength[core] + 0.5).astype(np.int64).tolist()
        wish = wish_y * columns + wish_x
        i = min(int(np.searchsorted(mesh.number, wish)), len(mesh.number) - 1)
        turn += 1
        there = int(mesh.slots[mesh.first[i] + turn % (mesh.first[i + 1] - mesh.first[i])])
        here, other = int(slot[core]), int(held[there])
        if here == there:
            continue
        apart_now = messages if other < 0 else messages * (others != other)
        gain = _gain(ends, apart_now, at[:, here], at[:, there])
        if other >= 0:
            others, messages = near.of(other)
            apart_now = messages * (others != core)
            gain += _gain(at[:, slot[others]], apart_now, at[:, there], at[:, here])
        if gain < 0:
            slot[core], held[there] = there, core
            held[here] = other
            if other >= 0:
                slot[other] = here
            moved += 1
    return moved, turn


def _gain(ends: Ints, messages: Ints, here: Ints, there: Ints) -> int:
    """What a move of one core changes: `ends` of its messages [4, cores], its own place before and after.

    messages: none to the core that it changes places with, to which its distance stays.
    """
    before, after = np.abs(ends - here[:, None]), np.abs(ends - there[:, None])
    return int(((after - before) @ messages).sum())


def _neighbours(cores: int, traffic: Traffic) -> _Neighbours:
    a, b = np.concatenate([traffic[0], traffic[1]]), np.concatenate([traffic[1], traffic[0]])
    order = np.argsort(a, kind="stable")
    indptr = np.concatenate([[0], np.cumsum(np.bincount(a, minlength=cores))])
    return _Neighbours(indptr, b[order], np.concatenate([traffic[2], traffic[2]])[order])
