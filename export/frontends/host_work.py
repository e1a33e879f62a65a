"""What the host computes around a bundled kind of model: named, and counted for one inference."""

from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray

from deploy.count.host import Work
from neuroclip.compute.operations import multiply_accumulates
from neuroclip.data.events.dataset import EventDataset
from neuroclip.spikeclip.config import SpikeClipConfig
from neuroclip.spikeclip.text import TextConfig, operations

if TYPE_CHECKING:  # of a SpikeCLIP none of the adapter's is imported
    from neuroclip.adapter.checkpoint import Checkpoint
    from neuroclip.clip.model import Clip

# Events are counted in so many recordings, whose mean is stated.
_RECORDINGS = 100
# Of a gray pixel: two comparisons; of a resized one: four MACs; of each channel: one normalisation.
_RENDER, _RESIZE, _NORMALISE = 2, 4, 3
# Of a feature: subtraction, division, scale, limit; of its unit length: a square and a division.
_STANDARDISE, _UNIT = 4, 2

Part = tuple[str, Work | None]


def adapter_work(
    checkpoint: "Checkpoint",
    clip: "Clip",
    dataset: EventDataset,
    indices: NDArray[np.int64],
    labels: int,
) -> list[Part]:
    """The parts of the host around an adapter in their order; None for one that cannot be counted."""
    config, frames = checkpoint.config, checkpoint.frames
    steps, features = config.steps, config.features
    recordings = [dataset.load(int(i)) for i in indices[:_RECORDINGS]]
    events = sum(map(len, recordings)) / len(recordings)
    pixels = recordings[0].width * recordings[0].height
    side = clip.image_size
    encoder = multiply_accumulates(clip.module, "encode_image", (1, 3, side, side))
    tokens = clip.tokenize(["a"]).shape
    text = multiply_accumulates(clip.module, "encode_text", tokens, torch.int64)
    each = _STANDARDISE + (0 if config.raw else _UNIT)
    parts = [
        _part(
            f"event frames ({steps} slices by {frames.slicing})",
            events + steps * (_RENDER * pixels + (_RESIZE + _NORMALISE) * side**2),
            f"{events:.0f} events added; of {steps} frames {_RENDER} a pixel of {pixels} and "
            f"{_RESIZE + _NORMALISE} a pixel of {side} × {side}",
        ),
        _part(
            f"CLIP image encoder '{checkpoint.clip.model}' (ANN)",
            None if encoder is None else steps * encoder,
            f"{steps} frames × {encoder}",
        ),
        _part(
            f"feature encoder (standardise, round, clamp to ±{config.message_max})",
            each * steps * features,
            f"{each} each of {steps} × {features} features",
        ),
        _part(
            "CLIP text encoder, once per set of labels",
            None if text is None else labels * text,
            f"{labels} labels × {text}",
            once=True,
        ),
    ]
    if config.cut == "paper":
        # ReLU, blend and length are five of each feature; the cosine a product with each label's text.
        name = "ReLU, blend with the features, normalisation, cosine with the texts"
        how = f"{steps} × {features} features × (5 + {labels} labels)"
        return [*parts, _part(name, steps * features * (5 + labels), how)]
    name = "the features' own share of the class scores, added to the chip's"
    how = f"{steps} × {features} features added, their mean × {labels} labels, 2 a score"
    return [*parts, _part(name, steps * features + (features + 2) * labels, how)]


def spikeclip_work(config: SpikeClipConfig, text: TextConfig, labels: int) -> list[Part]:
    """The same around a SpikeCLIP."""
    pixels = config.channels * config.image_size**2
    each = operations(text)
    tokens = (config.side // config.patch) ** 2
    parts = [
        _part(
            f"pixels to integers 0..{config.message_max}, sent at each of {config.steps} steps",
            pixels,
            f"1 a pixel of {pixels}",
        ),
        _part(
            "text encoder, once per set of labels",
            labels * each,
            f"{labels} labels × {each}",
            once=True,
        ),
    ]
    if tokens == 1:
        return parts
    name = f"sum of {tokens} integrators per label"
    return [*parts, _part(name, tokens * labels, f"{tokens} × {labels} labels")]


def _part(name: str, operations: float | None, how: str, once: bool = False) -> Part:
    return name, None if operations is None else Work(name, operations, how, once)
