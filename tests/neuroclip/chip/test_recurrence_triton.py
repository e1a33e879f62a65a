"""The kernels for CUDA, run by Triton's interpreter on the CPU: the chip's integers, and gradients."""

import pytest

pytest.importorskip("torch")
pytest.importorskip("snntorch")
pytest.importorskip("triton")

# A process of its own, since Triton reads the variable when its kernels are defined.
SCRIPT = """
import numpy as np, torch
from triton.runtime import interpreter

builder = getattr(interpreter, "Builder", None)
if builder is not None and not hasattr(builder, "get_int32_ty"):  # forgotten in Triton 2.3
    builder.get_int32_ty = lambda self: interpreter.tl.int32

from neuroclip.chip import recurrence_triton as gpu_kernels

from neuroclip.chip import recurrence
from neuroclip.chip.recurrence import ChipRegisters, Surrogate, chip_recurrence, float_recurrence

torch.manual_seed(0)
N, T, F = 3, 5, 90  # 270 neurons: a block and a part of one
compared = 0


def both(call, *inputs):
    "Results and gradients of the compiled or stepped way, then of the kernels."
    found = []
    for kernels in (None, gpu_kernels):
        recurrence._gpu_kernels = lambda x, kernels=kernels: kernels
        leaves = [x.clone().requires_grad_() for x in inputs]
        out = call(*leaves)
        (out * weight).sum().backward()
        found.append([out.detach(), *(x.grad for x in leaves)])
    return zip(*found)


for surrogate in (Surrogate("rectangle", 8000.0), Surrogate("sigmoid", 8000.0)):
    for largest in (60, 3000, 2**18, 2**20):
        for reads in (False, True):
            registers = ChipRegisters(*(torch.randint(0, n, (F,), dtype=torch.int32) for n in
                                        (4097, 4097, 64 * min(largest, 100000))))
            if reads:
                registers = ChipRegisters(registers.mu, registers.mv,
                                          torch.full((F,), 64 * (2**17 - 1), dtype=torch.int32))
            sums = torch.randint(-largest, largest + 1, (N, T, F)).float()
            bias = torch.randint(-5000, 5000, (F,)).double()
            weight = torch.randn(N, T, F)
            pairs = both(lambda a, b: chip_recurrence(a, b, registers, surrogate, reads), sums, bias)
            (one, other), *gradients = pairs
            assert torch.equal(one, other) and one.any(), (surrogate, largest, reads)
            for a, b in gradients:
                np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-4 * float(a.abs().max()))
            compared += 1

for surrogate, detached in (
    (Surrogate("rectangle", 1.0), False), (Surrogate("sigmoid", 2.0), False), (Surrogate(), True)
):
    weight = torch.randn(N, T, F)
    decay = torch.rand(F)
    (one, other), (a, b) = both(
        lambda x: float_recurrence(x, decay, 1.0, surrogate, detached), torch.randn(N, T, F)
    )
    assert torch.equal(one, other) and one.any()
    np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5)
    compared += 1
print("compared", compared)
"""


def test_the_kernels_give_the_chips_integers_and_the_same_gradients(own_python):
    told = own_python(
        "-c", SCRIPT, TRITON_INTERPRET="1", OMP_NUM_THREADS="1", CUDA_VISIBLE_DEVICES=""
    )
    assert told.split() == ["compared", "19"]
