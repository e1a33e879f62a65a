"""Checkpoints of a SpikeCLIP: a folder of one JSON configuration and safetensors files."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from deploy.arithmetic.registers import BIAS_EXP_MAX
from deploy.decode import converted
from deploy.errors import BadInput
from deploy.files import write_json
from deploy.reading import require_memory
from neuroclip.chip.synapses import ChipConv2d
from neuroclip.data.images.images import Shares
from neuroclip.data.seen import UNKNOWN, Seen, read_seen, save_seen
from neuroclip.spikeclip.chip import layers, readers
from neuroclip.spikeclip.config import SpikeClipConfig
from neuroclip.spikeclip.model import ChipSpikeClip, SpikeClip
from neuroclip.spikeclip.text import SpikingTextEncoder, TextConfig, encode_labels
from neuroclip.storage.checkpoint_files import (
    CONFIG_FILE,
    SPIKECLIP,
    described,
    labels_and_template,
    read_config,
    typed,
)
from neuroclip.storage.weights import check_named, fill_module, outlined, read_weights, save_tensors
from neuroclip.text.prompts import fill

FORMAT, VERSION = SPIKECLIP, 2
# Version 1 kept all tensors in float32.
_READ = (1, VERSION)
FLOAT_FILE, TEXT_FILE, CHIP_FILE = "float.safetensors", "text.safetensors", "chip.safetensors"

_MAX_EXPONENT = 64
_OLD_MODEL = {"depths": [], "pixels": "messages", "by_224": False, "detached_reset": False}
_OLD_TEXT = {"norm": True, "trained_embeddings": False, "detached_reset": False}
# Of the encoder's tensors in the chip's file.
_PREFIX = "encoder/"


@dataclass(frozen=True, eq=False)
class SpikeCheckpoint:
    """A SpikeCLIP: image side in floating point and, once fine-tuned, on the chip; its text side.

    labels, template: what its texts were made of. templates: whose mean a text is, or none. teacher:
    what it learned from. training: how, for the reader. shares: how the images that it learned from
    were shared out. seen: which it and its teacher learned from.
    """

    model: SpikeClip
    text_encoder: SpikingTextEncoder
    chip: ChipSpikeClip | None
    labels: tuple[str, ...]
    template: str
    teacher: Mapping[str, Any]
    training: Mapping[str, Any]
    shares: Shares = Shares()  # noqa: RUF009 - frozen
    seen: Seen = UNKNOWN
    templates: tuple[str, ...] = ()

    def text(self, labels: tuple[str, ...]) -> Tensor:
        """Features of labels in the template, or their mean over the templates; see `encode_labels`."""
        return encode_labels(self.text_encoder, labels, self.templates or (self.template,))


def save_spikeclip(folder: str | Path, checkpoint: SpikeCheckpoint) -> None:
    """Write a checkpoint; the configuration comes last, so that a folder with it is whole.

    What the chip holds in 8 bits is written in 8 bits, other matrices in float16.
    """
    folder = Path(folder)
    save_tensors(folder / FLOAT_FILE, _halved(checkpoint.model.state_dict()))
    save_tensors(folder / TEXT_FILE, _halved(checkpoint.text_encoder.state_dict()))
    chip = checkpoint.chip
    if chip is not None:
        save_tensors(folder / CHIP_FILE, _learned(chip) | _integers(chip))
    save_seen(folder, checkpoint.seen)
    write_json(
        folder / CONFIG_FILE,
        {
            "format": FORMAT,
            "version": VERSION,
            "model": asdict(checkpoint.model.config),
            "text": asdict(checkpoint.text_encoder.config),
            "labels": list(checkpoint.labels),
            "template": checkpoint.template,
            "templates": list(checkpoint.templates),
            "scales": None if chip is None else dict(chip.scales),
            "teacher": dict(checkpoint.teacher),
            "training": dict(checkpoint.training),
            "shares": asdict(checkpoint.shares),
        },
    )


def load_spikeclip(name_or_folder: str | Path) -> SpikeCheckpoint:
    """Read a checkpoint folder, or a bundled model by name.

    Raises BadInput naming the file and the entry: missing, damaged, a pickle, tensors of another
    shape or variant, NaN.
    """
    folder, raw = read_config(name_or_folder, FORMAT, *_READ)
    path = folder / CONFIG_FILE
    try:
        if isinstance(raw.get("model"), dict):
            # Checkpoints from before tokenizers of stages, shares of the images, and the paper's own pixels
            # and texts, have none of these.
            raw["model"] = _OLD_MODEL | raw["model"]
        if isinstance(raw.get("text"), dict):
            raw["text"] = _OLD_TEXT | raw["text"]
        config, text = typed("model", raw, SpikeClipConfig), typed("text", raw, TextConfig)
        if config.features != text.features:
            raise BadInput(
                f"keys 'model.features' {config.features} and 'text.features' {text.features} differ"
            )
        labels, template = labels_and_template(raw)
        templates = tuple(converted(raw.get("templates", []), list[str], "templates"))
        for each in templates:
            fill(labels, each)
        scales = _checked_scales(config, raw.get("scales"))
        side = config.image_size
        require_memory(
            f"one image of {side} × {side} pixels in {config.steps} steps: what it becomes",
            4 * config.steps * max(config.channels, config.tokenizer_channels[0]) * side**2,
        )
        teacher, training = described(raw, "teacher", "training")
        shares = typed("shares", raw, Shares) if "shares" in raw else Shares()
    except BadInput as error:
        raise BadInput(f"{path}: {error}") from error
    # What a configuration declares takes no memory before the files are known to hold it.
    held = {name: read_weights(folder / name) for name in (FLOAT_FILE, TEXT_FILE)}
    # Nor does its outline take time.
    if config.blocks + config.convolutions > len(held[FLOAT_FILE]):
        raise BadInput(
            f"{folder / FLOAT_FILE}: {len(held[FLOAT_FILE])} tensors, the configuration has "
            f"{config.convolutions} convolutions and {config.blocks} blocks"
        )
    with outlined():
        outlines = {FLOAT_FILE: _outline(config), TEXT_FILE: SpikingTextEncoder(text).state_dict()}
    for name, tensors in held.items():
        check_named(outlines[name], tensors, folder / name)
    model, encoder = SpikeClip(config), SpikingTextEncoder(text)
    fill_module(model, held[FLOAT_FILE], folder / FLOAT_FILE)
    fill_module(encoder, held[TEXT_FILE], folder / TEXT_FILE)
    seen = read_seen(folder)
    made = SpikeCheckpoint(
        model.eval(), encoder.eval(), None, labels, template, teacher, training, shares, seen,
        templates,
    )  # fmt: skip
    if scales is None:
        return made
    learned = _reals(scales, read_weights(folder / CHIP_FILE))
    features = made.text(made.labels)
    projection = torch.zeros(config.features, config.width)
    check_named(
        _learned(ChipSpikeClip(config, scales, projection, features)), learned, folder / CHIP_FILE
    )
    chip = ChipSpikeClip(config, scales, learned["projection"], features)
    state = {n.removeprefix(_PREFIX): x for n, x in learned.items() if n.startswith(_PREFIX)}
    chip.encoder.load_state_dict(state, strict=False)
    return replace(made, chip=chip.eval())


def _learned(chip: ChipSpikeClip) -> dict[str, Tensor]:
    """The tensors that training moves, as a checkpoint keeps them."""
    found: dict[str, Tensor] = {"projection": chip.readout.weight}
    trained = (x for x in chip.encoder.named_parameters() if x[1].requires_grad)
    return found | {f"{_PREFIX}{name}": parameter for name, parameter in trained}


def _halved(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Matrices in float16 where it can hold them; vectors are few and stay as they are."""

    def halved(x: Tensor) -> Tensor:
        half = x.to(torch.float16)
        return half if x.ndim > 1 and bool(torch.isfinite(half).all()) else x

    return {name: halved(x) for name, x in tensors.items()}


def _integers(chip: ChipSpikeClip) -> dict[str, Tensor]:
    """The encoder's trained weights as the chip holds them, halved since they are even: int8."""
    found = {}
    for name in {layer.synapses for layer in layers(chip.config)}:
        synapses = chip.encoder.get_submodule(name)
        assert isinstance(synapses, ChipConv2d)
        found[f"{_PREFIX}{name}.weight"] = (synapses.integer_weight() / 2).to(torch.int8)
    return found


def _reals(scales: Mapping[str, int], tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The weights that `_integers` rounded, as real numbers: a power of two's multiples of them."""

    def real(name: str, x: Tensor) -> Tensor:
        exponent = scales.get(name.removeprefix(_PREFIX).removesuffix(".weight"))
        if x.dtype != torch.int8 or exponent is None:
            return x
        return x.to(torch.float32) * 2.0 ** (1 - exponent)

    return {name: real(name, x) for name, x in tensors.items()}


def _outline(config: SpikeClipConfig) -> dict[str, Tensor]:
    return SpikeClip(config).state_dict()


def _checked_scales(config: SpikeClipConfig, raw: Any) -> dict[str, int] | None:
    """The exponents of every layer, small enough for float32 and the registers."""
    if raw is None:
        return None
    if not isinstance(raw, dict):
        raise BadInput(f"key 'scales' is {raw!r}, expected an object")
    synapses = {layer.synapses for layer in layers(config)}
    biases = set(readers(config)) | {f"blocks.{b}.attention.fires" for b in range(config.blocks)}
    known = synapses | biases
    for name, value in raw.items():
        low, high = (-_MAX_EXPONENT, _MAX_EXPONENT) if name in synapses else (0, BIAS_EXP_MAX)
        if name not in known:
            raise BadInput(f"key 'scales.{name}' is unknown")
        if type(value) is not int or not low <= value <= high:
            raise BadInput(f"key 'scales.{name}' is {value!r}, expected {low} to {high}")
    return dict(raw)
