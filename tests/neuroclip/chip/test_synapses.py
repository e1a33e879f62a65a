"""Quantized modules: exact in the forward pass, with gradients that lead somewhere."""

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("snntorch")

from hypothesis import given, settings
from hypothesis import strategies as st

from deploy.connections import Conv2d
from deploy.program.program import make_population
from neuroclip.chip.neurons import ChipNeuron, run
from neuroclip.chip.recurrence import Surrogate
from neuroclip.chip.synapses import (
    ChipConv2d,
    ChipLinear,
    ChipSumPool2d,
    FoldedLinear,
    bias_exponent,
    weight_exponent,
)


@settings(max_examples=100, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_a_neuron_is_the_chip_recurrence_at_every_edge(seed: int) -> None:
    """Sums up to the wrap of u and the clip of v, every decay, both kinds: equal to the reference."""
    rng = np.random.default_rng(seed)
    du, dv = (int(rng.choice([0, 1, 2048, 4095, rng.integers(4096)])) for _ in range(2))
    kind = str(rng.choice(["lif", "integrator"]))
    vth = int(rng.integers(0, 2**17)) if kind == "lif" else 2**17 - 1
    bias = rng.integers(-4096, 4096, 7) << int(rng.integers(0, 8))
    neuron = ChipNeuron(
        torch.from_numpy(bias.astype(np.float32)),
        unit=1.0,
        bias_exponent=int(np.log2(max(1, np.gcd.reduce(bias) & -np.gcd.reduce(bias)))) if bias.any() else 0,
        du=du, dv=dv, vth=vth, kind=kind,
    )  # fmt: skip
    if not np.array_equal(neuron.integer_bias().detach().numpy(), bias):
        return  # this bias has no mantissa and exponent of its own
    population = make_population("n", (7,), du=du, dv=dv, vth=vth, bias=bias, kind=kind)
    state = population.cleared(3)
    neuron.reset_mem()
    for t in range(6):
        a = rng.integers(-140_000, 140_001, (3, 7))
        state, s = population.step(state, a, t)
        with torch.no_grad():
            out = neuron(torch.from_numpy(a.astype(np.float64))).numpy()
        assert np.array_equal(neuron.syn.numpy(), state["u"])
        assert np.array_equal(neuron.mem.numpy(), state["v"])
        assert np.array_equal(out, state["v"] if kind == "integrator" else s)


def test_weights_are_even_and_legal_whatever_training_does() -> None:
    linear = ChipLinear(torch.tensor([[0.1, -300.0, 0.013, 1e9]]), exponent=6)
    weight = linear.integer_weight()
    assert weight.tolist() == [[6.0, -254.0, 0.0, 254.0]]
    assert (weight % 2 == 0).all()


def test_rounding_is_exact_for_integers_that_a_detach_trick_would_miss() -> None:
    generator = torch.Generator().manual_seed(0)
    weight = torch.randn(200, 200, generator=generator)
    integers = ChipLinear(weight, exponent=5).integer_weight()
    assert torch.equal(integers, 2 * torch.round(weight * 16).clamp(-127, 127))


def test_gradients_pass_the_roundings_and_the_surrogate() -> None:
    linear = ChipLinear(torch.full((1, 1), 0.3), exponent=6)
    neuron = ChipNeuron(torch.zeros(1), unit=64.0 * 2**6, dv=3072, vth=32)
    out = run(torch.nn.Sequential(linear, neuron), torch.ones(1, 1, 1))
    out.sum().backward()
    # a = 20 (0.3125 of the unit), θ = 32 (0.5): inside the surrogate of width 1, silent.
    # ds/dw = (1/width in units of v) · 64 · 2^6 · message = 1; and v is not reset, so nothing else.
    assert out.item() == 0
    assert linear.weight.grad.item() == pytest.approx(1.0)
    assert neuron.bias.grad.item() == pytest.approx(1.0)


def test_the_surrogate_is_a_rectangle() -> None:
    x = torch.tensor([-0.6, -0.4, 0.0, 0.4, 0.6], requires_grad=True)
    spikes = Surrogate()(x)
    spikes.sum().backward()
    assert spikes.tolist() == [0, 0, 0, 1, 1]
    assert x.grad.tolist() == [0, 1, 1, 1, 0]


def test_constraining_keeps_every_sum_within_its_limit() -> None:
    generator = torch.Generator().manual_seed(1)
    linear = ChipLinear(torch.randn(9, 40, generator=generator), exponent=6)
    linear.constrain_(1500)
    sums = linear.integer_weight().abs().sum(dim=1)
    assert (sums <= 1500).all() and sums.max() > 1300
    before = linear.weight.clone()
    linear.constrain_(2000)
    assert torch.equal(before, linear.weight)  # what is within the limit stays as it is


def test_a_folded_layer_is_text_times_up_projection() -> None:
    generator = torch.Generator().manual_seed(2)
    up, text = torch.randn(6, 4, generator=generator), torch.randn(3, 6, generator=generator)
    folded = FoldedLinear(up, text, exponent=4)
    assert torch.equal(folded.integer_weight(), ChipLinear(text @ up, 4).integer_weight())
    folded.constrain_(60)
    assert (folded.integer_weight().abs().sum(dim=1) <= 60).all()


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 255), st.sampled_from([131071 // 10, 32767]))
def test_the_weight_exponent_keeps_sums_proven(seed: int, message_max: int, limit: int) -> None:
    rng = np.random.default_rng(seed)
    shape = (int(rng.integers(1, 20)), int(rng.integers(1, 60)))
    weight = torch.from_numpy(rng.normal(size=shape) * 10.0 ** rng.integers(-3, 3))
    exponent = weight_exponent(weight, message_max, limit)
    integers = ChipLinear(weight, exponent).integer_weight()
    if limit / message_max > 2 * shape[1]:  # else rounding alone may fill the limit
        assert integers.abs().sum(dim=1).max() * message_max <= limit
    assert (weight.double() * 2.0**exponent).abs().max() <= 254


def test_bias_exponents_hold_twice_the_bias() -> None:
    for bias in (0.0, 1.0, 2047.0, 2048.0, 30_000.0, 262_000.0):
        exponent = bias_exponent(torch.tensor([bias]), 1.0)
        assert 0 <= exponent <= 7
        assert 2 * bias <= 4095 << exponent or exponent == 7


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_a_convolution_is_exact_whatever_its_shape(seed: int) -> None:
    """Against the emulator's own sums; messages of 16 bits need float64, spikes float32."""
    rng = np.random.default_rng(seed)
    groups, pairs = int(rng.integers(1, 3)), rng.integers(1, 3, (3, 2)).tolist()
    weight = torch.from_numpy(rng.normal(size=(2 * groups, 3, *rng.integers(1, 4, 2))) * 3)
    module = ChipConv2d(weight, 6, *(tuple(p) for p in pairs), groups)
    largest = int(rng.choice([1, 15, 2**16]))
    messages = rng.integers(-largest, largest + 1, (2, 3, 3 * groups, 7, 8))
    sums = module(torch.from_numpy(messages).float())
    connection = Conv2d(
        "c", "a", "b", module.integer_weight().detach().numpy().astype(np.int32), (7, 8),
        *(tuple(p) for p in pairs), groups,
    )  # fmt: skip
    expected = connection.sums()(messages.reshape(6, -1))
    assert sums.shape == (2, 3, *connection.target_shape)
    assert np.array_equal(sums.detach().numpy().reshape(6, -1), expected)


def test_pooling_sums_its_windows() -> None:
    spikes = (torch.rand(2, 3, 4, 6, 9, generator=torch.Generator().manual_seed(3)) < 0.5).float()
    sums = ChipSumPool2d(4, (2, 3), weight=4)(spikes)
    assert torch.equal(sums, 4 * spikes.unflatten(4, (3, 3)).unflatten(3, (3, 2)).sum(dim=(4, 6)))


def test_constraining_a_convolution_holds_its_kernels() -> None:
    weight = torch.randn(4, 3, 3, 3, generator=torch.Generator().manual_seed(4))
    module = ChipConv2d(weight, 6)
    module.constrain_(700)
    sums = module.integer_weight().abs().sum(dim=(1, 2, 3))
    assert (sums <= 700).all() and sums.max() > 600
