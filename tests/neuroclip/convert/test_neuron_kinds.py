"""Every kind of snnTorch's neurons with every reset: fires as the installed snnTorch does, or is refused."""

from typing import Any

import pytest

torch = pytest.importorskip("torch")
snn = pytest.importorskip("snntorch")

from torch import nn

from deploy.errors import BadInput
from neuroclip.chip.neurons import recorded
from neuroclip.convert.snntorch import to_chip

KEPT = {"reset_mechanism": "zero", "reset_delay": False, "init_hidden": True}
RESETS: dict[str, dict[str, Any]] = {
    "at once": {"reset_mechanism": "zero", "reset_delay": False},
    "late": {"reset_mechanism": "zero", "reset_delay": True},
    "subtract": {"reset_mechanism": "subtract", "reset_delay": False},
    "none": {"reset_mechanism": "none"},
}
LOOPS: dict[str, dict[str, Any]] = {
    "linear": {"linear_features": 8},
    "convolution": {"conv2d_channels": 2, "kernel_size": 3},
    "one weight": {"all_to_all": False, "V": 0.25},
    "a weight each": {"all_to_all": False, "V": torch.arange(8) / 16},
}
REASONS = {
    ("RLeaky", "late"): "one step late, and RLeaky takes that step's input with it",
    ("RLeaky", "none"): "it never resets, so it can only be read, and others read it",
    ("RSynaptic", "none"): "it never resets, so it can only be read, and others read it",
    ("RLeaky", "subtract"): "reset_mechanism 'subtract'",
}


class Looped(nn.Module):
    """A layer, neurons, and their states passed on or kept inside."""

    def __init__(self, neuron: nn.Module, image: bool) -> None:
        super().__init__()
        self.layer = nn.Conv2d(1, 2, 3, bias=False) if image else nn.Linear(4, 8, bias=False)
        self.cell = neuron

    def forward(self, x):
        states, found = self.cell.reset_mem(), []
        states = states if isinstance(states, tuple) else (states,)
        for t in range(x.shape[1]):
            current = self.layer(x[:, t])
            if self.cell.init_hidden:
                found.append(self.cell(current))
                continue
            spk, *after = self.cell(current, *states)
            states = tuple(after) if len(after) == len(states) else (spk, *after)
            found.append(spk)
        return torch.stack(found, 1)


def on_a_grid(model: nn.Module) -> nn.Module:
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if parameter.ndim and not name.endswith(".V"):
                drawn = torch.randint(-8, 12, parameter.shape, generator=generator)
                parameter.copy_(drawn / 32)
    return model


def outcome(neuron: nn.Module, image: bool) -> str | float:
    """The rate at which both fire, or why it is refused. Other spikes fail."""
    model = on_a_grid(Looped(neuron, image)).eval()
    shape = (1, 4, 4) if image else (4,)
    sample = (torch.rand(12, 4, *shape, generator=torch.Generator().manual_seed(1)) < 0.5).float()
    try:
        chip = to_chip(model, sample, layout="batch-first")
    except BadInput as error:
        return str(error)
    with torch.no_grad():
        expected = model(sample)
    found = recorded(chip, sample)["cell"]
    if chip.neuron("cell").kind == "integrator":
        return "read"
    assert torch.equal(found[2], expected.double())
    return float(expected.mean())


@pytest.mark.parametrize("hidden", [False, True], ids=["given", "hidden"])
@pytest.mark.parametrize("reset", RESETS)
@pytest.mark.parametrize("loop", LOOPS)
@pytest.mark.parametrize("kind", ["RLeaky", "RSynaptic"])
def test_recurrent_neurons(kind: str, loop: str, reset: str, hidden: bool) -> None:
    decays = {"beta": 0.5} | ({"alpha": 0.5} if kind == "RSynaptic" else {})
    options = {**RESETS[reset], **LOOPS[loop], "threshold": 0.5, "init_hidden": hidden}
    found = outcome(getattr(snn, kind)(**decays, **options), loop == "convolution")
    if (kind, reset) == ("RLeaky", "at once"):
        assert isinstance(found, float) and 0.05 < found < 0.95
    else:
        late = "RSynaptic of this snnTorch cannot reset within the step"
        assert REASONS.get((kind, reset), late) in str(found)
        assert str(found).startswith("module 'cell")


@pytest.mark.parametrize("hidden", [False, True], ids=["given", "hidden"])
@pytest.mark.parametrize("reset", RESETS)
@pytest.mark.parametrize("kind", ["Leaky", "Synaptic", "Lapicque"])
def test_others(kind: str, reset: str, hidden: bool) -> None:
    """Leaky that is set to zero one step late fires as one that is set at once."""
    decays = {"Leaky": {"beta": 0.5}, "Synaptic": {"alpha": 0.5, "beta": 0.5}}.get(
        kind, {"R": 1, "C": 2, "time_step": 1}
    )
    options = {**RESETS[reset], "threshold": 0.5, "init_hidden": hidden}
    if kind == "Lapicque":
        options.pop("reset_delay", None)
    found = outcome(getattr(snn, kind)(**decays, **options), False)
    fires = {("Leaky", "at once"), ("Leaky", "late"), ("Synaptic", "at once")}
    if (kind, reset) in fires:
        assert isinstance(found, float) and 0.05 < found < 0.95
    elif reset == "none":
        assert found == "read"
    else:
        assert str(found).startswith("module 'cell': ")


def test_a_late_reset_shows_another_potential_at_a_spike() -> None:
    neuron = snn.Leaky(0.5, threshold=0.5, reset_mechanism="zero", init_hidden=True, output=True)
    model = on_a_grid(nn.Sequential(nn.Linear(4, 8), neuron))
    chip = to_chip(model)
    assert "after its reset, which the module shows before it" in chip.notes[1]


def test_a_name_that_the_network_has_itself_gets_a_number() -> None:
    class Named(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.order, self.neuron = nn.Linear(4, 8), snn.Leaky(0.5, **KEPT)

        def forward(self, x):
            return self.neuron(self.order(x))

    chip = to_chip(Named(), output="neuron")
    assert chip.outputs == ("neuron_2",) and [w.name for w in chip.wires] == ["order_2"]
