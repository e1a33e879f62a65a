"""The recurrence of `neuroclip.chip.recurrence` for CUDA: one Triton kernel forward, one backward.

Imported only where Triton is installed (torch brings it with CUDA). Arrays are [samples, time,
neurons]; a program runs every step of a block of neurons, whose states stay in registers, so that each
value is moved once. The chip's states are 64-bit integers, in which no product or sum of any input
overflows; its membrane potentials, below 2^23, are kept as float32, which holds them exactly.
"""

# What Triton compiles is typed when it is called.
# mypy: allow-untyped-defs, disable-error-code="no-untyped-def"

import torch
import triton
import triton.language as tl
from torch import Tensor

_BLOCK = 256


@triton.jit
def _slope(x, width, KIND: tl.constexpr):
    """What stands for dH/dx: 0 rectangle, 1 sigmoid."""
    if KIND == 0:
        slope = tl.where(tl.abs(x) < 0.5 * width, 1.0 / width, 0.0)
    else:
        e = tl.exp(-4.0 * tl.abs(x) / width)
        p = 1.0 / (1.0 + e)
        slope = 4.0 / width * p * (e * p)
    return slope


@triton.jit
def _decayed(x, m):
    """T(x·m/4096), toward zero."""
    kept = (tl.abs(x) * m) >> 12
    return tl.where(x < 0, -kept, kept)


@triton.jit
def _chip_forward(
    a, mu, mv, bias, threshold, w, out, total, size,
    STEPS: tl.constexpr, READS: tl.constexpr, LIMIT: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    i = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    inside = i < total
    neuron = i % size
    place = (i // size) * (STEPS * size) + neuron
    keeps_u = tl.load(mu + neuron, mask=inside, other=0).to(tl.int64)
    keeps_v = tl.load(mv + neuron, mask=inside, other=0).to(tl.int64)
    each = tl.load(bias + neuron, mask=inside, other=0).to(tl.int64)
    level = tl.load(threshold + neuron, mask=inside, other=0).to(tl.int64)
    u = i * 0
    v = i * 0
    for _ in range(STEPS):
        u = _decayed(u, keeps_u) + (tl.load(a + place, mask=inside, other=0.0).to(tl.int64) << 6)
        u = tl.where(u > LIMIT, u - 2 * LIMIT, u)
        u = tl.where(u <= -LIMIT, u + 2 * LIMIT, u)
        v = _decayed(v, keeps_v) + u + each
        v = tl.where(v > LIMIT - 1, i * 0 + (LIMIT - 1), v)
        v = tl.where(v < 1 - LIMIT, i * 0 + (1 - LIMIT), v)
        fires = v > level
        tl.store(w + place, v.to(tl.float32), mask=inside)
        v = tl.where(fires, i * 0, v)
        if READS:
            tl.store(out + place, v.to(tl.float32), mask=inside)
        else:
            tl.store(out + place, fires.to(tl.float32), mask=inside)
        place += size


@triton.jit
def _chip_backward(
    gradient, w, ku, kv, threshold, ga, gbias, total, size, width,
    STEPS: tl.constexpr, READS: tl.constexpr, LIMIT: tl.constexpr, KIND: tl.constexpr,
    BLOCK: tl.constexpr,
):  # fmt: skip
    i = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    inside = i < total
    neuron = i % size
    place = (i // size) * (STEPS * size) + (STEPS - 1) * size + neuron
    keeps_u = tl.load(ku + neuron, mask=inside, other=0.0)
    keeps_v = tl.load(kv + neuron, mask=inside, other=0.0)
    level = tl.load(threshold + neuron, mask=inside, other=0).to(tl.float32)
    gu = keeps_u * 0.0
    gv = gu
    summed = gu
    for _ in range(STEPS):
        before = tl.load(w + place, mask=inside, other=0.0)
        given = tl.load(gradient + place, mask=inside, other=0.0)
        if READS:
            back = gv + given
            spike = given * 0.0
        else:
            back = gv
            spike = given
        kept = tl.where(before > level, 0.0, back)
        potential = kept + (spike - back * before) * _slope(before - level, width, KIND)
        potential = tl.where(tl.abs(before) < LIMIT - 1, potential, 0.0)
        gu = potential + gu
        summed += potential
        tl.store(ga + place, 64.0 * gu, mask=inside)
        gu = gu * keeps_u
        gv = potential * keeps_v
        place -= size
    tl.store(gbias + i, summed, mask=inside)


@triton.jit
def _float_forward(
    x, decay, m, spikes, total, size, level, STEPS: tl.constexpr, BLOCK: tl.constexpr
):
    i = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    inside = i < total
    neuron = i % size
    place = (i // size) * (STEPS * size) + neuron
    keeps = tl.load(decay + neuron, mask=inside, other=0.0)
    state = keeps * 0.0
    for _ in range(STEPS):
        potential = keeps * state + tl.load(x + place, mask=inside, other=0.0)
        fires = potential > level
        tl.store(m + place, potential, mask=inside)
        tl.store(spikes + place, fires.to(tl.float32), mask=inside)
        state = tl.where(fires, 0.0, potential)
        place += size


@triton.jit
def _float_backward(
    gradient, m, decay, gx, total, size, level, width, through,
    STEPS: tl.constexpr, KIND: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    i = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    inside = i < total
    neuron = i % size
    place = (i // size) * (STEPS * size) + (STEPS - 1) * size + neuron
    keeps = tl.load(decay + neuron, mask=inside, other=0.0)
    back = keeps * 0.0
    for _ in range(STEPS):
        before = tl.load(m + place, mask=inside, other=0.0)
        given = tl.load(gradient + place, mask=inside, other=0.0)
        kept = tl.where(before > level, 0.0, back)
        potential = kept + (given - through * back * before) * _slope(before - level, width, KIND)
        tl.store(gx + place, potential, mask=inside)
        back = potential * keeps
        place -= size


def chip_forward(
    a: Tensor, mu: Tensor, mv: Tensor, bias: Tensor, threshold: Tensor, reads: bool, limit: int
) -> tuple[Tensor, Tensor]:
    """(w, out) float32 [N, T, F] of sums a; see `neuroclip.chip.recurrence_numba.chip_forward`."""
    a = a.to(torch.float32).contiguous()
    w, out = torch.empty_like(a), torch.empty_like(a)
    total, size, grid = _sizes(a)
    with torch.cuda.device_of(a):
        _chip_forward[grid](
            a, mu, mv, bias.to(torch.int32).contiguous(), threshold, w, out, total, size,
            STEPS=a.shape[1], READS=reads, LIMIT=limit, BLOCK=_BLOCK,
        )  # fmt: skip
    return w, out


def chip_backward(
    gradient: Tensor, w: Tensor, ku: Tensor, kv: Tensor, threshold: Tensor, kind: int,
    width: float, reads: bool, limit: int,
) -> tuple[Tensor, Tensor]:  # fmt: skip
    """(of the sums [N, T, F], of the bias [N, F]); see `neuroclip.chip.recurrence_numba.chip_backward`."""
    gradient = gradient.to(torch.float32).contiguous()
    ga, gbias = torch.empty_like(gradient), torch.empty_like(gradient[:, 0])
    total, size, grid = _sizes(gradient)
    with torch.cuda.device_of(gradient):
        _chip_backward[grid](
            gradient, w, ku, kv, threshold, ga, gbias, total, size, width,
            STEPS=gradient.shape[1], READS=reads, LIMIT=limit, KIND=kind, BLOCK=_BLOCK,
        )  # fmt: skip
    return ga, gbias


def float_forward(x: Tensor, decay: Tensor, level: float) -> tuple[Tensor, Tensor]:
    """(m, spikes) float32 [N, T, F] of currents x, contiguous."""
    m, spikes = torch.empty_like(x), torch.empty_like(x)
    total, size, grid = _sizes(x)
    with torch.cuda.device_of(x):
        _float_forward[grid](
            x, decay, m, spikes, total, size, level, STEPS=x.shape[1], BLOCK=_BLOCK
        )  # fmt: skip
    return m, spikes


def float_backward(
    gradient: Tensor, m: Tensor, decay: Tensor, level: float, kind: int, width: float,
    through: float,
) -> Tensor:  # fmt: skip
    """Of the currents, float32 [N, T, F]; gradient: of the spikes, contiguous. through: as numba's."""
    gx = torch.empty_like(gradient)
    total, size, grid = _sizes(gradient)
    with torch.cuda.device_of(gradient):
        _float_backward[grid](
            gradient, m, decay, gx, total, size, level, width, through,
            STEPS=gradient.shape[1], KIND=kind, BLOCK=_BLOCK,
        )  # fmt: skip
    return gx


def _sizes(x: Tensor) -> tuple[int, int, tuple[int]]:
    """Neurons of all samples, neurons of one, and the programs."""
    samples, _, size = x.shape
    return samples * size, size, (triton.cdiv(samples * size, _BLOCK),)
