"""snnTorch networks become chip networks, or are refused by the name of what the chip cannot do."""

import pytest

torch = pytest.importorskip("torch")
snn = pytest.importorskip("snntorch")

from torch import nn

from deploy.errors import BadInput
from neuroclip.convert import to_chip
from neuroclip.neurons import ChipNeuron, run

KEPT = {"reset_mechanism": "zero", "reset_delay": False, "init_hidden": True}


def test_a_dyadic_network_keeps_every_spike() -> None:
    """Weights, threshold and decay that the chip holds exactly, inputs that need no truncation."""
    torch.manual_seed(0)
    linear = nn.Linear(8, 12)
    with torch.no_grad():
        linear.weight.copy_(torch.randint(-40, 41, (12, 8)) / 32)
        linear.bias.copy_(torch.randint(-8, 9, (12,)) / 32)
    leaky = snn.Leaky(beta=0.5, threshold=1.0, **KEPT)
    chip = to_chip(nn.Sequential(linear, leaky))
    spikes = (torch.rand(30, 5, 8) < 0.4).float()
    leaky.reset_mem()
    expected = torch.stack([leaky(linear(spikes[:, t])) for t in range(5)], dim=1)
    assert torch.equal(run(chip, spikes).float(), expected)
    assert 0.05 < expected.mean() < 0.95


def test_registers_are_those_of_the_model() -> None:
    model = nn.Sequential(
        nn.Linear(4, 3, bias=False),
        snn.Synaptic(alpha=0.75, beta=0.5, threshold=2.0, **KEPT),
        nn.Dropout(0.5),
        nn.Linear(3, 2),
        snn.Leaky(beta=1.0, reset_mechanism="none", init_hidden=True),
    )
    chip = to_chip(model, message_max=7)
    assert [name for name, _ in chip.named_children()] == ["0", "1", "3", "4"]
    assert (chip[1].du, chip[1].dv, chip[1].kind) == (1023, 2048, "lif")
    assert chip[1].vth == 2 * chip[1].unit / 64
    assert (chip[3].du, chip[3].dv, chip[3].kind) == (4095, 0, "integrator")
    assert all(isinstance(chip[i], ChipNeuron) for i in (1, 3))


@pytest.mark.parametrize(
    ("layers", "message"),
    [
        ([nn.Linear(2, 2), snn.Leaky(0.5)], "module '1': reset_mechanism 'subtract'"),
        (
            [nn.Linear(2, 2), snn.Leaky(0.5, reset_mechanism="zero")],
            "module '1': reset_delay=True",
        ),
        ([nn.Linear(2, 2), nn.ReLU()], "module '1': ReLU here is not supported"),
        ([nn.Conv2d(1, 1, 3)], "module '0': Conv2d here is not supported"),
        ([nn.Linear(2, 2)], "model: its last layer is no neuron"),
        (
            [nn.Linear(2, 2), snn.Leaky(torch.tensor([0.5, 0.6]), **KEPT)],
            "module '1': one beta per neuron",
        ),
        (
            [nn.Linear(2, 2), snn.Leaky(0.5, graded_spikes_factor=2.0, **KEPT)],
            "module '1': graded_spikes_factor 2",
        ),
        (
            [nn.Linear(2, 2), snn.Synaptic(0.5, 0.5, **KEPT)],
            "module '1': a bias before a Synaptic",
        ),
    ],
)
def test_what_the_chip_does_otherwise_is_refused(layers: list[nn.Module], message: str) -> None:
    with pytest.raises(BadInput) as refused:
        to_chip(nn.Sequential(*layers))
    assert str(refused.value).startswith(message)
