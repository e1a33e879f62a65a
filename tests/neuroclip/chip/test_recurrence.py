"""Whole samples in one pass: the chip's integers at every edge, and the gradients of plain autograd."""

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("snntorch")

from hypothesis import given, settings
from hypothesis import strategies as st

from neuroclip.chip import recurrence
from neuroclip.chip.neurons import ChipNeuron, FloatNeuron, recorded, run
from neuroclip.chip.recurrence import Surrogate

KINDS = st.sampled_from([Surrogate("rectangle", 1.0), Surrogate("sigmoid", 2.0)])
SEEDS = st.integers(0, 2**32 - 1)


def neuron_and_sums(rng, shape, largest, surrogate=Surrogate(), unit=64.0):  # noqa: B008
    """A chip neuron with random registers, some per neuron, and sums [3, 6, *shape] for it."""
    kind = str(rng.choice(["lif", "integrator"]))
    vth = (
        rng.integers(0, max(2, largest), shape)
        if rng.random() < 0.5
        else int(rng.integers(largest))
    )
    du, dv = (
        int(rng.choice([0, 1, 2048, 4095])) if rng.random() < 0.7 else rng.integers(0, 4096, shape)
        for _ in range(2)
    )
    each = [torch.from_numpy(x) if isinstance(x, np.ndarray) else x for x in (du, dv, vth)]
    neuron = ChipNeuron(
        torch.from_numpy(rng.integers(-4096, 4096, shape).astype(np.float32) / unit),
        unit=unit, du=each[0], dv=each[1], vth=2**17 - 1 if kind == "integrator" else each[2],
        kind=kind, surrogate=surrogate,
    )  # fmt: skip
    return neuron, torch.from_numpy(rng.integers(-largest, largest + 1, (3, 6, *shape))).float()


def stepped(neuron, sums):
    """What the neuron gives in snnTorch's own stepping."""
    neuron.reset_mem()
    return torch.stack([neuron(sums[:, t]) for t in range(sums.shape[1])], dim=1)


@settings(max_examples=60, deadline=None)
@given(SEEDS, st.sampled_from([200, 30_000, 140_000, 2**18, 2**20]), st.booleans())
def test_whole_samples_are_the_steps(seed: int, largest: int, compiled: bool) -> None:
    """Sums from small ones to beyond what the compiled kernel takes; compiled or not."""
    rng = np.random.default_rng(seed)
    shape = (5,) if rng.random() < 0.5 else (2, 3, 2)
    neuron, sums = neuron_and_sums(rng, shape, largest)
    with torch.no_grad(), pytest.MonkeyPatch.context() as patch:
        if not compiled:
            patch.setattr(recurrence, "kernels", None)
        whole = run(neuron, sums).double()
        assert torch.equal(whole, stepped(neuron, sums).double())
        u, v, s = recorded(torch.nn.Sequential(neuron), sums)["0"]
    assert torch.equal(v if neuron.kind == "integrator" else s, whole)
    assert torch.equal(u[:, -1], neuron.syn.double())
    assert torch.equal(v[:, -1], neuron.mem.double())


@settings(max_examples=40, deadline=None)
@given(SEEDS, KINDS, st.booleans())
def test_the_gradients_are_those_of_the_steps(
    seed: int, surrogate: Surrogate, compiled: bool
) -> None:
    rng = np.random.default_rng(seed)
    unit = 64.0 * 60
    neuron, sums = neuron_and_sums(rng, (7,), 60, surrogate, unit)
    sums.requires_grad_(True)
    weight = torch.from_numpy(rng.normal(size=(3, 6, 7)))
    found = []
    with pytest.MonkeyPatch.context() as patch:
        if not compiled:
            patch.setattr(recurrence, "kernels", None)
        for runner in (run, stepped):
            neuron.zero_grad()
            sums.grad = None
            (runner(neuron, sums) * weight).sum().backward()
            found.append((sums.grad.numpy(), neuron.bias.grad.numpy()))
    for mine, autograds in zip(*found, strict=True):
        assert np.abs(mine).max() > 0 or np.abs(autograds).max() == 0
        np.testing.assert_allclose(mine, autograds, rtol=2e-4, atol=1e-4 * np.abs(autograds).max())


def test_the_clip_stops_the_gradient_and_the_wrap_does_not() -> None:
    neuron = ChipNeuron(torch.zeros(1), unit=1.0, kind="integrator")
    sums = torch.full((1, 2, 1), 120_000.0, requires_grad=True)
    run(neuron, sums)[:, 1].sum().backward()
    assert sums.grad.flatten().tolist() == [0, 0]  # after two steps v is at the clip
    sums = torch.full((1, 1, 1), 2**17 + 5.0, requires_grad=True)
    assert run(neuron, sums).item() == 64 * (2**17 + 5) - 2**24
    run(neuron, sums).sum().backward()
    assert sums.grad.item() == 64


@settings(max_examples=40, deadline=None)
@given(SEEDS, KINDS, st.booleans(), st.booleans())
def test_the_float_neuron_is_snntorchs_leaky(
    seed: int, surrogate: Surrogate, compiled: bool, detached: bool
) -> None:
    """Or, where its reset is detached, autograd's gradient of the same steps."""
    rng = np.random.default_rng(seed)
    threshold = float(rng.uniform(0.1, 1))
    neuron = FloatNeuron(float(rng.uniform(0, 1)), threshold, surrogate, detached)
    x = torch.from_numpy(rng.normal(size=(4, 5, 2, 3)).astype(np.float32)).requires_grad_(True)
    weight = torch.from_numpy(rng.normal(size=(4, 5, 2, 3)).astype(np.float32))
    found = []
    with pytest.MonkeyPatch.context() as patch:
        if not compiled:
            patch.setattr(recurrence, "kernels", None)
        for runner in (run, stepped):
            x.grad = None
            spikes = runner(neuron, x)
            (spikes * weight).sum().backward()
            found.append((spikes.detach().numpy(), x.grad.numpy()))
    assert np.array_equal(found[0][0], found[1][0]) and found[0][0].any()
    np.testing.assert_allclose(found[0][1], found[1][1], rtol=1e-4, atol=1e-5)


def test_a_detached_reset_is_a_constant() -> None:
    """By hand: two steps, the first of which fires; its input reaches the second spike by no way."""
    for detached, through in ((True, False), (False, True)):
        x = torch.tensor([[[1.2], [0.9]]], requires_grad=True)
        run(FloatNeuron(0.5, 1.0, Surrogate("sigmoid", 2.0), detached), x)[:, 1].sum().backward()
        assert (x.grad[0, 0].item() != 0) is through and x.grad[0, 1].item() > 0


def test_the_number_of_threads_changes_nothing() -> None:
    rng = np.random.default_rng(0)
    neuron, sums = neuron_and_sums(rng, (50,), 200)
    sums.requires_grad_(True)
    found = []
    threads = torch.get_num_threads()
    for count in (1, 3):
        torch.set_num_threads(count)
        neuron.zero_grad()
        sums.grad = None
        out = run(neuron, sums)
        out.sum().backward()
        found.append((out.detach(), sums.grad, neuron.bias.grad))
    torch.set_num_threads(threads)
    assert all(torch.equal(a, b) for a, b in zip(*found, strict=True))


def test_the_compiled_exponential_is_the_librarys():
    kernels = pytest.importorskip("neuroclip.chip.recurrence_numba")
    z = np.linspace(0, 40, 20_001, dtype=np.float32)
    found = np.array([kernels._exp_minus(x) for x in z], np.float64)
    true = np.exp(-z.astype(np.float64))
    assert (np.abs(found / true - 1)[z <= 16] < 1e-5).all()
    assert (np.abs(found - true)[z > 16] < 1e-12).all()


@settings(max_examples=20, deadline=None)
@given(SEEDS, KINDS, st.integers(1, 3))
def test_sums_with_the_channels_last_are_the_same_neurons(
    seed: int, surrogate: Surrogate, steps: int
) -> None:
    """Registers and biases of each neuron go with it; so do gradients."""
    rng = np.random.default_rng(seed)
    neuron, _ = neuron_and_sums(rng, (3, 4, 5), 60, surrogate, 64.0 * 60)
    for network in (neuron, FloatNeuron(0.5, 1.0, surrogate)):
        found = []
        values = torch.from_numpy(rng.integers(-60, 61, (2, steps, 3, 4, 5))).float() / 10
        weight = torch.from_numpy(rng.normal(size=values.shape)).float()
        for last in (False, True):
            sums = values.movedim(2, -1).contiguous().movedim(-1, 2) if last else values
            sums = sums.detach().requires_grad_()
            network.zero_grad()
            out = run(network, sums)
            (out * weight).sum().backward()
            bias = neuron.bias.grad if network is neuron else torch.zeros(1)
            found.append((out.detach(), sums.grad, bias))
        for one, other in zip(*found, strict=True):
            assert torch.allclose(one, other, rtol=1e-5, atol=1e-6)
        assert torch.equal(found[0][0], found[1][0])


@settings(max_examples=20, deadline=None)
@given(SEEDS, KINDS)
def test_one_step_in_bfloat16_is_the_steps_of_float32(seed: int, surrogate: Surrogate) -> None:
    """The same spikes; gradients to a rounding of 8 bits."""
    torch.manual_seed(seed % 2**31)
    x = (3 * torch.randn(4, 1, 30)).bfloat16()
    weight = torch.randn(4, 1, 30).bfloat16()
    found = []
    for currents in (x, x.float()):
        sums = currents.clone().requires_grad_()
        out = recurrence.float_recurrence(sums, torch.full((30,), 0.5), 1.0, surrogate)
        assert out.dtype == currents.dtype
        (out * weight.to(currents.dtype)).sum().backward()
        found.append((out.float(), sums.grad.float()))
    assert torch.equal(found[0][0], found[1][0]) and 0 < found[0][0].mean() < 1
    assert torch.allclose(found[0][1], found[1][1], rtol=2**-7, atol=1e-30)
