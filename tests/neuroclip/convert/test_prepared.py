"""Modules as they are held: wrapped, compiled, in training, with hooks and parametrizations."""

from typing import Any

import pytest

torch = pytest.importorskip("torch")
snn = pytest.importorskip("snntorch")

from torch import nn

from deploy.errors import BadInput
from neuroclip.chip.neurons import recorded
from neuroclip.convert.snntorch import to_chip

KEPT = {"reset_mechanism": "zero", "reset_delay": False, "init_hidden": True, "threshold": 0.5}


class Net(nn.Module):
    """Two layers, the first in a block of its own, with what behaves otherwise in training."""

    def __init__(self) -> None:
        super().__init__()
        self.block = nn.Sequential(nn.Linear(6, 8), nn.BatchNorm1d(8), snn.Leaky(0.5, **KEPT))
        self.drop, self.fc, self.out = nn.Dropout(0.5), nn.Linear(8, 3), snn.Leaky(0.5, **KEPT)
        generator = torch.Generator().manual_seed(0)
        with torch.no_grad():
            for parameter in self.parameters():
                if parameter.ndim:
                    drawn = torch.randint(-10, 15, parameter.shape, generator=generator)
                    parameter.copy_(drawn / 32)
            self.block[1].eps = 0.0

    def forward(self, x):
        x = self.drop(self.block(x))
        if self.training:
            x = x + torch.rand_like(x)
        return self.out(self.fc(x))


SAMPLE = (torch.rand(8, 5, 6, generator=torch.Generator().manual_seed(1)) < 0.5).float()
EXPECTED = recorded(to_chip(Net().eval(), SAMPLE), SAMPLE)["out"][2]


class Compiled(nn.Module):
    """As torch.compile's OptimizedModule: what it was made of, and a forward of its own."""

    def __init__(self, inside: nn.Module) -> None:
        super().__init__()
        self._orig_mod = inside

    def forward(self, *_: Any) -> Any:
        raise AssertionError("compiled code ran")


def in_part(net: Net) -> nn.Module:
    net.block = Compiled(net.block)
    return net


def hooked(net: Net) -> nn.Module:
    """Hooks that look on, forwards and backwards."""
    net.fc.register_forward_hook(lambda _m, _i, out: None)
    net.fc.register_forward_pre_hook(lambda _m, given: None)
    net.fc.register_full_backward_hook(lambda _m, _i, _o: None)
    net.out.register_forward_hook(lambda _m, _i, out: None)
    return net


def halved_and_doubled(net: Net) -> nn.Module:
    """A hook that changes what a layer gives, and one that changes it back."""
    net.fc.register_forward_hook(lambda _m, _i, out: out * 0.5)
    net.fc.register_forward_hook(lambda _m, _i, out: out * 2.0)
    return net


def pruned(net: Net) -> nn.Module:
    """A mask of ones, and a weight that a parametrization makes."""
    from torch.nn.utils import parametrize, prune

    prune.identity(net.fc, "weight")
    parametrize.register_parametrization(net.block[0], "weight", nn.Identity())
    return net


def after_a_run(net: Net) -> nn.Module:
    """States of a training step, which remember how they were made."""
    net.train()
    eps, net.block[1].eps = net.block[1].eps, 1e-5  # newer torch trains with no other
    net(SAMPLE[:, 0])
    net.block[1].eps = eps
    with torch.no_grad():
        net.block[1].running_mean.zero_()
        net.block[1].running_var.fill_(1.0)
    return net


@pytest.mark.parametrize(
    "held",
    [nn.DataParallel, Compiled, in_part, hooked, halved_and_doubled, pruned, after_a_run],
    ids=lambda f: f.__name__,
)  # fmt: skip
def test_it_is_read_as_it_stands(held: Any) -> None:
    model = held(Net().eval())
    training = [m.training for m in model.modules()]
    chip = to_chip(model, SAMPLE)
    found = recorded(chip, SAMPLE)
    assert sorted(found) == ["block_2", "out"]
    assert torch.equal(found["out"][2], EXPECTED) and 0.05 < EXPECTED.mean() < 0.95
    assert [m.training for m in model.modules()] == training
    assert any("it was in training" in note for note in chip.notes) == (held is after_a_run)


@pytest.mark.long
def test_what_torch_compiles_is_read_in_its_place() -> None:
    """The real one; importing the compiler takes half a minute."""
    for model in (torch.compile(Net().eval()), in_part(Net().eval())):
        if isinstance(model, Net):
            model.block = torch.compile(model.block._orig_mod)
        assert torch.equal(recorded(to_chip(model, SAMPLE), SAMPLE)["out"][2], EXPECTED)


def test_what_cannot_be_watched_is_refused() -> None:
    net = Net().eval()
    net.fc = torch.jit.script(net.fc)
    with pytest.raises(
        BadInput, match=r"module 'fc': a torch\.jit module does not show what it does"
    ):
        to_chip(net, SAMPLE)
    with pytest.raises(BadInput, match=r"model: it has no values \(device 'meta'\)"):
        to_chip(Net().to("meta"), SAMPLE)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA device")
def test_one_on_a_gpu_is_copied() -> None:
    model = after_a_run(Net()).eval().cuda()
    chip = to_chip(model, SAMPLE.cuda())
    assert torch.equal(recorded(chip, SAMPLE)["out"][2], EXPECTED)
    assert next(model.parameters()).is_cuda
    assert any("a copy of it was run on the CPU" in note for note in chip.notes)
