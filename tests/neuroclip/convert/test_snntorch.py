"""snnTorch networks become chip networks, or are refused by the name of what the chip cannot do."""

from types import SimpleNamespace

import numpy as np
import pytest

torch = pytest.importorskip("torch")
snn = pytest.importorskip("snntorch")

from torch import nn

from deploy.errors import BadInput
from neuroclip.chip.neurons import recorded, run
from neuroclip.convert.resets import with_chip_reset
from neuroclip.convert.snntorch import to_chip
from neuroclip.convert.traced import traced
from neuroclip.convert.watch.calls import Signature
from neuroclip.convert.watch.observe import observe
from neuroclip.linear.maps import apply

LAPICQUE = {"reset_mechanism": "none", "time_step": 1, "R": 1, "C": 2}
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
    assert sorted(name for name, _ in chip.named_children()) == ["0", "1", "3", "4"]
    hidden, readout = chip.neuron("1"), chip.neuron("4")
    assert (hidden.du, hidden.dv, hidden.kind) == (1023, 2048, "lif")
    assert hidden.vth == 2 * hidden.unit / 64
    assert (readout.du, readout.dv, readout.kind) == (4095, 0, "integrator")


def grid(*modules):
    """Weights and biases on a coarse grid that the chip holds exactly."""
    for module in modules:
        with torch.no_grad():
            for parameter in module.parameters():
                parameter.copy_(torch.randint(-20, 21, parameter.shape) / 32)


class Branches(nn.Module):
    """Convolutions, a skip, spikes pooled by OR, averages, and time inside the forward or outside."""

    def __init__(self, loops: bool):
        super().__init__()
        self.loops = loops
        self.conv1 = nn.Conv2d(2, 4, 3, padding=1)
        self.lif1 = snn.Leaky(0.5, threshold=0.5, **KEPT)
        self.pool = nn.MaxPool2d(2)
        self.conv2 = nn.Conv2d(4, 8, 3, padding=1, bias=False)
        self.average = nn.AvgPool2d(2)
        self.skip = nn.Conv2d(4, 8, 1, stride=2, groups=2)
        self.lif2 = snn.Leaky(0.5, threshold=0.25, **KEPT)
        self.drop = nn.Dropout()
        self.fc = nn.Linear(8 * 3 * 3, 5)
        self.out = snn.Leaky(1.0, reset_mechanism="none", init_hidden=True, output=True)
        grid(self.conv1, self.conv2, self.skip, self.fc)

    def step(self, x):
        spikes = self.pool(self.lif1(self.conv1(x)))
        spikes = self.lif2(self.average(self.conv2(spikes)) + self.skip(spikes))
        return self.out(self.fc(torch.flatten(self.drop(spikes), 1)))

    def forward(self, x):
        if not self.loops:
            return self.step(x)[1]
        potentials = []
        for _ in range(3):
            potentials.append(self.step(x)[1])
        return torch.stack(potentials)


def stepped(model, spikes):
    """What each neuron module of an snnTorch network sends, step by step."""
    sent = {}
    hooks = [
        module.register_forward_hook(
            lambda _, __, out, name=name: sent.setdefault(name, []).append(
                (out[1] if isinstance(out, tuple) else out).detach().clone()
            )
        )
        for name, module in model.named_modules()
        if isinstance(module, snn.SpikingNeuron | nn.MaxPool2d)
    ]
    for module in model.modules():
        if isinstance(module, snn.SpikingNeuron):
            module.reset_mem()
    for t in range(spikes.shape[1]):
        model(spikes[:, t])
    for hook in hooks:
        hook.remove()
    return {name: torch.stack(parts, dim=1) for name, parts in sent.items()}


@pytest.mark.parametrize("loops", [False, True])
def test_branches_and_pooling_keep_every_spike(loops: bool) -> None:
    torch.manual_seed(1)
    model = Branches(loops).eval()
    chip = to_chip(model, shape=(2, 12, 12))
    model.loops = False
    spikes = (torch.rand(6, 5, 2, 12, 12) < 0.3).float()
    expected, found = stepped(model, spikes), recorded(chip, spikes)
    for name in ("lif1", "pool", "lif2"):
        assert torch.equal(found[name][2], expected[name].double()), name
        assert 0.02 < expected[name].mean() < 0.98, name
    unit = chip.neuron("out").unit
    assert torch.equal(found["out"][1] / unit, expected["out"].double())
    whole = run(chip, spikes)
    chip.reset_mem()
    assert torch.equal(whole, torch.stack([chip(spikes[:, t]) for t in range(5)], dim=1).float())


@pytest.mark.parametrize(
    "neuron",
    [
        lambda: snn.RLeaky(0.5, linear_features=6, threshold=0.5, **KEPT),
        lambda: snn.RLeaky(0.5, all_to_all=False, V=torch.tensor(0.25), threshold=0.5, **KEPT),
        lambda: snn.RLeaky(0.5, all_to_all=False, V=torch.arange(6) / 32, threshold=0.5, **KEPT),
    ],
)
def test_loops_keep_every_spike(neuron) -> None:
    torch.manual_seed(2)
    model = nn.Sequential(nn.Linear(4, 6, bias=False), neuron())
    grid(model[0], model[1].recurrent)
    chip = to_chip(model)
    spikes = (torch.rand(20, 4, 4) < 0.5).float()
    expected = stepped(model, spikes)["1"]
    # Four steps of halving keep every state on the grid of the chip's 6 bits below the weights.
    assert torch.equal(run(chip, spikes), expected.double())
    assert torch.equal(recorded(chip, spikes)["1"][2], expected.double())
    assert 0.05 < expected.mean() < 0.95


@pytest.mark.parametrize("hidden", [False, True])
def test_a_synaptic_loop_that_resets_late_is_refused(hidden: bool) -> None:
    """snnTorch 1.0 resets RSynaptic one step late with its state given, and stops with it hidden."""
    options = {**KEPT, "init_hidden": hidden}
    loop = snn.RSynaptic(0.5, 0.5, linear_features=6, threshold=0.5, **options)
    for refuses in (to_chip, with_chip_reset):
        with pytest.raises(BadInput, match="module '1': RSynaptic of this snnTorch cannot reset"):
            refuses(nn.Sequential(nn.Linear(4, 6, bias=False), loop))


def test_a_convolutional_loop_reads_its_neighbours() -> None:
    torch.manual_seed(3)
    loop = snn.RLeaky(0.5, conv2d_channels=3, kernel_size=3, threshold=0.5, **KEPT)
    model = nn.Sequential(nn.Conv2d(1, 3, 3, bias=False), loop)
    grid(*model)
    grid(loop.recurrent)
    spikes = (torch.rand(5, 4, 1, 7, 6) < 0.5).float()
    expected = stepped(model, spikes)["1"]
    assert torch.equal(run(to_chip(model, shape=(1, 7, 6)), spikes), expected.double())


def test_per_neuron_decays_and_thresholds_become_registers() -> None:
    decays, thresholds = torch.tensor([0.5, 0.25, 0.75]), torch.tensor([0.5, 1.0, 2.0])
    linear = nn.Linear(4, 3, bias=False)
    grid(linear)
    model = nn.Sequential(linear, snn.Leaky(decays, threshold=thresholds, **KEPT))
    neuron = to_chip(model).neuron("1")
    assert neuron.dv.tolist() == [2048, 3072, 1024]
    assert (neuron.vth * 64 / neuron.unit).tolist() == thresholds.tolist()


@pytest.mark.parametrize("seed", range(12))
def test_what_lies_between_populations_is_one_operator(seed: int) -> None:
    """Random chains of pooling, convolution, normalisation and matrices, as torch computes them."""
    rng = np.random.default_rng(seed)
    torch.manual_seed(seed)
    shape = (3, int(rng.integers(8, 13)), int(rng.integers(8, 13)))

    def convolution(padding):
        return nn.Conv2d(
            3, 6, tuple(rng.integers(1, 4, 2).tolist()), tuple(rng.integers(1, 3, 2).tolist()),
            padding, tuple(rng.integers(1, 3, 2).tolist()), int(rng.choice([1, 3])),
        )  # fmt: skip

    pool = nn.AvgPool2d(
        tuple(rng.integers(1, 4, 2).tolist()), tuple(rng.integers(1, 3, 2).tolist())
    )
    norm = nn.BatchNorm2d(6)
    with torch.no_grad():
        for values in (norm.weight, norm.bias, norm.running_mean):
            values.normal_()
        norm.running_var.uniform_(0.5, 2)
    chain = [
        [convolution(1), norm],
        [pool, convolution(0)],
        [convolution(1), norm, nn.AvgPool2d(2)],
        [nn.AvgPool2d(2), nn.AvgPool2d(2, 1)],
        [convolution(1), nn.Flatten()],
        [pool, nn.Flatten()],
    ][seed % 6]
    if isinstance(chain[-1], nn.Flatten):
        made = nn.Sequential(*chain).eval()(torch.zeros(1, *shape))
        chain.append(nn.Linear(made.shape[1], 4))
    model = nn.Sequential(*chain).eval()
    whole = nn.Sequential(*model, snn.Leaky(0.5, **KEPT))
    (population,) = traced(
        observe(whole, {"input": torch.rand(2, 1, *shape)}, "step", Signature(("input",)), {}),
        {"input": 1},
    ).populations.values()
    (feed,) = population.feeds
    made = feed.affine
    x = torch.rand(2, *shape)
    found = apply(made.map, x.flatten(1).double().numpy())
    found = torch.from_numpy(found + population.constant.reshape(-1))
    with torch.no_grad():
        expected = model.double()(x.double())
    assert made.target == tuple(expected.shape[1:])
    found = found.reshape(expected.shape)
    torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-12)


def test_padding_after_pooling_that_leaves_a_rest_is_a_matrix() -> None:
    model = nn.Sequential(nn.AvgPool2d(2), nn.Conv2d(1, 1, 3, padding=1), snn.Leaky(0.5, **KEPT))
    assert hasattr(to_chip(model, shape=(1, 8, 8)).get_submodule("1"), "stride")
    chip = to_chip(model, shape=(1, 9, 9))
    assert chip.neuron("2").shape == (1, 4, 4)
    assert chip.get_submodule("1").weight.shape == (16, 81)


@pytest.mark.parametrize(
    ("layers", "message"),
    [
        ([nn.Linear(2, 2), snn.Leaky(0.5)], "module '1': reset_mechanism 'subtract'"),
        (
            [nn.Linear(2, 2), snn.RLeaky(0.5, all_to_all=False, reset_mechanism="zero")],
            "module '1': reset_delay=True resets one step late, and RLeaky takes that step's input",
        ),
        ([nn.Linear(2, 2), nn.ReLU(), snn.Leaky(0.5, **KEPT)], "module '1': ReLU is not supported"),
        ([nn.Conv2d(1, 1, 3), snn.Leaky(0.5, **KEPT)], "model: give the shape of its input"),
        (
            [nn.Linear(2, 2), nn.MaxPool1d(2), snn.Leaky(0.5, **KEPT)],
            "module '1': MaxPool1d is not supported",
        ),
        (
            [
                nn.Linear(2, 2),
                snn.Leaky(0.5, reset_mechanism="none", init_hidden=True),
                nn.Linear(2, 2),
                snn.Leaky(0.5, **KEPT),
            ],
            "module '1': it never resets",
        ),
        ([nn.Linear(2, 2), snn.Lapicque(0.5, **LAPICQUE)], "module '1': Lapicque does not exist"),
        ([nn.Linear(2, 2)], "module '0': its last layer is no neuron"),
        (
            [nn.Linear(2, 2), snn.Leaky(torch.tensor([0.5, 0.6, 0.7]), **KEPT)],
            "module '1': beta of the shape (3,)",
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


class Quantized(nn.Linear):
    """As brevitas' QuantLinear: the forward uses weights in steps of a scale."""

    def __init__(self, scale: float, largest: int = 127) -> None:
        super().__init__(4, 3, bias=False)
        self.scale, self.largest = torch.tensor(scale), largest
        with torch.no_grad():
            self.weight.copy_(
                torch.linspace(-1.1 * largest, 0.9 * largest, 12).reshape(3, 4) * scale
            )

    def quant_weight(self) -> SimpleNamespace:
        steps = (self.weight / self.scale).round().clamp(-self.largest, self.largest)
        return SimpleNamespace(value=steps * self.scale, scale=self.scale)

    def forward(self, x):
        return nn.functional.linear(x, self.quant_weight().value)


def test_quantized_weights_are_kept_to_the_last_bit_or_refused_with_their_scale() -> None:
    layer = Quantized(2.0**-9)
    chip = to_chip(nn.Sequential(layer, snn.Leaky(0.5, threshold=0.1, **KEPT)))
    held = chip.get_submodule("0")
    assert torch.equal(held.integer_weight() * 2.0**-held.exponent, layer.quant_weight().value)
    assert int(held.integer_weight().abs().max()) == 254
    for refused, message in (
        (Quantized(0.01), "module '0': its weights are quantized in steps of 0.01"),
        (Quantized(0.5, 1000), "module '0': a quantized weight of 1000 steps"),
    ):
        with pytest.raises(BadInput, match=message):
            to_chip(nn.Sequential(refused, snn.Leaky(0.5, **KEPT)))


def test_a_quantized_layer_beside_a_coarser_one_is_refused() -> None:
    class Beside(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.fine, self.coarse = Quantized(2.0**-9), nn.Linear(4, 3, bias=False)
            self.lif = snn.Leaky(0.5, **KEPT)
            nn.init.constant_(self.coarse.weight, 100.0)

        def forward(self, x):
            return self.lif(self.fine(x) + self.coarse(x))

    with pytest.raises(BadInput, match="module 'fine': its quantized weights and what else drives"):
        to_chip(Beside())


def test_a_way_without_weight_makes_no_scale_coarser() -> None:
    """A difference of the same spikes, a layer of zeros, and both as all that neurons read."""

    class Nothing(nn.Module):
        def __init__(self, beside: bool) -> None:
            super().__init__()
            self.a, self.zero = nn.Linear(4, 4, bias=False), nn.Linear(4, 4)
            self.lif, self.out, self.beside = snn.Leaky(0.5, **KEPT), snn.Leaky(0.5, **NEXT), beside
            with torch.no_grad():
                self.a.weight.copy_(2 * torch.eye(4))
                self.zero.weight.zero_()
                self.zero.bias.copy_(torch.tensor([0.5, 0.75, 1.0, 0.0]))

        def forward(self, x):
            spk = self.lif(self.a(x))
            nothing = (spk - spk) + self.zero(spk)
            return self.out(nothing + 2 * x if self.beside else nothing)

    NEXT = KEPT | {"threshold": 1.25}
    sample = (torch.rand(10, 6, 4, generator=torch.Generator().manual_seed(0)) < 0.5).float()
    for beside in (True, False):
        model = Nothing(beside)
        expected = stepped(model, sample)
        found = recorded(to_chip(model, sample), sample)
        assert torch.equal(found["out"][2], expected["out"].double())
        assert 0.1 < expected["out"].mean() < 0.9


def test_a_run_leaves_a_module_as_it_was() -> None:
    """What a forward keeps in attributes of its own is no part of the next run."""

    class Keeps(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a, self.back, self.lif = (
                nn.Linear(4, 3),
                nn.Linear(3, 3, bias=False),
                snn.Leaky(0.5, **KEPT),
            )
            self.last, self.calls = None, 0

        def forward(self, x):
            self.calls += 1
            current = self.a(x) if self.last is None else self.a(x) + self.back(self.last)
            self.last = self.lif(current)
            return self.last

    model = Keeps().train()
    assert [(w.name, w.delay) for w in to_chip(model).wires] == [("a", 0), ("back", 1)]
    assert model.last is None and model.calls == 0 and model.training
