"""Forward passes drawn from what people write: none becomes a network that does something else.

Each is a plan of operations on the values of a step, made of idioms that a chip has and, in half of the
cases, one that it has not, in one of four layouts. What converts must fire as the module does, on samples
that the conversion never saw; what a chip has must convert.
"""

from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")
snn = pytest.importorskip("snntorch")

from torch import nn

from deploy.errors import BadInput
from neuroclip.chip.neurons import recorded
from neuroclip.chip.synapses import ChipLinear
from neuroclip.convert.snntorch import to_chip

SIZE, STEPS = 6, 4
LEGAL = ["linear", "add", "sub", "choose", "flip", "roll", "cat", "scale", "mask", "halve", "twice"]
ILLEGAL = [
    "relu",
    "product",
    "membrane",
    "late",
    "each step",
    "batch",
    "square",
    "clamp",
    "noisy zero",
]


class Drawn(nn.Module):
    """A plan on values [N, SIZE]: (operation, places of what it takes, how)."""

    def __init__(self, rng: np.random.Generator, legal: bool) -> None:
        super().__init__()
        self.layout = str(rng.choice(["step", "batch-first", "time-first", "static"]))
        self.hidden = self.layout == "step" or bool(rng.random() < 0.3)
        self.plan: list[tuple[str, list[int], Any]] = []
        self.neurons: list[str] = []
        spikes = [0]
        count, length = 1, int(rng.integers(3, 8))
        strange = int(rng.integers(length)) if not legal else -1
        for place in range(length):
            name = str(rng.choice(ILLEGAL if place == strange else LEGAL))
            takes = [int(rng.integers(count)) for _ in range(2)]
            how: Any = None
            if name == "linear":
                how = f"fc{place}"
                setattr(self, how, nn.Linear(SIZE, SIZE, bool(rng.random() < 0.5)))
            elif name == "choose":
                how = rng.integers(0, SIZE, SIZE).tolist()
            elif name in ("roll", "cat"):
                how = int(rng.integers(1, SIZE))
            elif name == "scale":
                how = float(rng.choice([2.0, 0.5, -1.0]))
            elif name == "mask":
                how = torch.from_numpy((rng.random(SIZE) < 0.7).astype(np.float32))
            elif name == "membrane":
                takes = [len(self.neurons) - 1]
                name = "membrane" if self.neurons else "square"
                takes = takes if self.neurons else [0]
            self.plan.append((name, takes, how))
            count += 1
            if rng.random() < 0.5 or place == length - 1:
                self.plan.append(("neuron", [count - 1], self._neuron(rng)))
                spikes.append(count)
                count += 1
            if place < length - 1 and self.layout not in ("step", "static") and rng.random() < 0.15:
                self.plan.append(("before", [int(rng.choice(spikes))], None))
                count += 1
        self.rank = [count - 1]
        if rng.random() < 0.3:
            self.rank.append(spikes[int(rng.integers(1, len(spikes)))])
        with torch.no_grad():
            for parameter in self.parameters():
                if parameter.ndim:
                    drawn = rng.integers(-3, 5, tuple(parameter.shape)) / 4
                    parameter.copy_(torch.from_numpy(drawn))

    def _neuron(self, rng: np.random.Generator) -> str:
        name = f"lif{len(self.neurons)}"
        options = {"reset_mechanism": "zero", "reset_delay": False, "init_hidden": self.hidden}
        threshold = float(rng.choice([0.5, 1.0, 1.5]))
        if rng.random() < 0.2:
            made: nn.Module = snn.RLeaky(0.5, linear_features=SIZE, threshold=threshold, **options)
        else:
            made = snn.Leaky(0.5, threshold=threshold, **options)
        setattr(self, name, made)
        self.neurons.append(name)
        return name

    def step(self, x: torch.Tensor, t: int, states: dict[str, Any]) -> list[torch.Tensor]:
        values = [x]
        for name, takes, how in self.plan:
            values.append(
                self._made(name, [values[i] for i in takes if i < len(values)], how, t, states)
            )
            states[f"value {len(values) - 1}"] = values[-1]
            if name == "before":
                kept = f"value {takes[0]}"
                last = states["last"].get(kept)
                values[-1] = torch.zeros_like(x) if last is None else last
        states["last"] = {k: v for k, v in states.items() if k.startswith("value")} | {"value 0": x}
        return values

    def _made(
        self, name: str, v: list[torch.Tensor], how: Any, t: int, states: dict[str, Any]
    ) -> Any:
        if name == "neuron":
            neuron = getattr(self, how)
            if self.hidden:
                states[f"{how} mem"] = None
                return neuron(v[0])
            if isinstance(neuron, snn.RLeaky):
                spk, mem = states.get(how, neuron.reset_mem())
                states[how] = neuron(v[0], spk, mem)
            else:
                states[how] = neuron(v[0], mem=states[how][1] if how in states else None)
            return states[how][0]
        if name == "membrane":
            neuron = getattr(self, self.neurons[-1])
            held = [getattr(self, n) for n in self.neurons if n in states or f"{n} mem" in states]
            return held[-1].mem if held else v[0].pow(2)
        made = {
            "linear": lambda: getattr(self, how)(v[0]),
            "add": lambda: v[0] + v[1],
            "sub": lambda: v[0] - v[1],
            "choose": lambda: v[0][:, how],
            "flip": lambda: v[0].flip(1),
            "roll": lambda: torch.roll(v[0], how, dims=1),
            "cat": lambda: torch.cat([v[0][:, how:], v[1][:, :how]], dim=1),
            "scale": lambda: v[0] * how,
            "mask": lambda: v[0] * how,
            "halve": lambda: v[0].reshape(len(v[0]), 2, 3).mean(1).repeat(1, 2) * 2,
            "twice": lambda: torch.stack([v[0], v[0]]).sum(0),
            "before": lambda: v[0],
            "relu": lambda: torch.relu(v[0] - 0.5),
            "product": lambda: v[0] * v[1],
            "late": lambda: v[0] if t % 2 else v[0].flip(1),
            "each step": lambda: v[0] * (t + 1),
            "batch": lambda: v[0].flip(0),
            "square": lambda: v[0] ** 2,
            "clamp": lambda: v[0].clamp(0, 0.5),
            "noisy zero": lambda: v[0] + float(t == 2),
        }
        return made[name]()

    def forward(self, x: torch.Tensor) -> Any:
        if self.layout == "step":
            self.t = getattr(self, "t", -1) + 1
            values = self.step(x, self.t % STEPS, {"last": {}})
            out = [values[i] for i in self.rank]
            return out[0] if len(out) == 1 else tuple(out)
        states: dict[str, Any] = {"last": {}}
        found = []
        axis = 1 if self.layout == "batch-first" else 0
        for t in range(STEPS if self.layout == "static" else x.shape[axis]):
            values = self.step(x if self.layout == "static" else x.select(axis, t), t, states)
            found.append([values[i] for i in self.rank])
        out = [torch.stack(parts, axis) for parts in zip(*found, strict=True)]
        return out[0] if len(out) == 1 else tuple(out)


@torch.no_grad()
def fired(model: Drawn, sample: torch.Tensor) -> dict[str, torch.Tensor]:
    """What each neuron module fires [N, T, SIZE], the module run as its layout wants it."""
    sent: dict[str, list[torch.Tensor]] = {}
    hooks = [
        module.register_forward_hook(
            lambda _m, _i, out, name=name: sent.setdefault(name, []).append(
                (out[0] if isinstance(out, tuple) else out).clone()
            )
        )
        for name, module in model.named_modules()
        if isinstance(module, snn.SpikingNeuron)
    ]
    model.t = -1
    for module in model.modules():
        if isinstance(module, snn.SpikingNeuron):
            module.reset_mem()
    if model.layout == "step":
        for t in range(sample.shape[1]):
            model(sample[:, t])
    else:
        model(
            {"time-first": sample.transpose(0, 1), "static": sample[:, 0]}.get(model.layout, sample)
        )
    for hook in hooks:
        hook.remove()
    return {name: torch.stack(parts, dim=1) for name, parts in sent.items()}


def exact(chip: Any) -> bool:
    """The chip holds every weight to the last bit."""
    return all(
        torch.equal(m.integer_weight() * 2.0**-m.exponent, m.weight)
        for m in chip.modules()
        if isinstance(m, ChipLinear)
    )


def converted(seed: int) -> str:
    """What became of one drawn network: "refused", "rounded" or "equal"."""
    rng = np.random.default_rng(seed)
    legal = bool(rng.random() < 0.5)
    model = Drawn(rng, legal).eval()
    model.t = -1
    samples = torch.from_numpy((rng.random((2, 5, STEPS, SIZE)) < 0.4).astype(np.float32))
    if model.layout == "static":
        samples = samples[:, :, :1].expand(-1, -1, STEPS, -1).contiguous()
    try:
        chip = to_chip(model, samples[0])
    except BadInput as error:
        assert not legal, (
            seed,
            str(error),
            model.plan,
            model.layout,
        )
        return "refused"
    if not exact(chip):
        return "rounded"
    expected, found = fired(model, samples[1]), recorded(chip, samples[1])
    for name, spikes in expected.items():
        if name in found:
            assert torch.equal(found[name][2], spikes.double()), (
                seed,
                name,
                model.plan,
                model.layout,
            )
    assert set(chip.outputs) <= set(found)
    return "equal"


@pytest.mark.parametrize("block", range(5))
def test_no_forward_becomes_something_else(block: int) -> None:
    outcomes = [converted(seed) for seed in range(30 * block, 30 * block + 30)]
    assert outcomes.count("equal") >= 8, outcomes


@pytest.mark.long
@pytest.mark.parametrize("block", range(40))
def test_no_forward_of_thousands_becomes_something_else(block: int) -> None:
    outcomes = [converted(seed) for seed in range(1000 + 75 * block, 1075 + 75 * block)]
    assert outcomes.count("equal") >= 20, outcomes
