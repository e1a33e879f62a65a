"""snnTorch's state_quant is kept where it changes no state, or refused with the step of its levels."""

from typing import Any

import pytest

torch = pytest.importorskip("torch")
snn = pytest.importorskip("snntorch")

from snntorch.functional import quant
from torch import nn

from deploy.errors import BadInput
from neuroclip.chip.neurons import recorded
from neuroclip.convert.snntorch import to_chip

# 32 levels in steps of 1/8: from −2 to 1.875; the chip's threshold must lie below the highest.
EIGHTHS = {"num_bits": 5, "threshold": 1.9375, "lower_limit": 1 / 31, "upper_limit": -1 / 31}
KEPT = {"reset_mechanism": "zero", "reset_delay": False, "init_hidden": True}


def network(
    weights: Any, beta: float = 1.0, bias: float = 0.0, levels: Any = EIGHTHS, **options: Any
) -> nn.Module:
    layer = nn.Linear(4, 3)
    with torch.no_grad():
        layer.weight.copy_(torch.as_tensor(weights).expand(3, 4))
        layer.bias.fill_(bias)
    made = quant.state_quant(**levels) if isinstance(levels, dict) else levels
    return nn.Sequential(layer, snn.Leaky(beta, state_quant=made, **(KEPT | options)))


POSITIVE = torch.tensor([[0.125, 0.25, 0.5, 0.375], [0.25, 0, 0.125, 0.125], [1, 0.5, 0, 0]])
SIGNED = POSITIVE * torch.tensor([1, -1, 1, -1])


@pytest.mark.parametrize(
    ("model", "rate"),
    [
        (lambda: network(POSITIVE), 0.3),
        (lambda: network(POSITIVE, bias=0.125, beta=0.0, threshold=0.5), 0.3),
        (lambda: network(SIGNED, beta=0.0, threshold=0.25), 0.2),
    ],
)
def test_states_that_are_levels_are_kept(model: Any, rate: float) -> None:
    made = model()
    sample = (torch.rand(20, 6, 4, generator=torch.Generator().manual_seed(0)) < 0.5).float()
    chip = to_chip(made, sample)
    made[1].reset_mem()
    with torch.no_grad():
        expected = torch.stack([made(sample[:, t]) for t in range(6)], 1)
    assert torch.equal(recorded(chip, sample)["1"][2], expected.double())
    assert rate / 2 < expected.mean() < 0.9


REFUSED = {
    "its default": (
        lambda: network(POSITIVE, levels={}), r"rounds states to steps of 0\.00862\d+ from -1 to 1\.2",
    ),
    "levels that are not uniform": (
        lambda: network(POSITIVE, levels={"num_bits": 4, "uniform": False}), "rounds states to steps of",
    ),
    "a leak": (lambda: network(POSITIVE, beta=0.5), r"in steps of 0\.125, may change .* beta is 0\.5"),
    "fine weights": (lambda: network(POSITIVE / 2), "weights of '0' that are no multiples"),
    "a fine bias": (lambda: network(POSITIVE, bias=0.0625), "a bias that is no multiple"),
    "inhibition that adds up": (lambda: network(SIGNED), "sums as low as .*, with beta 1"),
    "sums below the lowest": (
        lambda: network(SIGNED * 8, beta=0.0), "sums as low as -5, below the lowest -2",
    ),
    "a threshold beyond": (lambda: network(POSITIVE, threshold=1.875), "its threshold is not below"),
    "an integrator": (lambda: network(POSITIVE, reset_mechanism="none"), "adds up without end"),
    "a function of one's own": (
        lambda: network(POSITIVE, levels=torch.round), "its state_quant is a function that is not known",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_states_that_it_rounds_are_refused(name: str) -> None:
    make, message = REFUSED[name]
    with pytest.raises(BadInput, match=f"module '1': .*{message}") as refused:
        to_chip(make())
    assert "\n" not in str(refused.value)


def test_filtered_currents_are_states_too() -> None:
    made = quant.state_quant(**EIGHTHS)
    for alpha, passes in ((0.0, True), (0.5, False)):
        layer = nn.Linear(4, 3, bias=False)
        with torch.no_grad():
            layer.weight.copy_(POSITIVE)
        model = nn.Sequential(layer, snn.Synaptic(alpha, 1.0, state_quant=made, **KEPT))
        if passes:
            to_chip(model)
        else:
            with pytest.raises(BadInput, match=r"may change its states: alpha is 0\.5"):
                to_chip(model)
