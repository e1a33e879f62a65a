"""What one core can do, measured beside what the kernels do, in the same run.

Three loops that do nothing else: reading as a dense layer's kernel reads (rows of 512 bytes, of as many
rows as a layer of 512 inputs, so from the same cache), adding in vector registers (16-bit lanes, the
kernel's own; three such operations take 64 weights), and BLAS's multiply-adds in float32.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
from llvmlite import ir
from numba import njit, types
from numba.extending import intrinsic

Call = Callable[[], object]

_LANES, _CHAINS = 32, 8
_ROUNDS = 20_000
_ROWS, _ROW = 512, 512


@intrinsic
def _adds(context: Any, n: Any) -> Any:
    """n times: a vector addition in each of some chains, which nothing else waits for."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        whole, vector = ir.IntType(64), ir.VectorType(ir.IntType(16), _LANES)
        before, body, done = (
            builder.block, builder.append_basic_block(), builder.append_basic_block()
        )  # fmt: skip
        builder.branch(body)
        builder.position_at_end(body)
        k, chains = builder.phi(whole), [builder.phi(vector) for _ in range(_CHAINS)]
        k.add_incoming(ir.Constant(whole, 0), before)
        following = builder.add(k, ir.Constant(whole, 1))
        k.add_incoming(following, body)
        added = []
        for i, chain in enumerate(chains):
            chain.add_incoming(ir.Constant(vector, [i] * _LANES), before)
            # Each adds its neighbour, so that no compiler sees through n steps at once.
            added.append(builder.add(chain, chains[i - 1]))
        for chain, value in zip(chains, added, strict=True):
            chain.add_incoming(value, body)
        builder.cbranch(builder.icmp_signed("<", following, arguments[0]), body, done)
        builder.position_at_end(done)
        total = added[0]
        for value in added[1:]:
            total = builder.xor(total, value)
        found = builder.bitcast(total, ir.IntType(16 * _LANES))
        return builder.trunc(found, whole)

    return types.int64(types.int64), generate


@njit
def _add(n: int) -> int:
    return _adds(n)  # type: ignore[call-arg]


@njit
def _read(rows: Any, index: Any) -> int:
    """Rows read whole, in the order of an index."""
    found = np.int64(0)
    for i in index:
        for j in range(rows.shape[1]):
            found |= rows[i, j]
    return found


def loops() -> dict[str, tuple[Call, float, str]]:
    """By name: the loop, what a call of it does, and the unit of that."""
    rng = np.random.default_rng(0)
    rows = rng.integers(0, 2**62, (_ROWS, _ROW // 8))
    # Long enough that filling the cache first does not count.
    index = rng.integers(0, _ROWS, 100_000)
    square = rng.random((512, 512)).astype(np.float32)
    return {
        "reading rows": (lambda: _read(rows, index), float(index.size * _ROW), "bytes"),
        "adding in registers": (lambda: _add(_ROUNDS), float(_ROUNDS * _CHAINS * _LANES), "adds"),
        "multiply-adds of BLAS": (lambda: np.matmul(square, square), 512.0**3, "multiply-adds"),
    }
