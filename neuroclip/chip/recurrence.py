"""Whole samples through a neuron's recurrence, forward and backward in one pass each.

snnTorch steps through time in Python, and autograd keeps every intermediate value. Here one function
runs all steps, keeps one value per neuron and step, and has its gradient written out. With numba on
a CPU it is compiled (`recurrence_numba`), with Triton on CUDA too (`recurrence_triton`); elsewhere the
same steps run on torch tensors.

The chip's neuron, with w its membrane potential before the reset (see `deploy.arithmetic.integers`):

    u_t = wrap(T(u_{t−1}·m_u/4096) + 64·a_t);   w_t = clip(T(v_{t−1}·m_v/4096) + u_t + B)
    s_t = w_t > θ;   v_t = w_t·(1 − s_t)

Its gradient passes straight through T and the wrap, stops where w is at the clip, and takes σ'(w − θ)
for ds/dw, through the reset too, as snnTorch's neurons do that reset without delay:

    ∂w_t = ∂v_t·(1 − s_t) + (∂s_t − ∂v_t·w_t)·σ'(w_t − θ)
    ∂u_t = ∂w_t + ∂u_{t+1}·m_u/4096;   ∂a_t = 64·∂u_t;   ∂B = Σ_t ∂w_t;   ∂v_{t−1} = ∂w_t·m_v/4096

The floating-point neuron is the same without u, in float32: m_t = β·v_{t−1} + x_t.
"""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from types import ModuleType
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from deploy.arithmetic.integers import STATE_SHIFT, UV_LIMIT

try:
    from neuroclip.chip import recurrence_numba as kernels
except ImportError:  # numba is an extra
    kernels = None  # type: ignore[assignment]

_KINDS = {"rectangle": 0, "sigmoid": 1}


@dataclass(frozen=True)
class Surrogate:
    """What stands for the derivative of a spike at distance x from the threshold.

    rectangle: 1/width for |x| < width/2 (NeuroCLIP's, of width 1). sigmoid: the derivative of
    1/(1 + exp(−4x/width)) (SpikeCLIP's, of slope 4, has width 1).
    """

    kind: Literal["rectangle", "sigmoid"] = "rectangle"
    width: float = 1.0

    def slope(self, x: Tensor) -> Tensor:
        """σ'(x)."""
        if self.kind == "rectangle":
            return (x.abs() < self.width / 2).to(x.dtype) / self.width
        p = torch.sigmoid(x * (4 / self.width))
        return 4 / self.width * p * (1 - p)

    def __call__(self, x: Tensor) -> Tensor:
        """Spike where x > 0, with this derivative: what snnTorch calls a `spike_grad`."""
        return _Spike.apply(x, self)


class _Spike(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, surrogate: Surrogate) -> Tensor:
        ctx.save_for_backward(x)
        ctx.surrogate = surrogate
        return (x > 0).to(x.dtype)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        (x,) = ctx.saved_tensors
        return gradient * ctx.surrogate.slope(x), None


@dataclass(frozen=True, eq=False)
class ChipRegisters:
    """A population's registers for a recurrence, int32 [neurons] each; B is given with its gradient.

    mu, mv: 4096 − decay of u and v. threshold: vth << 6.
    """

    mu: Tensor
    mv: Tensor
    threshold: Tensor


def chip_recurrence(
    a: Tensor, bias: Tensor, registers: ChipRegisters, surrogate: Surrogate, reads: bool
) -> Tensor:
    """Spikes of every step, or v where `reads`: float32 [N, T, neurons], integers.

    a: synaptic sums, integers in a float tensor [N, T, neurons]. bias: B, integers [neurons].
    surrogate: its width in units of v. Compiled and uncompiled give the same integers.
    """
    return _Chip.apply(a, bias, registers, surrogate, reads)


def float_recurrence(
    x: Tensor, decay: Tensor, threshold: float, surrogate: Surrogate, detached: bool = False
) -> Tensor:
    """Spikes of every step of m ← decay·m + x, reset to 0: [N, T, neurons] of x's type, float32 or
    bfloat16; states are float32. detached: no gradient goes through the reset (the term of ∂v_t·w_t).
    """
    if x.dtype == torch.bfloat16 and x.shape[1] == 1 and _compiled(x):
        return _HalfStep.apply(x, threshold, surrogate)
    return _Float.apply(x, decay, threshold, surrogate, detached)


@torch.no_grad()
def chip_states(a: Tensor, bias: Tensor, registers: ChipRegisters) -> tuple[Tensor, Tensor, Tensor]:
    """(u, v, s) after every step, float64 [N, T, neurons]; a, bias as `chip_recurrence` takes them."""
    u, v, s = zip(*_chip_steps(a, bias, registers), strict=True)
    w = torch.stack(v, dim=1)
    fires = torch.stack(s, dim=1)
    return torch.stack(u, dim=1), torch.where(fires, 0.0, w), fires.to(torch.float64)


def chip_step(
    u: Tensor, v: Tensor, a: Tensor, bias: Tensor, mu: Tensor, mv: Tensor
) -> tuple[Tensor, Tensor]:
    """(u, v before its reset) after one step; the gradient passes straight through T and the wrap.

    u, v, bias: float64 integers. a: synaptic sums. mu, mv: float64, what is kept of u and v.
    """
    u = _Truncate.apply(u * mu) + float(1 << STATE_SHIFT) * a.to(torch.float64)
    u = torch.where(u > UV_LIMIT, u - 2 * UV_LIMIT, u)
    u = torch.where(u <= -UV_LIMIT, u + 2 * UV_LIMIT, u)
    return u, (_Truncate.apply(v * mv) + u + bias).clamp(-UV_LIMIT + 1, UV_LIMIT - 1)


class _Truncate(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        return torch.trunc(x)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        return gradient


def _chip_steps(
    a: Tensor, bias: Tensor, registers: ChipRegisters
) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
    """(u, w, whether it fires) of each step; float64 holds every product of the chip exactly."""
    a, bias = a.to(torch.float64), bias.to(torch.float64)
    mu, mv = registers.mu / 4096.0, registers.mv / 4096.0
    mu, mv = mu.to(torch.float64), mv.to(torch.float64)
    u = v = torch.zeros_like(a[:, 0])
    for t in range(a.shape[1]):
        u, w = chip_step(u, v, a[:, t], bias, mu, mv)
        fires = w > registers.threshold
        v = torch.where(fires, 0.0, w)
        yield u, w, fires


class _Chip(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        a: Tensor,
        bias: Tensor,
        registers: ChipRegisters,
        surrogate: Surrogate,
        reads: bool,
    ) -> Tensor:
        gpu = _gpu_kernels(a)
        if gpu is not None:
            made = gpu.chip_forward(
                a.detach(), registers.mu, registers.mv, bias.detach(), registers.threshold, reads,
                UV_LIMIT,
            )  # fmt: skip
        else:
            made = _compiled_chip(a, bias, registers, reads)
        if made is None:
            _, potentials, fires = zip(*_chip_steps(a, bias, registers), strict=True)
            w, fired = torch.stack(potentials, dim=1), torch.stack(fires, dim=1)
            out = (torch.where(fired, 0.0, w) if reads else fired).to(torch.float32)
            made = w.to(torch.int32), out
        w, out = made
        ctx.save_for_backward(w, registers.mu, registers.mv, registers.threshold)
        ctx.surrogate, ctx.reads = surrogate, reads
        return out

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor, None, None, None]:
        w, mu, mv, threshold = ctx.saved_tensors
        ku, kv = mu.to(torch.float32) / 4096, mv.to(torch.float32) / 4096
        surrogate, reads = ctx.surrogate, ctx.reads
        gpu = _gpu_kernels(gradient)
        if gpu is not None:
            ga, gbias = gpu.chip_backward(
                gradient, w, ku, kv, threshold, _KINDS[surrogate.kind], surrogate.width, reads,
                UV_LIMIT,
            )  # fmt: skip
            return ga, gbias.sum(dim=0), None, None, None
        if _compiled(gradient):
            gradient = gradient.to(torch.float32).contiguous()
            ga = torch.empty_like(gradient)
            gbias = torch.empty_like(gradient[:, 0])

            def part(n: slice) -> None:
                kernels.chip_backward(
                    gradient[n].numpy(), w[n].numpy(), ku.numpy(), kv.numpy(), threshold.numpy(),
                    _KINDS[surrogate.kind], surrogate.width, reads, ga[n].numpy(), gbias[n].numpy(),
                )  # fmt: skip

            _over_samples(part, len(gradient))
            return ga, gbias.sum(dim=0), None, None, None
        fires = w > threshold
        inside = w.abs() < UV_LIMIT - 1
        w = w.to(torch.float32)
        slope = surrogate.slope(w - threshold.to(torch.float32)) * inside
        gu = gv = total = torch.zeros_like(w[:, 0])
        sums = []
        for t in reversed(range(w.shape[1])):
            back, spike = (gv + gradient[:, t], 0.0) if reads else (gv, gradient[:, t])
            potential = torch.where(fires[:, t] | ~inside[:, t], 0.0, back)
            potential = potential + (spike - back * w[:, t]) * slope[:, t]
            gu = potential + gu
            sums.append((1 << STATE_SHIFT) * gu)
            gu, gv, total = gu * ku, potential * kv, total + potential
        return torch.stack(sums[::-1], dim=1), total.sum(dim=0), None, None, None


def _compiled_chip(
    a: Tensor, bias: Tensor, registers: ChipRegisters, reads: bool
) -> tuple[Tensor, Tensor] | None:
    """(w, out) by the compiled kernel; None where there is none, or a sum is too large for it."""
    if not _compiled(a):
        return None
    a = a.detach().to(torch.float32).contiguous()
    w, out = torch.empty(a.shape, dtype=torch.int32), torch.empty_like(a)
    mu, mv, threshold = registers.mu.numpy(), registers.mv.numpy(), registers.threshold.numpy()
    integer_bias = bias.detach().to(torch.int32).numpy()
    held: list[bool] = []

    def part(n: slice) -> None:
        held.append(
            kernels.chip_forward(
                a[n].numpy(), mu, mv, integer_bias, threshold, w[n].numpy(), out[n].numpy(), reads
            )
        )

    _over_samples(part, len(a))
    return (w, out) if all(held) else None


class _Float(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, x: Tensor, decay: Tensor, threshold: float, surrogate: Surrogate, detached: bool
    ) -> Tensor:
        # Mixed precision may have made the currents bfloat16; the states are float32 always.
        given = x.dtype
        x = x.detach().to(torch.float32).contiguous()
        gpu = _gpu_kernels(x)
        m, spikes = torch.empty_like(x), torch.empty_like(x)
        if gpu is not None:
            m, spikes = gpu.float_forward(x, decay, threshold)
        elif _compiled(x):

            def part(n: slice) -> None:
                kernels.float_forward(
                    x[n].numpy(), decay.numpy(), threshold, m[n].numpy(), spikes[n].numpy()
                )

            _over_samples(part, len(x))
        else:
            state = torch.zeros_like(x[:, 0])
            for t in range(x.shape[1]):
                m[:, t] = decay * state + x[:, t]
                spikes[:, t] = m[:, t] > threshold
                state = torch.where(m[:, t] > threshold, 0.0, m[:, t])
        ctx.save_for_backward(m, decay)
        ctx.threshold, ctx.surrogate = threshold, surrogate
        ctx.through = 0.0 if detached else 1.0
        return spikes.to(given)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None, None, None]:
        m, decay = ctx.saved_tensors
        threshold, surrogate = ctx.threshold, ctx.surrogate
        gradient = gradient.to(torch.float32).contiguous()
        gpu = _gpu_kernels(gradient)
        if gpu is not None:
            kind, width = _KINDS[surrogate.kind], surrogate.width
            gx = gpu.float_backward(gradient, m, decay, threshold, kind, width, ctx.through)
            return gx, None, None, None, None
        gx = torch.empty_like(gradient)
        if _compiled(gradient):

            def part(n: slice) -> None:
                kernels.float_backward(
                    gradient[n].numpy(), m[n].numpy(), decay.numpy(), threshold,
                    _KINDS[surrogate.kind], surrogate.width, ctx.through, gx[n].numpy(),
                )  # fmt: skip

            _over_samples(part, len(m))
            return gx, None, None, None, None
        slope = surrogate.slope(m - threshold)
        back = torch.zeros_like(m[:, 0])
        for t in reversed(range(m.shape[1])):
            kept = torch.where(m[:, t] > threshold, 0.0, back)
            gx[:, t] = kept + (gradient[:, t] - ctx.through * back * m[:, t]) * slope[:, t]
            back = gx[:, t] * decay
        return gx, None, None, None, None


class _HalfStep(torch.autograd.Function):
    """One step from cleared state in bfloat16: spikes where x is above the threshold."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, threshold: float, surrogate: Surrogate) -> Tensor:
        x = x.detach().contiguous()
        ctx.save_for_backward(x)
        ctx.threshold, ctx.surrogate = threshold, surrogate
        spikes = torch.empty_like(x)

        def part(n: slice) -> None:
            kernels.half_forward(_bits(x[n]), threshold, _bits(spikes[n]))

        _over_samples(part, len(x))
        return spikes

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None]:
        (x,) = ctx.saved_tensors
        gradient = gradient.to(torch.bfloat16).contiguous()
        gx = torch.empty_like(gradient)
        surrogate = ctx.surrogate

        def part(n: slice) -> None:
            kernels.half_backward(
                _bits(gradient[n]), _bits(x[n]), _bits(gx[n]), ctx.threshold,
                _KINDS[surrogate.kind], surrogate.width,
            )  # fmt: skip

        _over_samples(part, len(x))
        return gx, None, None


def _bits(x: Tensor) -> NDArray[np.int16]:
    """The memory of a contiguous bfloat16 tensor."""
    found: NDArray[np.int16] = x.view(torch.int16).flatten().numpy()
    return found


def _gpu_kernels(x: Tensor) -> ModuleType | None:
    """Triton's kernels for a tensor on CUDA; None elsewhere, and where Triton is missing."""
    return _triton() if x.is_cuda else None


@cache
def _triton() -> ModuleType | None:
    try:
        from neuroclip.chip import recurrence_triton as gpu_kernels
    except ImportError:  # torch brings it with CUDA on Linux only
        return None
    return gpu_kernels


def _compiled(x: Tensor) -> bool:
    return kernels is not None and x.device.type == "cpu"


def _over_samples(part: Callable[[slice], None], samples: int) -> None:
    """Share samples among torch's threads; the result does not depend on how many there are."""
    threads = min(torch.get_num_threads(), samples)
    if threads < 2:
        part(slice(0, samples))
        return
    ends = [samples * i // threads for i in range(threads + 1)]
    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(part, [slice(a, b) for a, b in pairwise(ends)]))
