"""`Plan`: a program's populations in blocks, with registers and weights laid out for the kernels.

A block is a strongly connected component of the network: one population without a connection to
itself, which runs for all its steps at once, or a cycle, which must go step by step.
"""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from deploy.errors import BadInput
from deploy.populations import is_plain
from deploy.program import Dense, Population, Program
from deploy.proof import prove

# While |a| stays below this, |u| ≤ 2^23 holds after one wrap, and every value of the recurrence
# but the decay's product fits 32 bits.
_NARROW_SUM = 2**18


@dataclass(frozen=True, eq=False)
class Synapses:
    """A connection as the kernels read it.

    rows: int8 [source size + 1, target size], the even weights halved; the last row is zero and
    pads groups of rows. exact: the arithmetic in which every partial sum of the *whole* weights is
    exact. start, source_start: of the target and, inside a block, the source in their blocks.
    """

    connection: Dense
    rows: NDArray[np.int8]
    exact: str
    start: int
    source_start: int
    _matrices: dict[np.dtype[Any], NDArray[Any]] = field(default_factory=dict, repr=False)

    @property
    def shift(self) -> int:
        """The left shift of a sum of halved rows: one bit more than the weight exponent."""
        return self.connection.exponent + 1

    def matrix(self, dtype: np.dtype[Any]) -> NDArray[Any]:
        """The weights [source size, target size] for a matrix product, made once."""
        found = self._matrices.get(dtype)
        if found is None:
            found = self._matrices[dtype] = self.connection.weight.T.astype(dtype, order="C")
        return found


@dataclass(frozen=True, eq=False)
class Block:
    """Populations that need each other's messages, side by side on one axis of `size` neurons.

    mu, mv: 4096 − decay of u and v; bias; threshold: vth << 6;
    each int32 (where `narrow`: no sum of the program can need more) or int64 [size].
    outside, inside: connections from other blocks or inputs, and among its own populations.
    spans, table, flat: the populations, and the inside connections with their rows in one array,
    as `deploy.fast.kernels.run_block` describes them.
    """

    populations: tuple[Population, ...]
    starts: tuple[int, ...]
    size: int
    narrow: bool
    mu: NDArray[Any]
    mv: NDArray[Any]
    bias: NDArray[Any]
    threshold: NDArray[Any]
    outside: tuple[Synapses, ...]
    inside: tuple[Synapses, ...]
    spans: NDArray[np.int64]
    table: NDArray[np.int64]
    flat: NDArray[np.int8]


@dataclass(frozen=True, eq=False)
class Plan:
    """A program ready to be emulated many times: see `prepare`."""

    program: Program
    blocks: tuple[Block, ...]


def prepare(program: Program) -> Plan:
    """Order a program into blocks and lay out its weights; later changes of its arrays are unseen.

    Raises BadInput naming a connection that is not dense.
    """
    proof = prove(program, timesteps=0)
    sums = {name: edges["synaptic sum beyond 21 bits"].range for name, edges in proof.edges.items()}
    return Plan(
        program,
        tuple(_block(program, names, proof.arithmetic, sums) for names in _components(program)),
    )


def _block(
    program: Program,
    names: tuple[str, ...],
    arithmetic: dict[str, str],
    sums: dict[str, tuple[int, int]],
) -> Block:
    populations = tuple(p for name in names if is_plain(p := program.population(name)))
    if len(populations) < len(names):
        raise BadInput(f"nodes {list(names)}: only plain populations are planned; use emulate_fast")
    ends = np.cumsum([p.size for p in populations]).tolist()
    starts = dict(zip(names, [0, *ends[:-1]], strict=True))
    incoming = [(name, c) for name in names for c in program.into(name)]
    for _, c in incoming:
        if not isinstance(c, Dense):
            raise BadInput(f"node '{c.name}': only dense connections are planned; use emulate_fast")
    synapses = [
        Synapses(c, _rows(c), arithmetic[c.name], starts[name], starts.get(c.source, 0))
        for name, c in incoming
        if isinstance(c, Dense)
    ]
    # Shifts are 7 bits at most, so sums fit 32 bits before theirs too.
    narrow = all(sums[name][0] >= -_NARROW_SUM and sums[name][1] <= _NARROW_SUM for name in names)
    dtype = np.int32 if narrow else np.int64

    def joined(values: list[Any]) -> NDArray[Any]:
        return np.concatenate([np.asarray(v, dtype).reshape(-1) for v in values])

    inside = tuple(s for s in synapses if s.connection.source in starts)
    return Block(
        populations,
        tuple(starts.values()),
        ends[-1],
        narrow,
        joined([4095 - p.du for p in populations]),
        joined([4096 - p.dv for p in populations]),
        joined([p.bias for p in populations]),
        joined([np.left_shift(p.vth, 6) for p in populations]),
        tuple(s for s in synapses if s.connection.source not in starts),
        inside,
        *_tables(populations, starts, inside),
    )


def _tables(
    populations: tuple[Population, ...], starts: dict[str, int], inside: tuple[Synapses, ...]
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int8]]:
    spans: list[tuple[int, ...]] = []
    table: list[tuple[int, ...]] = []
    offset = 0
    flat = _aligned(max(1, sum(s.rows.size for s in inside)))
    for p in populations:
        mine = [s for s in inside if s.connection.target == p.name]
        spans.append((starts[p.name], starts[p.name] + p.size, len(table), len(table) + len(mine)))
        for s in mine:
            table.append((s.source_start, s.rows.shape[0] - 1, s.connection.delay, s.shift, offset))
            flat[offset : offset + s.rows.size] = s.rows.reshape(-1)
            offset += s.rows.size
    return np.array(spans, np.int64), np.array(table, np.int64).reshape(-1, 5), flat


def _rows(c: Dense) -> NDArray[np.int8]:
    width, height = c.weight.shape
    rows = _aligned((height + 1) * width).reshape(height + 1, width)
    rows[:-1] = c.weight.T >> 1
    return rows


def _aligned(size: int) -> NDArray[np.int8]:
    """Zeros that begin a cache line: rows that straddle lines take a tenth longer to add."""
    memory = np.zeros(size + 63, np.int8)
    first = -memory.ctypes.data % 64
    return memory[first : first + size]


def _components(program: Program) -> list[tuple[str, ...]]:
    """Strongly connected components, each after those that reach it; names in program order."""
    names = program.order
    index = {name: i for i, name in enumerate(names)}
    reach = np.eye(len(names), dtype=np.float32)
    for c in program.connections:
        if c.source in index:
            reach[index[c.source], index[c.target]] = 1
    while True:
        further = np.minimum(reach @ reach, 1)
        if np.array_equal(further, reach):
            break
        reach = further
    together = (reach * reach.T).astype(bool)
    # In a component every population is reached from the same number of populations, and a later
    # component from strictly more than those that reach it.
    firsts = [i for i in range(len(names)) if not together[i, :i].any()]
    firsts.sort(key=lambda i: int(reach[:, i].sum()))
    return [tuple(names[j] for j in np.flatnonzero(together[i])) for i in firsts]
