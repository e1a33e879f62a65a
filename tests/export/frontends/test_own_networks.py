"""Networks as people write them: equal in module, quantized torch and emulator, or refused with the reason.

Weights, thresholds and decays are such that the chip holds them exactly, so that every spike of the
person's own module must be the chip's.
"""

from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")
snn = pytest.importorskip("snntorch")

from snntorch import utils
from torch import nn
from torch.nn import functional as F

from deploy.compare.parity import compare
from deploy.emulate.reference import emulate
from deploy.errors import BadInput
from deploy.program.program import registers
from export.frontends.network import from_network
from export.lowering.exact import lower
from export.nir_format.read.file import read_nir
from export.nir_format.write.file import write_nir
from export.nir_format.write.module import to_nir
from export.run.pipeline import Options
from export.run.pipeline import run as export_run
from export.run.torch_run import run_torch, torch_registers
from neuroclip.chip.neurons import recorded
from neuroclip.convert.snntorch import to_chip

ZERO = {"reset_mechanism": "zero", "reset_delay": False}
HIDDEN = {**ZERO, "init_hidden": True}
STEPS = 4


def lif(threshold: float = 0.5, **options: Any) -> nn.Module:
    return snn.Leaky(0.5, threshold=threshold, **{**ZERO, **options})


def reader(**options: Any) -> nn.Module:
    return snn.Leaky(1.0, reset_mechanism="none", **options)


def rleaky(**options: Any) -> nn.Module:
    return snn.RLeaky(0.5, threshold=0.5, **{**ZERO, **options})


Model = tuple[type[nn.Module], tuple[int, ...], str, tuple[str, ...]]
MODELS: dict[str, Model] = {}


def model(
    shape: tuple[int, ...], layout: str, *outputs: str
) -> Callable[[type[nn.Module]], type[nn.Module]]:
    """A network on inputs of this shape and layout, and the populations read, the answer first."""

    def noted(made: type[nn.Module]) -> type[nn.Module]:
        MODELS[made.__name__] = made, shape, layout, outputs
        return made

    return noted


class TwoLayers(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc1, self.lif1 = nn.Linear(6, 8), lif()
        self.fc2, self.lif2 = nn.Linear(8, 3), lif()


@model((6,), "time-first", "lif2")
class TutorialDense(TwoLayers):
    """Explicit state, time first, spikes and potentials stacked."""

    def forward(self, x):
        mem1, mem2 = self.lif1.init_leaky(), self.lif2.init_leaky()
        spikes, potentials = [], []
        for step in range(x.size(0)):
            spk1, mem1 = self.lif1(self.fc1(x[step]), mem1)
            spk2, mem2 = self.lif2(self.fc2(spk1), mem2)
            spikes.append(spk2)
            potentials.append(mem2)
        return torch.stack(spikes, dim=0), torch.stack(potentials, dim=0)


@model((6,), "time-first", "out", "hidden")
class HiddenRecorded(nn.Module):
    """The answer, its potential, and a recorded hidden layer whose name comes first in the alphabet."""

    def __init__(self):
        super().__init__()
        self.a, self.hidden = nn.Linear(6, 8), lif()
        self.b, self.out = nn.Linear(8, 2), lif()

    def forward(self, x):
        mem_h = mem_o = None
        spk_out, mem_out, spk_hidden = [], [], []
        for t in range(x.shape[0]):
            s_h, mem_h = self.hidden(self.a(x[t]), mem_h)
            s_o, mem_o = self.out(self.b(s_h), mem_o)
            spk_out.append(s_o)
            mem_out.append(mem_o)
            spk_hidden.append(s_h)
        return torch.stack(spk_out), torch.stack(mem_out), torch.stack(spk_hidden)


@model((6,), "step", "lif2", "lif1")
class SpikeAndPotentials(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc1, self.lif1 = nn.Linear(6, 8), lif(init_hidden=True, output=True)
        self.fc2, self.lif2 = nn.Linear(8, 2), lif(init_hidden=True, output=True)

    def forward(self, x):
        s1, mem1 = self.lif1(self.fc1(x))
        s2, mem2 = self.lif2(self.fc2(s1))
        return s2, mem1, mem2


@model((6,), "batch-first", "out")
class PotentialOnly(nn.Module):
    """A layer that never resets answers by its potential."""

    def __init__(self):
        super().__init__()
        self.fc1, self.lif1 = nn.Linear(6, 8), lif()
        self.fc2, self.out = nn.Linear(8, 3), reader()

    def forward(self, x):
        utils.reset(self)
        mem1, memo = self.lif1.reset_mem(), self.out.reset_mem()
        for t in range(x.shape[1]):
            spk1, mem1 = self.lif1(self.fc1(x[:, t]), mem1)
            _, memo = self.out(self.fc2(spk1), memo)
        return memo


@model((2, 8, 8), "time-first", "lif3")
class TutorialConvolutional(nn.Module):
    """snnTorch's tutorial on convolutional networks: pools before the neurons, functions for pools."""

    def __init__(self):
        super().__init__()
        self.conv1, self.lif1 = nn.Conv2d(2, 3, 3, padding=1), lif()
        self.conv2, self.lif2 = nn.Conv2d(3, 4, 3, padding=1), lif()
        self.fc1, self.lif3 = nn.Linear(4 * 2 * 2, 3), lif()

    def forward(self, x):
        mem1, mem2, mem3 = (m.reset_mem() for m in (self.lif1, self.lif2, self.lif3))
        spikes = []
        for step in range(STEPS):
            cur1 = F.avg_pool2d(self.conv1(x[step]), 2)
            spk1, mem1 = self.lif1(cur1, mem1)
            cur2 = F.avg_pool2d(self.conv2(spk1), 2)
            spk2, mem2 = self.lif2(cur2, mem2)
            cur3 = self.fc1(spk2.view(x.shape[1], -1))
            spk3, mem3 = self.lif3(cur3, mem3)
            spikes.append(spk3)
        return torch.stack(spikes)


@model((2, 8, 8), "step", "9")
class Sequentially(nn.Sequential):
    """Hidden states and a max pool, one step a call."""

    def __init__(self):
        super().__init__(
            nn.Conv2d(2, 4, 3), nn.BatchNorm2d(4), lif(init_hidden=True), nn.MaxPool2d(2),
            nn.Dropout2d(), nn.Conv2d(4, 4, 2), lif(1.5, init_hidden=True), nn.Flatten(),
            nn.Linear(16, 3), lif(1.0, init_hidden=True),
        )  # fmt: skip


@model((6,), "step", "out")
class SpikeElementAdd(nn.Module):
    """A layer reads the sum of two branches: one reads both."""

    def __init__(self):
        super().__init__()
        self.a, self.lif1 = nn.Linear(6, 6), lif(init_hidden=True)
        self.b, self.lif2 = nn.Linear(6, 6), lif(init_hidden=True)
        self.c, self.out = nn.Linear(6, 3), lif(init_hidden=True)

    def forward(self, x):
        first = self.lif1(self.a(x))
        return self.out(self.c(first + self.lif2(self.b(first))))


@model((6,), "step", "out")
class SharedLinear(nn.Module):
    """One layer on two populations."""

    def __init__(self):
        super().__init__()
        self.a, self.lif1, self.lif2 = nn.Linear(6, 6), lif(init_hidden=True), lif(init_hidden=True)
        self.out = lif(0.75, init_hidden=True)

    def forward(self, x):
        first = self.lif1(self.a(x))
        second = self.lif2(self.a(first))
        return self.out(self.a(second))


@model((6,), "batch-first", "lif_2")
class SharedNeurons(nn.Module):
    """One neuron module for two layers, each with its own state: two populations."""

    def __init__(self):
        super().__init__()
        self.a, self.b, self.lif = nn.Linear(6, 5), nn.Linear(5, 4), lif()

    def forward(self, x):
        mem1, mem2 = torch.zeros(x.shape[0], 5), torch.zeros(x.shape[0], 4)
        out = []
        for t in range(x.shape[1]):
            spk, mem1 = self.lif(self.a(x[:, t]), mem1)
            spk, mem2 = self.lif(self.b(spk), mem2)
            out.append(spk)
        return torch.stack(out, 1)


@model((6,), "batch-first", "lif2")
class Keywords(TwoLayers):
    def forward(self, x, num_steps):
        mem1, mem2 = self.lif1.reset_mem(), self.lif2.reset_mem()
        total = 0
        for t in range(num_steps):
            spk, mem1 = self.lif1(mem=mem1, input_=self.fc1(input=x[:, t]))
            spk, mem2 = self.lif2(input_=self.fc2(spk), mem=mem2)
            total = total + spk
        return total


@model((6,), "time-first", "loop")
class ExplicitRecurrence(nn.Module):
    """Zeros as the first recurrent state, a Linear from the spikes of the step before."""

    def __init__(self):
        super().__init__()
        self.fc, self.back, self.loop = nn.Linear(6, 5), nn.Linear(5, 5, bias=False), lif()

    def forward(self, x):
        spk, mem = torch.zeros(x.shape[1], 5), torch.zeros(x.shape[1], 5)
        out = torch.zeros(x.shape[0], x.shape[1], 5)
        for t in range(x.shape[0]):
            spk, mem = self.loop(self.fc(x[t]) + self.back(spk), mem)
            out[t] = spk
        return out


@model((6,), "batch-first", "a", "b")
class TwoLayerLoop(nn.Module):
    """The second layer drives the first one a step later."""

    def __init__(self):
        super().__init__()
        self.fc, self.forth, self.back = nn.Linear(6, 5), nn.Linear(5, 4), nn.Linear(4, 5)
        self.a, self.b = lif(), lif()

    def forward(self, x):
        mem_a, mem_b, spk_b = None, None, torch.zeros(len(x), 4)
        all_a, all_b = [], []
        for t in range(x.shape[1]):
            spk_a, mem_a = self.a(self.fc(x[:, t]) + self.back(spk_b), mem_a)
            spk_b, mem_b = self.b(self.forth(spk_a), mem_b)
            all_a.append(spk_a)
            all_b.append(spk_b)
        return torch.stack(all_a, 1), torch.stack(all_b, 1)


@model((6,), "time-first", "r2")
class RecurrentNeurons(nn.Module):
    """All to all and one to one, explicit and hidden state."""

    def __init__(self):
        super().__init__()
        self.a, self.r1 = nn.Linear(6, 5), rleaky(linear_features=5)
        self.b = nn.Linear(5, 4)
        self.r2 = rleaky(all_to_all=False, V=0.25, init_hidden=True)

    def forward(self, x):
        self.r2.reset_mem()
        spk, mem = self.r1.reset_mem()
        out = []
        for t in range(x.shape[0]):
            spk, mem = self.r1(self.a(x[t]), spk, mem)
            out.append(self.r2(self.b(spk)))
        return torch.stack(out)


@model((1, 6, 5), "step", "loop")
class ConvolutionalRecurrence(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(1, 3, 3)
        self.loop = rleaky(conv2d_channels=3, kernel_size=3, init_hidden=True)

    def forward(self, x):
        return self.loop(self.conv(x))


@model((6,), "batch-first", "lif2")
class LinearOutsideTheLoop(TwoLayers):
    """Projections of all steps at once, batch first."""

    def forward(self, x):
        currents = self.fc1(x)
        mem1, mem2 = self.lif1.reset_mem(), self.lif2.reset_mem()
        hidden = []
        for t in range(x.shape[1]):
            spk, mem1 = self.lif1(currents[:, t], mem1)
            hidden.append(spk)
        currents, out = self.fc2(torch.stack(hidden, dim=1)), []
        for current in currents.unbind(1):
            spk, mem2 = self.lif2(current, mem2)
            out.append(spk)
        return torch.stack(out).permute(1, 0, 2)


@model((2, 6, 6), "time-first", "lif2")
class MergedTimeAndBatch(nn.Module):
    """Convolutions over steps and samples in one go, as (T·N, C, H, W)."""

    def __init__(self):
        super().__init__()
        self.conv, self.norm, self.lif1 = nn.Conv2d(2, 3, 3), nn.BatchNorm2d(3), lif()
        self.fc, self.lif2 = nn.Linear(3 * 2 * 2, 3), lif()

    def forward(self, x):
        t, n = x.shape[:2]
        y = F.avg_pool2d(self.norm(self.conv(x.flatten(0, 1))), 2).unflatten(0, (t, n))
        mem1, mem2, out = None, None, []
        for step in y:
            spk, mem1 = self.lif1(step, mem1)
            spk, mem2 = self.lif2(self.fc(spk.flatten(1)), mem2)
            out.append(spk)
        return torch.stack(out).mean(0)


@model((6,), "step", "lif2")
class Chosen(nn.Module):
    """Permuted and chosen channels, flipped and rolled, in and between layers."""

    def __init__(self):
        super().__init__()
        self.fc1, self.lif1 = nn.Linear(4, 6), lif(init_hidden=True)
        self.fc2, self.lif2 = nn.Linear(5, 3), lif(init_hidden=True)

    def forward(self, x):
        spk = self.lif1(self.fc1(x[:, [5, 4, 0, 2]]))
        spk = torch.cat([spk[:, 3:], spk[:, [1, 1]]], dim=1).flip(1)
        return self.lif2(self.fc2(torch.roll(spk, 1, dims=1)))


@model((6,), "step", "chosen_lif2")
class ChosenAtTheEnd(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc, self.lif2 = nn.Linear(6, 4), lif(init_hidden=True)

    def forward(self, x):
        return self.lif2(self.fc(x))[:, [2, 0, 3]]


@model((6,), "time-first", "chosen_left_right")
class TwoHeads(nn.Module):
    """Two heads side by side: four outputs, not two."""

    def __init__(self):
        super().__init__()
        self.fc, self.trunk = nn.Linear(6, 8), lif()
        self.a, self.left = nn.Linear(8, 2), lif()
        self.b, self.right = nn.Linear(8, 2), lif()

    def forward(self, x):
        mems, out = [None, None, None], []
        for t in range(x.shape[0]):
            spk, mems[0] = self.trunk(self.fc(x[t]), mems[0])
            left, mems[1] = self.left(self.a(spk), mems[1])
            right, mems[2] = self.right(self.b(spk), mems[2])
            out.append(torch.cat([left, right], dim=1))
        return torch.stack(out)


@model((6,), "step", "out")
class Concatenated(nn.Module):
    """Two branches concatenated before a layer, the input beside them."""

    def __init__(self):
        super().__init__()
        self.a, self.left, self.b, self.right = nn.Linear(6, 3), lif(init_hidden=True), nn.Linear(6, 4), lif(
            init_hidden=True)  # fmt: skip
        self.fc, self.out = nn.Linear(13, 3), lif(init_hidden=True)

    def forward(self, x):
        return self.out(self.fc(torch.cat((self.left(self.a(x)), self.right(self.b(x)), x), 1)))


@model((6,), "batch-first", "layers_3_1")
class Listed(nn.Module):
    """Layers in lists and dicts."""

    def __init__(self):
        super().__init__()
        sizes = [6, 8, 7, 5, 3]
        self.layers = nn.ModuleList(
            nn.ModuleList([nn.Linear(a, b), lif()]) for a, b in pairwise(sizes)
        )
        self.extra = nn.ModuleDict({"drop": nn.Dropout(0.5)})

    def forward(self, x):
        mems = [None] * len(self.layers)
        out = []
        for t in range(x.shape[1]):
            spk = x[:, t]
            for i, (fc, neuron) in enumerate(self.layers):
                spk, mems[i] = neuron(fc(self.extra["drop"](spk)), mems[i])
            out.append(spk)
        return {"spikes": torch.stack(out, 1)}


@model((3, 6, 6), "step", "out")
class Residual(nn.Module):
    """A pre-activation skip: currents are added, and the sum is read again."""

    def __init__(self):
        super().__init__()
        self.stem = nn.Conv2d(3, 4, 3, padding=1, bias=False)
        self.lif1, self.conv1 = lif(init_hidden=True), nn.Conv2d(4, 4, 3, padding=1, bias=False)
        self.lif2 = lif(init_hidden=True)
        self.pool, self.fc, self.out = (
            nn.AdaptiveAvgPool2d(3),
            nn.Linear(36, 3),
            lif(2.0, init_hidden=True),
        )

    def forward(self, x):
        current = self.stem(x)
        current = current + self.conv1(self.lif1(current))
        return self.out(self.fc(self.pool(self.lif2(current)).flatten(1)))


@model((6,), "static", "lif2")
class Static(TwoLayers):
    """The same image at every step."""

    def forward(self, x):
        mem1, mem2 = self.lif1.init_leaky(), self.lif2.init_leaky()
        out = []
        for _ in range(STEPS):
            spk, mem1 = self.lif1(self.fc1(x), mem1)
            spk, mem2 = self.lif2(self.fc2(spk), mem2)
            out.append(spk)
        return torch.stack(out)


@model((4, 4), "step", "lif")
class ScaledAndMasked(nn.Module):
    """A flattened image, factors, a mask, a bias added by hand, a matrix of one's own."""

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(16, 5))
        self.bias = nn.Parameter(torch.zeros(5))
        self.register_buffer("mask", (torch.arange(16) % 3 > 0).float())
        self.lif = lif(init_hidden=True)

    def forward(self, x):
        x = x.reshape(x.shape[0], -1) * self.mask
        return self.lif((x @ self.weight - x[:, :5] / 2 + self.bias) * 2.0)


@model((6,), "time-first", "out")
class FilteredCurrents(nn.Module):
    """Synaptic neurons, explicit state, and a Lapicque circuit that is read."""

    def __init__(self):
        super().__init__()
        self.a = nn.Linear(6, 5, bias=False)
        self.syn = snn.Synaptic(0.5, 0.5, threshold=0.5, **ZERO)
        self.b = nn.Linear(5, 3, bias=False)
        self.out = snn.Lapicque(R=1, C=2, time_step=1, reset_mechanism="none")

    def forward(self, x):
        syn, mem = self.syn.reset_mem()
        out_mem = self.out.reset_mem()
        potentials = []
        for t in range(x.shape[0]):
            spk, syn, mem = self.syn(self.a(x[t]), syn, mem)
            _, out_mem = self.out(self.b(spk), out_mem)
            potentials.append(out_mem)
        return torch.stack(potentials)


@model((2, 5, 5), "step", "lif2")
class NormedFirst(nn.Module):
    """A norm before a padded convolution: a bias that differs at the edges; a pool that leaves a rest."""

    def __init__(self):
        super().__init__()
        self.norm, self.conv1 = nn.BatchNorm2d(2), nn.Conv2d(2, 3, 3, padding=1)
        self.lif1 = lif(2.0, init_hidden=True)
        self.conv2, self.lif2 = nn.Conv2d(3, 2, 3, padding=1), lif(init_hidden=True)

    def forward(self, x):
        spk = self.lif1(self.conv1(self.norm(x)))
        return self.lif2(self.conv2(F.avg_pool2d(spk, 2)))


@model((6,), "batch-first", "out")
class Delayed(nn.Module):
    """A skip that is a step late, and no loop."""

    def __init__(self):
        super().__init__()
        self.a, self.lif1 = nn.Linear(6, 5), lif(init_hidden=True)
        self.b, self.late, self.out = (
            nn.Linear(5, 3),
            nn.Linear(6, 3, bias=False),
            lif(init_hidden=True),
        )

    def forward(self, x):
        before, found = torch.zeros(len(x), 6), []
        for t in range(x.shape[1]):
            spk = self.lif1(self.a(x[:, t]))
            found.append(self.out(self.b(spk) + self.late(before)))
            before = x[:, t]
        return torch.stack(found, 1)


def on_a_grid(made: nn.Module, seed: int = 0) -> nn.Module:
    """Weights and biases that the chip holds exactly, in evaluation mode."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in made.parameters():
            if parameter.ndim:
                fan_in = parameter[0].numel() if parameter.ndim > 1 else 40
                drawn = torch.randint(-12, 13, parameter.shape, generator=generator)
                parameter.copy_((drawn + int(12 / fan_in**0.5)) / 32)
        for module in made.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.eps = 0.0
                module.running_var.fill_(4.0)
                module.weight.fill_(4.0)
    return made.eval()


@torch.no_grad()
def own_spikes(made: nn.Module, sample: torch.Tensor, layout: str) -> dict[str, list[torch.Tensor]]:
    """What each neuron module fires at each of its calls, the module run as its author would run it."""
    sent: dict[str, list[torch.Tensor]] = {}
    hooks = [
        m.register_forward_hook(
            lambda _m, _i, out, name=name: sent.setdefault(name.replace(".", "_"), []).append(
                (out[0] if isinstance(out, tuple) else out).clone()
            )
        )
        for name, m in made.named_modules()
        if isinstance(m, snn.SpikingNeuron)
    ]
    utils.reset(made)
    if layout == "step":
        for t in range(sample.shape[1]):
            made(sample[:, t])
    else:
        x = {"time-first": sample.transpose(0, 1), "static": sample[:, 0]}.get(layout, sample)
        made(x, STEPS) if isinstance(made, Keywords) else made(x)
    for hook in hooks:
        hook.remove()
    return sent


@pytest.fixture(params=sorted(MODELS))
def own(request: pytest.FixtureRequest) -> Any:
    made, shape, layout, outputs = MODELS[request.param]
    network = on_a_grid(made())
    sample = (
        torch.rand(12, STEPS, *shape, generator=torch.Generator().manual_seed(1)) < 0.5
    ).float()
    if layout == "static":
        sample = sample[:, :1].expand(-1, STEPS, *shape).contiguous()
    return SimpleNamespace(
        network=network, shape=shape, layout=layout, outputs=outputs, sample=sample,
        chip=to_chip(network, sample),
    )  # fmt: skip


def test_the_chip_fires_as_the_module_does(own: Any) -> None:
    expected = own_spikes(own.network, own.sample, own.layout)
    found = recorded(own.chip, own.sample)
    assert own.chip.outputs == own.outputs
    assert "the given sample (12" in own.chip.notes[0]
    rates = {}
    for name, parts in expected.items():
        populations = [n for n in found if n == name or n.startswith(f"{name}_")]
        for i, population in enumerate(sorted(populations)):
            if own.chip.neuron(population).kind == "integrator":
                continue
            spikes = torch.stack(parts[i :: len(populations)], dim=1)
            assert torch.equal(found[population][2], spikes.double()), population
            rates[population] = float(spikes.mean())
    assert all(0.01 < rate < 0.99 for rate in rates.values()), rates


def test_it_is_found_without_a_sample(own: Any) -> None:
    chip = to_chip(own.network, shape=own.shape)
    assert chip.outputs == own.outputs and "random spikes" in chip.notes[0]
    assert chip.wires == own.chip.wires
    weights, others = chip.state_dict(), own.chip.state_dict()
    assert all(torch.equal(weights[name], others[name]) for name in others if "bias" not in name)


def test_torch_and_emulator_agree(own: Any, tmp_path: Path) -> None:
    write_nir(tmp_path / "model.nir", to_nir(own.chip))
    program = lower(read_nir(tmp_path / "model.nir"))
    inputs = {"input": own.sample.numpy().astype(np.int8)}
    found = compare(
        "torch", torch_registers(own.chip), run_torch(own.chip, inputs),
        "emulator", registers(program), emulate(program, inputs),
    )  # fmt: skip
    assert found.ok, found.describe()


class Refused(nn.Module):
    """Layers of all kinds, and a forward that is given."""

    def __init__(self, forward: Callable[..., Any], **modules: nn.Module) -> None:
        super().__init__()
        self.fc, self.lif = nn.Linear(6, 6), lif(init_hidden=True)
        self.fc2, self.lif2 = nn.Linear(6, 6), lif(init_hidden=True)
        self.out = reader(init_hidden=True, output=True)
        self.free = lif()
        for name, module in modules.items():
            setattr(self, name, module)
        self.make = forward

    def forward(self, x):
        return self.make(self, x)


def late_input(m, x):
    out = [m.lif(m.fc(x[:, x.shape[1] - 1 - t])) for t in range(x.shape[1])]
    return torch.stack(out)


def skipping_input(m, x):
    return torch.stack([m.lif(m.fc(x[:, 2 * t])) for t in range(x.shape[1] // 2)])


def per_step_norms(m, x):
    return torch.stack([m.lif(m.norms[t](m.fc(x[:, t]))) for t in range(x.shape[1])])


def membrane_read(m, x):
    mem, out = None, []
    for t in range(x.shape[1]):
        _, mem = m.free(m.fc(x[:, t]), mem)
        out.append(m.lif2(m.fc2(mem)))
    return torch.stack(out)


def last_step(m, x):
    for t in range(x.shape[1]):
        spk = m.lif(m.fc(x[:, t]))
    return spk


def membrane_first(m, x):
    mem, out = None, []
    for t in range(x.shape[1]):
        spk, mem = m.free(m.fc(x[:, t]), mem)
        out.append(spk)
    return mem, torch.stack(out)


def decayed_state(m, x):
    mem, out = torch.zeros(len(x), 6), []
    for t in range(x.shape[1]):
        spk, mem = m.free(m.fc(x[:, t]), 0.5 * mem)
        out.append(spk)
    return torch.stack(out)


def first_state(m, x):
    return m.free(m.fc(x[:, 0]), torch.ones(len(x), 6))[0]


def decides(m, x):
    spk = m.lif(m.fc(x))
    return spk if spk.sum().item() > 3 else 0 * spk


REFUSED: dict[str, tuple[Callable[[], nn.Module], str]] = {
    "time reversed": (lambda: Refused(late_input), "module 'lif': what it reads changes from step"),
    "time skipped": (lambda: Refused(skipping_input), "module 'lif': it reads 'input' of a later step"),
    "norms of each step": (
        lambda: Refused(per_step_norms, norms=nn.ModuleList(nn.BatchNorm1d(6) for _ in range(5))),
        r"module 'lif': a norm of its own for each step \('norms\.0' at step 0, 'norms\.4' at step 4\)",
    ),
    "a membrane read": (lambda: Refused(membrane_read), "'fc2': it reads the membrane potential of 'free'"),
    "spikes of the last step": (lambda: Refused(last_step), "only the spikes of the last step of 'lif'"),
    "a membrane that resets": (lambda: Refused(membrane_first), "potential of 'free' comes first"),
    "a state changed": (lambda: Refused(decayed_state), "module 'free': its 'mem' is not what it gave"),
    "a state given": (lambda: Refused(first_state), "module 'free': it starts from a state that is not zero"),
    "a decision": (lambda: Refused(decides), "model: its forward depends on its data"),
    "a product": (
        lambda: Refused(lambda m, x: m.lif2(m.lif(m.fc(x)) * x)),
        "module 'lif2': it reads what operation 'mul' makes",
    ),
    "a real max pool": (
        lambda: Refused(lambda m, x: m.lif(F.max_pool2d(m.fc(x)[:, None], (1, 2)).flatten(1)).sum(1)),
        "MaxPool2d of real values",
    ),
    "a spike that never resets": (
        lambda: Refused(lambda m, x: m.lif(m.fc2(m.out(m.fc(x))[0]))),
        "module 'out': it never resets",
    ),
    "a softmax": (
        lambda: Refused(lambda m, x: torch.softmax(m.lif(m.fc(x)), -1)), "'softmax'"),
    "a last linear": (lambda: Refused(lambda m, x: m.fc2(m.lif(m.fc(x)))), "its last layer is no neuron"),
    "nothing": (lambda: Refused(lambda m, x: x), "model: what its forward returns is its own input"),
    "samples mixed": (lambda: Refused(lambda m, x: m.lif(m.fc(x.flip(0)))), "what it reads of one sample"),
    "Alpha": (
        lambda: nn.Sequential(nn.Linear(6, 3), snn.Alpha(0.9, 0.8, init_hidden=True)),
        "module '1': Alpha does not exist on the chip",
    ),
    "LeakyParallel": (
        lambda: nn.Sequential(nn.Linear(6, 3), snn.LeakyParallel(3, 3)),
        "module '1': LeakyParallel does not exist on the chip",
    ),
    "SLSTM": (
        lambda: nn.Sequential(nn.Linear(6, 3), snn.SLSTM(3, 3, init_hidden=True)),
        "module '1': SLSTM does not exist on the chip",
    ),
    "SConv2dLSTM": (
        lambda: nn.Sequential(snn.SConv2dLSTM(1, 3, 3, init_hidden=True)),
        "module '0': SConv2dLSTM does not exist on the chip",
    ),
    "Lapicque that resets": (
        lambda: nn.Sequential(nn.Linear(6, 3), snn.Lapicque(0.5, init_hidden=True)),
        "module '1': Lapicque does not exist on the chip with a reset",
    ),
    "an own neuron": (
        lambda: nn.Sequential(nn.Linear(6, 3), type("Mine", (snn.Leaky,), {})(0.5, **HIDDEN)),
        "module '1': Mine does not exist on the chip",
    ),
    "a quantized state": (
        lambda: nn.Sequential(nn.Linear(6, 3), lif(init_hidden=True, state_quant=lambda x: x)),
        "module '1': its state_quant is a function that is not known",
    ),
}  # fmt: skip


# What loses the thread between its layers, while the sample is silent there: nothing fires before it.
HIDDEN_WAYS: dict[str, Callable[[Any], Any]] = {
    "a count of what fires": lambda x: x * float(len(x.nonzero())),
    "a new tensor": lambda x: x + x.new_tensor(x),
    "a tensor of tensors": lambda x: x + torch.Tensor(x),
    "a mapped function": lambda x: x + torch.vmap(lambda row: row * row)(x),
}


@pytest.mark.parametrize("name", HIDDEN_WAYS)
def test_what_is_silent_on_the_sample_hides_nothing(name: str) -> None:
    network = Refused(lambda m, x: m.lif2(m.fc2(HIDDEN_WAYS[name](m.lif(m.fc(x))) + x)))
    network.lif.threshold = torch.tensor(100.0)
    with pytest.raises(BadInput, match="on random inputs, all neurons sending random spikes"):
        to_chip(network, shape=(6,))


@pytest.mark.parametrize("name", REFUSED)
def test_what_a_chip_does_otherwise_is_refused_by_name(name: str) -> None:
    make, message = REFUSED[name]
    torch.manual_seed(0)
    with pytest.raises(BadInput, match=message) as refused:
        to_chip(make(), shape=(6,))
    assert "\n" not in str(refused.value)


def test_a_weight_that_is_no_number_is_named() -> None:
    network = Refused(membrane_first)
    with torch.no_grad():
        network.fc.weight[1, 2] = float("nan")
    with pytest.raises(BadInput, match=r"model: 'fc\.weight' holds NaN"):
        to_chip(network)
    network.fc.weight.data[1, 2] = float("inf")
    with pytest.raises(BadInput):
        to_chip(network)


def test_the_person_says_which_output_answers() -> None:
    network = Refused(membrane_first)
    chip = to_chip(network, output="free")
    assert chip.outputs == ("free",)
    with pytest.raises(BadInput, match="output 'nothing': no such neurons; there are"):
        to_chip(network, output="nothing")


def test_what_was_not_understood_is_named_by_node_step_and_neuron() -> None:
    """A neuron that does more than its equations: the module is right, whatever was read."""

    def twice(m, x):
        m.lif.beta = torch.tensor(0.5 if m.calls < 2 else 0.75)
        m.calls += 1
        return m.lif(m.fc(x))

    network = Refused(twice)
    network.calls = 0
    with pytest.raises(BadInput, match=r"module 'lif': at step \d of sample \d the .* of neuron"):
        to_chip(network, layout="step")


def test_a_large_neuron_does_not_hide_a_small_one() -> None:
    """Rounding is measured against a neuron's own sum, hardly against another's of the same layer."""

    def twice(m, x):
        beta = torch.full((m.fc.out_features,), 0.5)
        if m.calls > 2:
            beta[-1] = 0.75
        m.lif.beta = beta
        m.calls += 1
        return m.lif(m.fc(x))

    network = Refused(twice)
    network.calls = 0
    with torch.no_grad():
        network.fc.weight.fill_(0.15)
        network.fc.bias.zero_()
        network.fc.weight[0] = 2e4
    last = network.fc.out_features - 1
    with pytest.raises(
        BadInput, match=rf"module 'lif': at step \d of sample \d the .* \({last},\)"
    ):
        to_chip(network, layout="step")


ON_LAVA = ("TwoHeads", "Delayed", "NormedFirst")
"""The classes that every run of the tests takes to Lava; the long ones take all."""


@pytest.mark.parametrize(
    "name", [n if n in ON_LAVA else pytest.param(n, marks=pytest.mark.long) for n in MODELS]
)
def test_lava_fires_as_the_module_does(name: str, tmp_path: Path) -> None:
    pytest.importorskip("lava.magma", reason="lava-nc is not installed")
    made, shape, _, _ = MODELS[name]
    sample = torch.rand(3, STEPS, *shape, generator=torch.Generator().manual_seed(2)) < 0.5
    chip = to_chip(on_a_grid(made()), sample)
    deployment = from_network(chip, sample.numpy().astype(np.int8))
    options = Options(target="lava", out=tmp_path / "out")
    if name == "TwoLayerLoop":  # Lava delays a step a layer: a loop of two has no such program
        with pytest.raises(BadInput, match="a cycle of more connections than steps of delay"):
            export_run(deployment, options)
        return
    report = export_run(deployment, options)
    assert report["ok"], report["parity"]
    assert any("the given sample (3" in note for note in report["warnings"]), report["warnings"]
