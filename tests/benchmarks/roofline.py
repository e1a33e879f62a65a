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

from deploy.emulate.fast import kernels
from deploy.emulate.fast.layout import aligned
from deploy.emulate.fast.numba_block import _adder, _links
from deploy.emulate.fast.plan import Synapses
from deploy.emulate.fast.spikes import Spikes
from deploy.emulate.fast.sum_kernels import _load, _over

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


@intrinsic
def _reads(context: Any, rows: Any, index: Any, n: Any) -> Any:
    """Rows of 512 bytes, index[0 ≤ k < n], read whole into vector registers, or-ed."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        rows, index, n = arguments
        vector = ir.VectorType(ir.IntType(16), _LANES)

        def read(k: Any, found: list[Any]) -> list[Any]:
            row = builder.sext(builder.load(builder.gep(index, [k])), ir.IntType(64))
            first = builder.mul(row, ir.Constant(ir.IntType(64), _ROW // 2))
            places = [
                builder.add(first, ir.Constant(ir.IntType(64), _LANES * i)) for i in range(_CHAINS)
            ]
            return [
                builder.or_(held, _load(builder, rows, place, _LANES))
                for held, place in zip(found, places, strict=True)
            ]

        found = _over(builder, n, [ir.Constant(vector, [0] * _LANES)] * _CHAINS, read)
        total = found[0]
        for value in found[1:]:
            total = builder.or_(total, value)
        return builder.trunc(builder.bitcast(total, ir.IntType(16 * _LANES)), ir.IntType(64))

    return types.int64(rows, index, types.int64), generate


@njit
def _read(rows: Any, index: Any) -> int:
    """Rows read whole, in the order of an index."""
    return _reads(kernels._pointer(rows, 0), kernels._pointer(index, 0), len(index))  # type: ignore[call-arg]


@njit(nogil=True)
def _sum_all(
    address: int, links: Any, samples: int, steps: int, sums: Any, index: Any, touched: Any
) -> None:
    held = kernels._pointer(links, 0)
    for g in range(samples):
        for t in range(steps):
            kernels._add_sums(
                address, links[0], held, g, t, kernels._pointer(index, 0), kernels._pointer(index, 0),
                kernels._pointer(sums, 0), kernels._pointer(touched, 0),
                kernels._pointer(sums, len(touched) * 64),
            )  # fmt: skip


def sums_alone(synapses: Synapses, sent: Spikes, size: int) -> None:
    """What an emulator cannot do without: a connection's sums, all added up in one row of `size`."""
    samples, steps = sent.bits.shape[:2]
    index = np.empty(64 * synapses.link["words"] + 16, np.int32)
    sums, touched = aligned((2 * size,), np.int32), np.zeros(size // 64, np.uint8)
    address = _adder(synapses, True).address
    _sum_all(address, _links([(synapses, sent)]), samples, steps, sums, index, touched)


def loops() -> dict[str, tuple[Call, float, str]]:
    """By name: the loop, what a call of it does, and the unit of that."""
    rng = np.random.default_rng(0)
    rows = aligned((_ROWS, _ROW // 2), np.int16)
    rows[:] = rng.integers(-(2**15), 2**15, rows.shape)
    # Long enough that filling the cache first does not count.
    index = rng.integers(0, _ROWS, 100_000).astype(np.int32)
    square = rng.random((512, 512)).astype(np.float32)
    return {
        "reading rows": (lambda: _read(rows, index), float(index.size * _ROW), "bytes"),
        "adding in registers": (lambda: _add(_ROUNDS), float(_ROUNDS * _CHAINS * _LANES), "adds"),
        "multiply-adds of BLAS": (lambda: np.matmul(square, square), 512.0**3, "multiply-adds"),
    }
