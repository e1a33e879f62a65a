"""No integer layer runs in a precision that would round its sums: each refuses, by name."""

from types import SimpleNamespace

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("snntorch")

from deploy.errors import BadInput
from neuroclip.chip import neurons, relays, synapses
from neuroclip.chip.neurons import ChipNeuron, run
from neuroclip.chip.relays import ChipIdentity, ChipRelay
from neuroclip.chip.synapses import ChipConv2d, ChipLinear, ChipSumPool2d, FoldedLinear
from neuroclip.spikeclip.config import SpikeClipConfig
from neuroclip.spikeclip.model import ReadOut

SMALL = SpikeClipConfig(image_size=4, channels=1, width=4, convolutions=2, halvings=1, heads=2)
W = torch.linspace(-9, 9, 32).reshape(8, 4)
FLAT, IMAGE = (2, 3, 4), (2, 3, 4, 2, 2)
# Every integer layer, and the shape of its messages.
LAYERS = {
    "ChipLinear": (lambda: ChipLinear(W, 3), FLAT),
    "FoldedLinear": (lambda: FoldedLinear(W, torch.eye(8)[:3], 3), FLAT),
    "ChipConv2d": (lambda: ChipConv2d(W[:, :, None, None], 3), IMAGE),
    "ReadOut": (lambda: ReadOut(SMALL, W, torch.eye(8)[:3], 3), IMAGE),
    "ChipSumPool2d": (lambda: ChipSumPool2d(4, (2, 2)), IMAGE),
    "ChipNeuron": (lambda: ChipNeuron(torch.zeros(4), unit=1.0, vth=3), FLAT),
    "ChipRelay": (lambda: ChipRelay((4,)), FLAT),
    "ChipIdentity": (lambda: ChipIdentity(4), IMAGE),
}


def test_every_integer_layer_is_among_them() -> None:
    modules = {
        name
        for module in (synapses, neurons, relays)
        for name, of in vars(module).items()
        if name.startswith(("Chip", "Folded")) and isinstance(of, type)
        and issubclass(of, torch.nn.Module)
    }  # fmt: skip
    assert modules <= set(LAYERS)


@pytest.mark.parametrize("name", LAYERS)
def test_lower_precision_is_refused_at_each_layer(name: str) -> None:
    make, shape = LAYERS[name]
    layer, sent = make(), torch.ones(shape)
    expected = run(layer, sent)
    for lower in (torch.bfloat16, torch.float16):
        with torch.autocast("cpu", lower), pytest.raises(BadInput, match=f"{name}: under autocast"):
            run(layer, sent)
        with pytest.raises(BadInput, match=f"{name}: torch.{str(lower)[6:]} rounds"):
            run(layer, sent.to(lower))
        if list(layer.parameters()):
            with pytest.raises(BadInput, match="rounds the chip's integers"):
                run(make().to(lower), sent)
    # Newer torch shows it in its newer settings too, which are then the ones that are named.
    named = rf"{name}: (products of float32|torch\.backends\.\S+ = '(tf32|bf16)')"
    for setting in ("high", "medium"):
        try:
            torch.set_float32_matmul_precision(setting)
            with pytest.raises(BadInput, match=named):
                run(layer, sent)
        finally:
            torch.set_float32_matmul_precision("highest")
    with torch.autocast("cpu", torch.bfloat16), torch.autocast("cpu", enabled=False):
        assert torch.equal(run(layer, sent), expected)


@pytest.mark.parametrize("place", ["", "mkldnn", "mkldnn.conv", "cuda.matmul"])
def test_settings_of_newer_torch_are_seen(monkeypatch: pytest.MonkeyPatch, place: str) -> None:
    """As torch 2.9 and later have them, whose older settings raise where these are used."""
    layer, sent = ChipLinear(W, 3), torch.ones(FLAT)
    node = settings = SimpleNamespace(fp32_precision="none")
    for part in filter(None, place.split(".")):
        setattr(node, part, SimpleNamespace())
        node = getattr(node, part)
    monkeypatch.setattr(torch, "backends", settings)
    for harmless in ("ieee", "none"):
        node.fp32_precision = harmless
        run(layer, sent)
    for lower in ("tf32", "bf16"):
        node.fp32_precision = lower
        with pytest.raises(BadInput, match=rf"ChipLinear: torch\.backends.*{place}.*'{lower}'"):
            run(layer, sent)


def test_weights_are_not_folded_in_lower_precision_either() -> None:
    layer = FoldedLinear(torch.rand(8, 4), torch.rand(3, 8), 6)
    with torch.autocast("cpu", torch.bfloat16), pytest.raises(BadInput, match="autocast"):
        layer.integer_weight()
