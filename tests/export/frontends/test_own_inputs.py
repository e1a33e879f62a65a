"""Forward passes with several inputs, and with states among their parameters: equal or refused."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")
snn = pytest.importorskip("snntorch")

from torch import nn

import neuroclip as nc
from deploy.errors import BadInput
from neuroclip.chip.neurons import recorded
from neuroclip.convert.snntorch import to_chip

STEPS = 4
SHAPES = {"left": (6,), "right": (4,)}


def lif(**options: Any) -> nn.Module:
    return snn.Leaky(
        0.5, threshold=0.5, **{"reset_mechanism": "zero", "reset_delay": False, **options}
    )


class TwoSides(nn.Module):
    """A neuron module and a parameter of one name."""

    def __init__(self):
        super().__init__()
        self.a, self.b = nn.Linear(6, 5), nn.Linear(4, 5)
        self.left, self.c, self.out = lif(init_hidden=True), nn.Linear(5, 3), lif(init_hidden=True)

    def step(self, left, right):
        return self.out(self.c(self.left(self.a(left) + self.b(right))))

    def forward(self, left, right):
        return self.step(left, right)


class TimeFirst(TwoSides):
    def forward(self, left, right, num_steps):
        return torch.stack([self.step(left[t], right[t]) for t in range(num_steps)])


class BatchFirst(TwoSides):
    def forward(self, right, left):
        return torch.stack(
            [self.step(*x) for x in zip(left.unbind(1), right.unbind(1), strict=True)], 1
        )


class InADict(TwoSides):
    def forward(self, inputs):
        return self.step(inputs["left"], inputs["right"])


class Starred(TwoSides):
    def forward(self, *inputs):
        return self.step(*inputs)


class Optional(TwoSides):
    def forward(self, left, right=None):
        return self.out(self.c(self.left(self.a(left) + (0 if right is None else self.b(right)))))


def on_a_grid(model: nn.Module) -> nn.Module:
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim:
                drawn = torch.randint(-10, 15, parameter.shape, generator=generator)
                parameter.copy_(drawn / 32)
    return model.eval()


def spikes(shape: tuple[int, ...], seed: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return (torch.rand(10, STEPS, *shape, generator=generator) < 0.5).float()


SENT = {name: spikes(shape, i) for i, (name, shape) in enumerate(SHAPES.items())}


@torch.no_grad()
def own_spikes(model: TwoSides) -> torch.Tensor:
    """[N, T, 3] of the out layer, one step after the other."""
    model.left.reset_mem(), model.out.reset_mem()
    found = [model.step(SENT["left"][:, t], SENT["right"][:, t]) for t in range(STEPS)]
    model.left.reset_mem(), model.out.reset_mem()
    return torch.stack(found, 1)


@pytest.mark.parametrize(
    "made", [TwoSides, TimeFirst, BatchFirst, InADict, Starred, Optional], ids=lambda m: m.__name__
)
@pytest.mark.parametrize("given", [False, True])
def test_each_input_is_a_source(made: type[TwoSides], given: bool) -> None:
    model = on_a_grid(made())
    chip = to_chip(model, SENT) if given else to_chip(model, shape=SHAPES)
    assert chip.inputs == SHAPES and chip.outputs == ("out",)
    expected = own_spikes(model)
    assert torch.equal(recorded(chip, SENT)["out"][2], expected.double())
    assert 0.05 < expected.mean() < 0.95


def test_several_inputs_are_exported_from_a_file(tmp_path: Path) -> None:
    model = on_a_grid(TimeFirst())
    arrays = {name: x.numpy().astype(np.uint8) for name, x in SENT.items()}
    np.savez(tmp_path / "spikes.npz", labels=np.arange(10) % 3, **arrays)
    report = nc.export(model, str(tmp_path / "spikes.npz"), record="all", out=tmp_path / "out")
    assert report.ok and report.json["samples"] == 10
    assert np.array_equal(report.trace["out/s"], own_spikes(model).numpy())
    assert {s.name for s in report.program.inputs} == {"left", "right"}
    del arrays["right"]
    np.savez(tmp_path / "half.npz", **arrays)
    with pytest.raises(BadInput, match="no array 'spikes' among"):
        nc.export(model, str(tmp_path / "half.npz"), out=tmp_path / "out")


class Given(nn.Module):
    """States as parameters; what is returned differs."""

    def __init__(self):
        super().__init__()
        self.a, self.l1 = nn.Linear(6, 5), lif()
        self.b, self.l2 = nn.Linear(5, 3), lif()
        self.back = nn.Linear(3, 5, bias=False)


def last(m, x, mem1, mem2):
    spk, mem1 = m.l1(m.a(x), mem1)
    spk, mem2 = m.l2(m.b(spk), mem2)
    return spk, mem1, mem2


def interleaved(m, x, mem1, mem2):
    first, mem1 = m.l1(m.a(x), mem1)
    spk, mem2 = m.l2(m.b(first), mem2)
    return spk, mem2, first, mem1


def by_name(m, x, mem1, mem2):
    spk, mem1 = m.l1(m.a(x), mem1)
    spk, mem2 = m.l2(m.b(spk), mem2)
    return {"spikes": spk, "mem2": mem2, "mem1": mem1}


def in_a_tuple(m, x, states=None):
    mem1, mem2 = (None, None) if states is None else states
    spk, mem1 = m.l1(m.a(x), mem1)
    spk, mem2 = m.l2(m.b(spk), mem2)
    return spk, (mem1, mem2)


def reads_its_spikes(m, x, spk, mem1, mem2):
    first, mem1 = m.l1(m.a(x) + m.back(spk), mem1)
    spk, mem2 = m.l2(m.b(first), mem2)
    return spk, mem1, mem2


def in_a_loop(m, x, mem1, mem2):
    found = []
    for step in x:
        spk, mem1, mem2 = last(m, step, mem1, mem2)
        found.append(spk)
    return torch.stack(found), (mem1, mem2)


def as_a_module(function: Any) -> nn.Module:
    """A module whose forward is the function."""
    return type("Stateful", (Given,), {"forward": function})()


@pytest.mark.parametrize(
    "forward", [last, interleaved, by_name, in_a_tuple, reads_its_spikes, in_a_loop],
    ids=lambda f: f.__name__,
)  # fmt: skip
def test_states_are_given_back(forward: Any) -> None:
    model = on_a_grid(as_a_module(forward))
    sample = spikes((6,), 5)
    with torch.no_grad():
        mem1 = mem2 = None
        spk, found = torch.zeros(10, 3), []
        for t in range(STEPS):
            current = model.a(sample[:, t])
            current = current + model.back(spk) if forward is reads_its_spikes else current
            first, mem1 = model.l1(current, mem1)
            spk, mem2 = model.l2(model.b(first), mem2)
            found.append(spk)
        expected = torch.stack(found, 1).double()
    chip = to_chip(model, sample)
    assert chip.outputs[0] == "l2"
    assert torch.equal(recorded(chip, sample)["l2"][2], expected)
    assert 0.05 < expected.mean() < 0.95
    told = [note for note in chip.notes if "a step before" in note]
    count = {in_a_loop: 0, in_a_tuple: 1, reads_its_spikes: 3}.get(forward, 2)
    assert len(told) == count


REFUSED = {
    "a state that is not returned": (
        lambda: as_a_module(lambda m, x, mem1, mem2: last(m, x, mem1, mem2)[0]),
        {"sample": spikes((6,), 1)},
        "which of what its forward returns is 'mem1' at the next step is not told",
    ),
    "an input without a sample": (TwoSides, {}, "takes 'right' beside 'left'; give a sample of each"),
    "an unknown input": (
        TwoSides, {"sample": {"left": SENT["left"], "up": SENT["right"]}},
        r"its 'up' is no parameter of the forward; it takes \['left', 'right'\]",
    ),
    "an unknown only input": (
        lambda: as_a_module(last), {"sample": {"up": SENT["left"]}}, "its 'up' is no parameter",
    ),
    "other steps": (
        TwoSides, {"sample": {"left": SENT["left"], "right": SENT["right"][:, 1:]}},
        r"different samples and steps \{'left': \(10, 4\), 'right': \(10, 3\)\}",
    ),
    "an input that is not read": (
        lambda: as_a_module(lambda m, left, right: m.l1(m.a(left))[0]), {"shape": SHAPES},
        "input 'right': no neurons read it",
    ),
    "a product of inputs": (
        lambda: as_a_module(lambda m, left, right: m.l1(m.a(left * right))[0]),
        {"shape": {"left": (6,), "right": (6,)}}, "operation 'mul'",
    ),
    "one that is mixed in time": (
        lambda: as_a_module(
            lambda m, left, right: torch.stack(
                [m.l1(m.a(left[t]) + right[-1 - t, :, :1])[0] for t in range(len(left))]
            )
        ),
        {"sample": SENT, "layout": "time-first"}, "'l1'",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_not_told_is_refused(name: str) -> None:
    make, arguments, message = REFUSED[name]
    torch.manual_seed(0)
    with pytest.raises(BadInput, match=message) as refused:
        to_chip(make(), **arguments)
    assert "\n" not in str(refused.value)
