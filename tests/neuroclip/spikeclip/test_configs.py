"""The bundled settings of a SpikeCLIP: each is read, and its model keeps its weights in 8 bits."""

import pytest

torch = pytest.importorskip("torch")
for package in ("snntorch", "open_clip"):
    pytest.importorskip(package)

from neuroclip.chip.synapses import ChipLinear
from neuroclip.spikeclip.config_files import CONFIGS
from neuroclip.spikeclip.model import SpikeClip, quantized_model
from neuroclip.spikeclip.training.settings import read_settings
from neuroclip.spikeclip.training.texts import sentences
from neuroclip.text.tokenizer import tokenize

NAMES = sorted(path.stem for path in CONFIGS.glob("*.json"))


@pytest.mark.parametrize("name", NAMES)
def test_every_sentence_fits_both_text_encoders(name):
    settings = read_settings(name)
    classes = ("automobile",) if name.startswith("cifar10") else ("9",)
    texts = sentences((*settings.labels, *classes), (settings.template, *settings.templates))
    assert len(tokenize(texts, settings.text.tokens)) == len(texts)


@pytest.mark.parametrize(
    "name", [n for n in NAMES if not n.endswith(("-paper", "-attention", "-ann"))]
)
@torch.no_grad()
def test_no_layer_of_the_deployable_model_rounds_to_a_few_levels(name):
    config = read_settings(name).model
    torch.manual_seed(0)
    model = SpikeClip(config).train()
    coarse = torch.rand(4, config.channels, 4, 4) * config.message_max
    images = torch.nn.functional.interpolate(coarse, config.image_size).round()
    for _ in range(3):
        model(images)
    text = torch.nn.functional.normalize(torch.randn(3, config.features), dim=-1)
    chip = quantized_model(model.eval(), text)
    for module in chip.modules():
        if isinstance(module, ChipLinear) and module.weight.requires_grad:
            assert 16 <= module.integer_weight().abs().max() <= 254
