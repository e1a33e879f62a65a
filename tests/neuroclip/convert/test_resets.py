"""snnTorch's resets are named, turned into the chip's, and the change is counted."""

import pytest

torch = pytest.importorskip("torch")
snn = pytest.importorskip("snntorch")

from torch import nn

from deploy.errors import BadInput
from neuroclip.convert.resets import require_chip_resets, reset_effect, with_chip_reset
from neuroclip.convert.snntorch import to_chip

KEPT = {"reset_mechanism": "zero", "reset_delay": False, "init_hidden": True}


def network(**options: object) -> nn.Sequential:
    """A constant drive of 0.5 through weight 1: v passes the threshold of 1 in every third step."""
    linear = nn.Linear(1, 1, bias=False)
    nn.init.constant_(linear.weight, 1.0)
    return nn.Sequential(linear, snn.Leaky(beta=1.0, init_hidden=True, **options))


def test_the_effect_of_a_reset_is_counted_by_hand() -> None:
    """Subtracting 1 of 1.5 keeps 0.5: spikes at 3, 5, 7, 9; set to zero: at 3, 6, 9."""
    model = network(reset_mechanism="subtract", reset_delay=False)
    (effect,) = reset_effect(model, torch.full((1, 10, 1), 0.5))
    assert (effect.name, effect.before, effect.after) == ("1", 4, 3)
    assert (effect.mismatches, effect.values) == (3, 10)  # steps 5, 6 and 7
    assert effect.describe() == "'1': 4 spikes before, 3 after; 3 of 10 values differ"


def test_a_model_that_resets_as_the_chip_does_changes_nothing() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Linear(6, 8), snn.Synaptic(0.5, 0.9, **KEPT), nn.Linear(8, 3), snn.Leaky(0.8, **KEPT)
    )
    with torch.no_grad():
        for layer in (model[0], model[2]):
            layer.weight.mul_(4)
    effects = reset_effect(model, (torch.rand(5, 20, 6) < 0.4).float())
    assert [e.name for e in effects] == ["1", "3"]
    assert all(e.mismatches == 0 and e.before > 0 for e in effects)


@pytest.mark.parametrize("delayed", [False, True])
@pytest.mark.parametrize("mechanism", ["subtract", "zero"])
def test_the_copy_resets_as_the_chip_does_and_the_model_stays(
    mechanism: str, delayed: bool
) -> None:
    torch.manual_seed(1)
    model = nn.Sequential(
        nn.Linear(6, 8),
        snn.Leaky(0.9, reset_mechanism=mechanism, reset_delay=delayed, init_hidden=True),
    )
    kept = nn.Sequential(model[0], snn.Leaky(0.9, **KEPT))
    changed = with_chip_reset(model)
    for t in range(20):
        x = torch.rand(4, 6) * 3
        assert torch.equal(changed(x), kept(x)), t
    assert model[1].reset_mechanism == mechanism and model[1].reset_delay == delayed
    require_chip_resets(changed)
    to_chip(changed)


def test_a_network_that_steps_through_time_itself_is_measured_too() -> None:
    class Own(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.fc = nn.Linear(4, 5)
            self.lif = snn.RLeaky(beta=0.9, linear_features=5)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            spikes, mem = self.lif.reset_mem()
            total = torch.zeros(x.shape[0], 5)
            for t in range(x.shape[1]):
                spikes, mem = self.lif(self.fc(x[:, t]), spikes, mem)
                total = total + spikes
            return total

    torch.manual_seed(0)
    model = Own()
    (effect,) = reset_effect(model, 4 * torch.rand(3, 15, 4), lambda m, x: m(x))
    assert effect.name == "lif" and effect.values == 3 * 15 * 5
    assert effect.mismatches > 0


@pytest.mark.parametrize(
    ("neuron", "message"),
    [
        (snn.Leaky(0.5), "module '1': reset_mechanism 'subtract' cannot be expressed in NIR"),
        (
            snn.Synaptic(0.5, 0.5, reset_mechanism="zero"),
            "module '1': reset_delay=True resets one step late, and Synaptic takes that step's input",
        ),
    ],
)
def test_what_nir_cannot_express_is_named(neuron: nn.Module, message: str) -> None:
    from export.nir_format.write.module import to_nir

    model = nn.Sequential(nn.Linear(2, 2), neuron)
    for refuse in (require_chip_resets, to_nir):
        with pytest.raises(BadInput) as refused:
            refuse(model)
        assert str(refused.value).startswith(message)
        assert "with_chip_reset" in str(refused.value)


def test_a_neuron_that_cannot_reset_within_the_step_is_named() -> None:
    model = nn.Sequential(nn.Linear(2, 2), snn.Lapicque(beta=0.5, init_hidden=True))
    with pytest.raises(BadInput, match="module '1': Lapicque cannot reset within the step"):
        with_chip_reset(model)
    with pytest.raises(BadInput, match="no snnTorch neuron is called"):
        reset_effect(nn.Sequential(nn.Linear(2, 2)), torch.zeros(1, 2, 2))
