"""Forward passes drawn from what people write: none becomes a network that does something else.

Each is a plan of operations on the values of a step, made of idioms that a chip has and, in half of the
cases, one that it has not, in one of four layouts, with one input or two, its states inside, passed on, or
given to the forward and returned, and sometimes a linear layer of what is summed over time. What converts
must fire as the module does, on samples that the conversion never saw; what a chip has must convert.
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
LEGAL = [
    "linear", "again", "add", "sub", "choose", "flip", "roll", "cat", "scale", "mask", "halve", "twice",
    "product with a matrix", "einsum", "where", "in place",
]  # fmt: skip
ILLEGAL = [
    "relu", "product", "membrane", "late", "each step", "batch", "square", "clamp", "noisy zero",
    "a norm a step", "noise", "first step only",
]  # fmt: skip


class Drawn(nn.Module):
    """A plan on values [N, SIZE]: (operation, places of what it takes, how). The inputs come first."""

    def __init__(self, rng: np.random.Generator, legal: bool, sides: int, passed: bool) -> None:
        super().__init__()
        self.sides, self.passed = sides, passed
        whole = ["batch-first", "time-first", "static"]
        self.layout = "step" if passed else str(rng.choice(["step", *whole]))
        self.hidden = not passed and (self.layout == "step" or bool(rng.random() < 0.3))
        self.plan: list[tuple[str, list[int], Any]] = []
        self.neurons: list[str] = []
        self.linears: list[str] = []
        spikes = [] if passed else list(range(sides))
        count, length = sides, int(rng.integers(3, 8))
        strange = int(rng.integers(length)) if not legal else -1
        for place in range(length):
            name = str(rng.choice(ILLEGAL if place == strange else LEGAL))
            takes = [int(rng.integers(count)) for _ in range(2)]
            if place == length - 1 and sides == 2:
                self.plan.append(("add", [0, 1], None))
                name, takes, count = "add", [takes[0], count], count + 1
            self.plan.append(self._operation(name, takes, place, rng))
            count += 1
            if rng.random() < 0.5 or place == length - 1:
                self.plan.append(("neuron", [count - 1], self._neuron(rng)))
                spikes.append(count)
                count += 1
            late = self.layout in ("batch-first", "time-first") or passed
            if place < length - 1 and late and spikes and rng.random() < 0.15:
                self.plan.append(("before", [int(rng.choice(spikes))], None))
                count += 1
        self.rank = [count - 1]
        fired = [k for k in spikes if k >= sides]
        if rng.random() < 0.3:
            self.rank.append(fired[int(rng.integers(len(fired)))])
        self.read = ""
        if not passed and self.layout != "step" and rng.random() < 0.3:
            self.read = str(rng.choice(["mean", "sum", "sum of each"]))
            self.last = nn.Linear(SIZE, 3, bool(rng.random() < 0.5))
        with torch.no_grad():
            for parameter in self.parameters():
                if parameter.ndim:
                    drawn = rng.integers(-3, 5, tuple(parameter.shape)) / 4
                    parameter.copy_(torch.from_numpy(drawn))

    def _operation(
        self, name: str, takes: list[int], place: int, rng: np.random.Generator
    ) -> tuple[str, list[int], Any]:
        how: Any = None
        if name == "linear" or (name == "again" and not self.linears):
            how = f"fc{place}"
            setattr(self, how, nn.Linear(SIZE, SIZE, bool(rng.random() < 0.5)))
            self.linears.append(how)
            name = "linear"
        elif name == "again":
            name, how = "linear", str(rng.choice(self.linears))
        elif name in ("product with a matrix", "einsum"):
            how = nn.Parameter(torch.zeros(SIZE, SIZE))
            setattr(self, f"weight{place}", how)
        elif name == "choose":
            how = rng.integers(0, SIZE, SIZE).tolist()
        elif name in ("roll", "cat"):
            how = int(rng.integers(1, SIZE))
        elif name == "scale":
            how = float(rng.choice([2.0, 0.5, -1.0]))
        elif name in ("mask", "where"):
            how = torch.from_numpy((rng.random(SIZE) < 0.7).astype(np.float32))
        elif name == "a norm a step":
            how = "norms"
            self.norms = nn.ModuleList(nn.BatchNorm1d(SIZE) for _ in range(STEPS))
        elif name == "membrane":
            takes = [len(self.neurons) - 1]
            name = "membrane" if self.neurons else "square"
            takes = takes if self.neurons else [0]
        return name, takes, how

    def _neuron(self, rng: np.random.Generator) -> str:
        name = f"lif{len(self.neurons)}"
        options = {"reset_mechanism": "zero", "reset_delay": False, "init_hidden": self.hidden}
        threshold = float(rng.choice([0.5, 1.0, 1.5]))
        if rng.random() < 0.2:
            made: nn.Module = snn.RLeaky(0.5, linear_features=SIZE, threshold=threshold, **options)
        else:
            options["reset_delay"] = bool(rng.random() < 0.3)
            made = snn.Leaky(0.5, threshold=threshold, **options)
        setattr(self, name, made)
        self.neurons.append(name)
        return name

    def step(
        self, inputs: list[torch.Tensor], t: int, states: dict[str, Any]
    ) -> list[torch.Tensor]:
        values = list(inputs)
        last = {}
        for name, takes, how in self.plan:
            if name == "before":
                kept = f"value {takes[0]}"
                held = states["last"].get(kept)
                last[kept] = values[takes[0]]
                values.append(torch.zeros_like(inputs[0]) if held is None else held)
            else:
                values.append(
                    self._made(name, [values[i] for i in takes if i < len(values)], how, t, states)
                )
        states["last"] = last
        return values

    def _made(
        self, name: str, v: list[torch.Tensor], how: Any, t: int, states: dict[str, Any]
    ) -> Any:
        if name == "neuron":
            neuron = getattr(self, how)
            if self.hidden:
                return neuron(v[0])
            if isinstance(neuron, snn.RLeaky):
                spk, mem = states.get(how, neuron.reset_mem())
                states[how] = neuron(v[0], spk, mem)
            else:
                states[how] = neuron(v[0], mem=states[how][1] if how in states else None)
            return states[how][0]
        made = {
            "linear": lambda: getattr(self, how)(v[0]),
            "product with a matrix": lambda: (how @ v[0].T).T,
            "einsum": lambda: torch.einsum("ni,oi->no", v[0], how),
            "add": lambda: v[0] + v[1],
            "sub": lambda: v[0] - v[1],
            "choose": lambda: v[0][:, how],
            "flip": lambda: v[0].flip(1),
            "roll": lambda: torch.roll(v[0], how, dims=1),
            "cat": lambda: torch.cat([v[0][:, how:], v[1][:, :how]], dim=1),
            "scale": lambda: v[0] * how,
            "mask": lambda: v[0] * how,
            "where": lambda: torch.where(how > 0, v[0], v[1]),
            "in place": lambda: v[0].clone().mul_(0.5).add_(v[1]),
            "halve": lambda: v[0].reshape(len(v[0]), 2, 3).mean(1).repeat(1, 2) * 2,
            "twice": lambda: torch.stack([v[0], v[0]]).sum(0),
            "membrane": lambda: getattr(self, self.neurons[0]).mem,
            "relu": lambda: torch.relu(v[0] - 0.5),
            "product": lambda: v[0] * v[1],
            "late": lambda: v[0] if t % 2 else v[0].flip(1),
            "each step": lambda: v[0] * (t + 1),
            "batch": lambda: v[0].flip(0),
            "square": lambda: v[0] ** 2,
            "clamp": lambda: v[0].clamp(0, 0.5),
            "noisy zero": lambda: v[0] + float(t == 2),
            "a norm a step": lambda: self.norms[t](v[0]),
            "noise": lambda: v[0] + torch.rand_like(v[0]),
            "first step only": lambda: v[0] if t == 0 else torch.zeros_like(v[0]),
        }
        return made[name]()

    def made(self, inputs: list[torch.Tensor], states: dict[str, Any] | None = None) -> Any:
        if self.layout == "step":
            self.t = getattr(self, "t", -1) + 1
            kept = dict(states or {"last": {}})
            values = self.step(inputs, self.t % STEPS, kept)
            out = [values[i] for i in self.rank] + ([kept] if self.passed else [])
            return out[0] if len(out) == 1 else tuple(out)
        kept = {"last": {}}
        found = []
        axis = 1 if self.layout == "batch-first" else 0
        static = self.layout == "static"
        for t in range(STEPS if static else inputs[0].shape[axis]):
            values = self.step([x if static else x.select(axis, t) for x in inputs], t, kept)
            found.append([values[i] for i in self.rank])
        out = [torch.stack(parts, axis) for parts in zip(*found, strict=True)]
        if self.read:
            first = {
                "mean": lambda x: self.last(x.mean(axis)),
                "sum": lambda x: self.last(x.sum(axis)),
                "sum of each": lambda x: self.last(x).sum(axis),
            }[self.read](out[0])
            out = [first, *out]
        return out[0] if len(out) == 1 else tuple(out)


class One(Drawn):
    def forward(self, x: torch.Tensor) -> Any:
        return self.made([x])


class Two(Drawn):
    def forward(self, left: torch.Tensor, right: torch.Tensor) -> Any:
        return self.made([left, right])


class OneGiven(Drawn):
    def forward(self, x: torch.Tensor, states: Any = None) -> Any:
        return self.made([x], states)


class TwoGiven(Drawn):
    def forward(self, left: torch.Tensor, right: torch.Tensor, states: Any = None) -> Any:
        return self.made([left, right], states)


def draw(rng: np.random.Generator, legal: bool) -> Drawn:
    sides, passed = 1 + int(rng.random() < 0.25), bool(rng.random() < 0.2)
    made = ((One, OneGiven), (Two, TwoGiven))[sides - 1][passed]
    return made(rng, legal, sides, passed).eval()


@torch.no_grad()
def fired(model: Drawn, sample: list[torch.Tensor]) -> tuple[dict[str, torch.Tensor], Any]:
    """What each neuron module fires [N, T, SIZE] and what is returned, run as the layout wants it."""
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
    returned: Any = None
    if model.layout == "step":
        states = None
        for t in range(STEPS):
            returned = model(*[x[:, t] for x in sample], *([states] if model.passed else []))
            states = returned[-1] if model.passed else None
    else:
        change = {"time-first": lambda x: x.transpose(0, 1), "static": lambda x: x[:, 0]}
        returned = model(*map(change.get(model.layout, lambda x: x), sample))
    for hook in hooks:
        hook.remove()
    return {name: torch.stack(parts, dim=1) for name, parts in sent.items()}, returned


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
    model = draw(rng, legal)
    model.t = -1
    shape = (2, model.sides, 5, STEPS, SIZE)
    samples = torch.from_numpy((rng.random(shape) < 0.4).astype(np.float32))
    if model.layout == "static":
        samples = samples[:, :, :, :1].expand(*shape).contiguous()
    told = (seed, type(model).__name__, model.layout, model.read, model.plan)
    names = ["left", "right"][: model.sides]
    given = dict(zip(names, samples[0], strict=True))
    try:
        chip = to_chip(model, given if model.sides == 2 else samples[0, 0])
    except BadInput as error:
        unread = "no neurons read it" in str(error) or "nothing that is sent" in str(error)
        assert not legal or unread, (*told, str(error))
        return "refused"
    if not exact(chip):
        return "rounded"
    unseen = dict(zip(names, samples[1], strict=True))
    expected, returned = fired(model, list(samples[1]))
    found = recorded(chip, unseen if model.sides == 2 else samples[1, 0])
    for name, spikes in expected.items():
        if name in found:
            assert torch.equal(found[name][2], spikes.double()), (*told, name)
    assert set(chip.outputs) <= set(found), told
    if model.read:
        first = chip.outputs[0]
        # How long a static input is shown is the forward's own: its mean stays one.
        gain = STEPS if model.read == "mean" and model.layout != "static" else 1
        potential = found[first][1][:, -1] / chip.neuron(first).unit
        sums = returned[0] if isinstance(returned, tuple) else returned
        assert torch.equal(potential, sums.double() * gain), told
    return "equal"


@pytest.mark.parametrize("block", range(10))
def test_no_forward_becomes_something_else(block: int) -> None:
    outcomes = [converted(seed) for seed in range(30 * block, 30 * block + 30)]
    assert outcomes.count("equal") >= 8, outcomes


@pytest.mark.long
@pytest.mark.parametrize("block", range(40))
def test_no_forward_of_thousands_becomes_something_else(block: int) -> None:
    outcomes = [converted(seed) for seed in range(1000 + 75 * block, 1075 + 75 * block)]
    assert outcomes.count("equal") >= 20, outcomes
