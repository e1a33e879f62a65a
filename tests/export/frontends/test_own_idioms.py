"""More ways in which people write the same thing: each fires as the module does, or is refused by name."""

from collections.abc import Callable
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
from export.lowering.exact import lower
from export.nir_format.write.module import to_nir
from export.run.torch_run import run_torch, torch_registers
from neuroclip.chip.neurons import recorded
from neuroclip.convert.snntorch import to_chip

STEPS = 5


def lif(**options: Any) -> nn.Module:
    kept = {"reset_mechanism": "zero", "reset_delay": False, "init_hidden": True, "threshold": 0.5}
    return snn.Leaky(0.5, **(kept | options))


class Bag(nn.Module):
    """Layers of many kinds, of which a forward that is given uses some."""

    def __init__(self, make: Callable[[Any, torch.Tensor], Any]) -> None:
        super().__init__()
        self.a, self.b, self.c = nn.Linear(6, 6), nn.Linear(6, 4), nn.Linear(12, 6)
        self.one, self.two, self.free = lif(), lif(), lif(init_hidden=False)
        self.many = nn.ModuleDict({f"n{i}": lif() for i in range(3)})
        self.conv, self.down, self.image = (
            nn.Conv2d(1, 4, 3, padding=1),
            nn.Conv2d(4, 4, 1, 2),
            lif(),
        )
        self.late = snn.Leaky(0.5, threshold=0.5, reset_mechanism="zero", init_hidden=True)
        self.norm = nn.BatchNorm1d(6, track_running_stats=False)
        self.layer_norm, self.make = nn.LayerNorm(6), make
        generator = torch.Generator().manual_seed(0)
        with torch.no_grad():
            for parameter in self.parameters():
                if parameter.ndim:
                    drawn = torch.randint(-8, 13, parameter.shape, generator=generator)
                    parameter.copy_(drawn / 32)
        self.eval()

    def forward(self, x):
        return self.make(self, x)


def training_alone(m, x):
    x = m.one(m.a(x))
    if m.training:
        x = F.dropout(x, 0.5)
    return m.two(m.b(x))


def first_step_begins(m, x):
    mem, found = None, []
    for t in range(x.size(1)):
        if t == 0:
            mem = m.free.init_leaky()
        spk, mem = m.free(m.a(x[:, t]), mem)
        found.append(spk)
    return torch.stack(found)


def dictionary(m, x):
    found = {name: [] for name in m.many}
    for t in range(x.shape[1]):
        spk = x[:, t]
        for name, neuron in m.many.items():
            spk = neuron(m.a(spk) + spk)
            found[name].append(spk)
    return {name: torch.stack(steps, 1) for name, steps in found.items()}


def buffer(m, x):
    out = torch.zeros((x.size(1), x.size(0), 6), device=x.device)
    mem = torch.zeros(x.size(0), 6)
    for t in range(x.size(1)):
        out[t, :, :], mem = m.free(m.a(x[:, t, ...]), mem)
    return out.sum(dim=0)


def two_steps_at_once(m, x):
    before, found = torch.zeros_like(x[:, 0]), []
    for t in range(x.shape[1]):
        found.append(m.one(m.c(torch.cat([x[:, t], before], -1))))
        before = x[:, t]
    return torch.stack(found, 1)


def in_place(m, x):
    current = m.a(x)
    current += x
    current[:, 0] = 0
    current[:, 1] = current[:, 2]
    return m.one(current.mul_(0.5).add_(x))


def regrouped(m, x):
    spk = m.one(m.a(x))
    spk = spk.view(-1, 2, 3).permute(0, 2, 1).contiguous().view(x.size(0), -1)
    return m.two(m.b(spk))


def residual(m, x):
    spk = m.image(m.conv(x))
    return m.two(F.adaptive_avg_pool2d(m.down(spk), 1).flatten(1))


Plan = tuple[tuple[int, ...], str, Callable[..., Any]]
SAME: dict[str, Plan] = {
    "dropout in training alone": ((6,), "step", training_alone),
    "states begun at step 0": ((6,), "batch-first", first_step_begins),
    "a dictionary of neurons": ((6,), "batch-first", dictionary),
    "a buffer written into": ((6,), "batch-first", buffer),
    "two steps side by side": ((6,), "batch-first", two_steps_at_once),
    "in place": ((6,), "step", in_place),
    "regrouped channels": ((6,), "step", regrouped),
    "a residual image": ((1, 4, 4), "step", residual),
    "einsum": ((6,), "step", lambda m, x: m.one(torch.einsum("bi,oi->bo", x, m.a.weight))),
    "einsum turned": ((6,), "step", lambda m, x: m.one(torch.einsum("io,bi->ob", m.a.weight, x).T)),
    "addmm": ((6,), "step", lambda m, x: m.one(torch.addmm(m.a.bias, x, m.a.weight))),
    "bmm": (
        (6,), "step",
        lambda m, x: m.one(torch.bmm(x[:, None], m.a.weight.expand(len(x), 6, 6)).squeeze(1)),
    ),
    "a matrix from the left": ((6,), "step", lambda m, x: m.one((m.b.weight @ x.T).T)),
    "where": (
        (6,), "step", lambda m, x: m.one(torch.where(torch.arange(6) % 2 == 0, m.a(x), torch.zeros(()))),
    ),
    "a masked fill": (
        (6,), "step", lambda m, x: m.one(m.a(x).masked_fill(torch.arange(6) > 3, 0.25)),
    ),
    "tied weights": ((6,), "step", lambda m, x: m.two(F.linear(m.one(m.a(x)), m.a.weight.t()))),
    "neurons on the input": ((6,), "step", lambda m, x: m.two(m.b(m.one(x)))),
    "a late reset": ((6,), "step", lambda m, x: m.two(m.b(m.late(m.a(x))))),
    "a stack of heads": (
        (6,), "step", lambda m, x: torch.stack([n(m.b(x)) for n in m.many.values()], 1),
    ),
    "a rate": (
        (6,), "batch-first",
        lambda m, x: sum(m.one(m.a(x[:, t])) for t in range(x.shape[1])) / x.shape[1],
    ),
}  # fmt: skip


@torch.no_grad()
def own_spikes(model: Bag, sample: torch.Tensor, layout: str) -> dict[str, torch.Tensor]:
    sent: dict[str, list[torch.Tensor]] = {}
    for name, module in model.named_modules():
        if isinstance(module, snn.SpikingNeuron):
            module.register_forward_hook(
                lambda _m, _i, out, name=name: sent.setdefault(name.replace(".", "_"), []).append(
                    (out[0] if isinstance(out, tuple) else out).clone()
                )
            )
    utils.reset(model)
    for given in [sample[:, t] for t in range(STEPS)] if layout == "step" else [sample]:
        model(given)
    return {name: torch.stack(parts, 1) for name, parts in sent.items()}


@pytest.mark.parametrize("name", SAME)
def test_it_fires_as_it_is_written(name: str) -> None:
    shape, layout, make = SAME[name]
    model = Bag(make)
    generator = torch.Generator().manual_seed(1)
    sample = (torch.rand(8, STEPS, *shape, generator=generator) < 0.5).float()
    chip = to_chip(model, sample)
    found = recorded(chip, sample)
    for neurons, spikes in own_spikes(model, sample, layout).items():
        assert torch.equal(found[neurons][2], spikes.double()), neurons
        assert 0.01 < spikes.mean() < 0.99, neurons
    program = lower(to_nir(chip))
    inputs = {"input": sample.numpy().astype(np.int8)}
    same = compare(
        "torch", torch_registers(chip), run_torch(chip, inputs),
        "emulator", registers(program), emulate(program, inputs),
    )  # fmt: skip
    assert same.ok, same.describe()


def over_time(make: Callable[..., Any]) -> Callable[..., Any]:
    return lambda m, x: torch.stack([make(m, x[:, t], t) for t in range(x.shape[1])], 1)


REFUSED: dict[str, tuple[Callable[..., Any], str]] = {
    "a first step without a current": (
        over_time(lambda m, x, t: m.one(m.a(x) if t else torch.zeros(len(x), 6))),
        "module 'one': what it reads changes from step to step",
    ),
    "one state for two layers": (
        lambda m, x: m.one(m.a(m.one(m.a(x)))), "module 'one': what it reads changes from step to step",
    ),
    "each step twice": (
        over_time(lambda m, x, t: (m.one(m.a(x)), m.one(m.a(x)))[1]),
        "module 'one': what it reads changes from step to step",
    ),
    "neurons written out": (
        lambda m, x: (m.a(x) > 0.5).float(), "neurons written out in tensors are not read; use snn.Leaky",
    ),
    "a norm by the batch": (lambda m, x: m.one(m.norm(m.a(x))), "module 'norm': without running statistics"),
    "a norm by the sample": (lambda m, x: m.one(m.layer_norm(m.a(x))), "module 'layer_norm': LayerNorm is"),
    "dropout that stays on": (
        lambda m, x: m.one(F.dropout(m.a(x), 0.5)), "'dropout' makes.* pass training=self.training",
    ),
    "noise": (
        lambda m, x: m.one(m.a(x) + 0.1 * torch.randn(len(x), 6)), "differ from sample to sample, as noise",
    ),
    "spikes drawn inside": (
        lambda m, x: m.one(m.a(torch.bernoulli(x * 0.5))), "'bernoulli' makes.* draw the spikes before",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_another_thing_is_refused(name: str) -> None:
    make, message = REFUSED[name]
    torch.manual_seed(0)
    with pytest.raises(BadInput, match=message) as refused:
        to_chip(Bag(make), shape=(6,))
    assert "\n" not in str(refused.value)
