"""A linear layer of spikes that are summed or averaged over time: neurons that integrate, or a refusal."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")
snn = pytest.importorskip("snntorch")

from torch import nn

import neuroclip as nc
from deploy.errors import BadInput
from neuroclip.chip.neurons import run
from neuroclip.convert.snntorch import to_chip

STEPS = 5
Make = Callable[[Any, torch.Tensor], torch.Tensor]


class Read(nn.Module):
    """Spikes [T, N, 8] of all steps, and what is made of them outside the loop."""

    def __init__(self, make: Make, bias: bool = True) -> None:
        super().__init__()
        self.a, self.fc, self.more = nn.Linear(6, 8), nn.Linear(8, 3, bias=bias), nn.Linear(3, 3)
        self.lif = snn.Leaky(0.5, threshold=0.5, reset_mechanism="zero", reset_delay=False)
        self.make = make
        generator = torch.Generator().manual_seed(0)
        with torch.no_grad():
            for p in self.parameters():
                if p.ndim:
                    p.copy_(torch.randint(-12, 16, p.shape, generator=generator) / 32)

    def forward(self, x):
        mem, found = None, []
        for t in range(x.shape[1]):
            spk, mem = self.lif(self.a(x[:, t]), mem)
            found.append(spk)
        return self.make(self, torch.stack(found))


def spikes(steps: int = STEPS) -> torch.Tensor:
    return (torch.rand(20, steps, 6, generator=torch.Generator().manual_seed(1)) < 0.5).float()


# How many times what the module returns the chip's potential is; and whether it holds for other steps.
READ: dict[str, tuple[Make, float, bool]] = {
    "a layer of the mean": (lambda m, s: m.fc(s.mean(0)), 5, True),
    "a layer of counts over the steps": (lambda m, s: m.fc(s.sum(0) / len(s)), 5, True),
    "a mean of the layer": (lambda m, s: m.fc(s).mean(0), 5, True),
    "a sum of the layer": (lambda m, s: m.fc(s).sum(0), 1, True),
    "added up in a loop": (lambda m, s: sum(m.fc(x) for x in s), 1, True),
    "a layer of the sum": (lambda m, s: m.fc(s.sum(0)), 1, False),
    "a layer of the sum, without its bias": (lambda m, s: m.fc(s.sum(0)) - m.fc.bias, 1, True),
    "a layer and a skip": (lambda m, s: m.fc(s.mean(0)) * 5 + s.sum(0)[:, :3], 1, False),
    "chosen counts": (lambda m, s: s.sum(0)[:, [3, 1, 1]] * torch.tensor([1.0, 2.0, -1.0]), 1, True),
    "counts of groups": (lambda m, s: s.sum(0).reshape(-1, 2, 4).sum(2), 1, True),
}  # fmt: skip


@pytest.mark.parametrize("name", READ)
def test_sums_over_time_are_integrated(name: str) -> None:
    make, gain, free = READ[name]
    model, sample = Read(make), spikes()
    chip = to_chip(model, sample)
    with torch.no_grad():
        expected = model(sample)
    (read,) = chip.outputs
    found = run(chip, sample)[:, -1] / chip.neuron(read).unit / gain
    # Weights are exact; a bias over five steps is rounded to the chip's unit at each.
    assert float((found - expected).abs().max()) <= STEPS * 2.0**-10
    assert torch.equal(found.argmax(1), expected.argmax(1)) and len(set(found.argmax(1))) > 1
    if free:
        run(chip, spikes(7))
        assert chip.timesteps is None
    else:
        assert "its bias spread over 5 steps" in chip.notes[1]
        with pytest.raises(BadInput, match="samples of 7 steps: the network was read on 5"):
            run(chip, spikes(7))


def test_two_layers_and_others_beside_them(tmp_path: Path) -> None:
    model, sample = Read(lambda m, s: (m.more(m.fc(s.mean(0))), s)), spikes()
    chip = to_chip(model, sample)
    assert chip.outputs == ("fc_sum", "lif")
    report = nc.export(model, sample.numpy().astype(np.uint8), out=tmp_path, record="all")
    with torch.no_grad():
        expected = model(sample)[0].argmax(1)
    assert report.ok
    assert np.mean(report.trace["fc_sum/v"][:, -1].argmax(1) == expected.numpy()) >= 0.9


def test_a_file_of_other_steps_is_refused(tmp_path: Path) -> None:
    chip = to_chip(Read(lambda m, s: m.fc(s.sum(0))), spikes())
    with pytest.raises(BadInput, match="spikes of 7 steps: the network was read on 5"):
        nc.export(chip, spikes(7).numpy().astype(np.uint8), out=tmp_path / "out")


REFUSED: dict[str, tuple[Make, str]] = {
    "every step": (lambda m, s: m.fc(s), "module 'fc': its last layer is no neuron, and its sums of"),
    "the last step": (lambda m, s: m.fc(s[-1]), "module 'fc': its last layer is no neuron"),
    "all steps but one": (lambda m, s: m.fc(s[1:].sum(0)), "module 'fc': its last layer is no neuron"),
    "steps weighed": (
        lambda m, s: m.fc((s * torch.arange(len(s))[:, None, None]).sum(0)),
        "module 'fc': its last layer is no neuron",
    ),
    "a rectified layer": (
        lambda m, s: m.more(torch.relu(m.fc(s.mean(0)))), "module 'more': it reads what operation 'relu'",
    ),
    "a softmax": (lambda m, s: m.fc(s.mean(0)).softmax(1), "output: what is returned is made by"),
    "a maximum": (lambda m, s: s.amax(0), "output: what is returned is made by operation 'amax'"),
    "a running sum": (lambda m, s: s.cumsum(0), "output: what is returned is made by operation 'cumsum'"),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_what_no_integrator_does_is_refused(name: str) -> None:
    make, message = REFUSED[name]
    with pytest.raises(BadInput, match=message) as refused:
        to_chip(Read(make), spikes())
    assert "\n" not in str(refused.value)
