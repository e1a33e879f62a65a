"""CLIP, frozen: any open_clip architecture or a small one of our own; encodes frames and text."""

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch
from msgspec import Meta, Struct, to_builtins
from numpy.typing import NDArray
from torch import nn
from torch.nn import functional

from deploy.errors import BadInput
from deploy.files import read_json
from deploy.reading import require_memory
from neuroclip.clip.convolutional_tower import NAME, WIDTHS
from neuroclip.clip.spec import ClipSpec, check_spec
from neuroclip.clip.weights_of_others import load_of_others
from neuroclip.compute.devices import device_of
from neuroclip.compute.threads import one_thread
from neuroclip.data.events.frames import FrameOptions
from neuroclip.data.seen import UNKNOWN, Seen, read_seen
from neuroclip.storage.open_clip_library import open_clip
from neuroclip.storage.weights import (
    check_tensors,
    fill_module,
    outlined,
    read_weights,
    weights_digest,
)
from neuroclip.text.prompts import fill, require_content
from neuroclip.text.tokenizer import VOCABULARY, tokenize
from neuroclip.towers.assembled import MEAN, STD, Towers, is_towers, load_towers, pieces_digest
from neuroclip.towers.word_pieces import tokenizer

# Files of a CLIP of our own configuration, in one folder.
CONFIG_FILE, WEIGHTS_FILE = "config.json", "model.safetensors"
# Sizes of a CLIP of our own.
_Size = Annotated[int, Meta(ge=1, le=4096)]
_Tower = Annotated[str, Meta(pattern=f"^{NAME}({'|'.join(map(str, WIDTHS))})$")]
# Images at once on a CPU; the most on a GPU; and how many tell what each takes of its memory.
_CPU_BATCH, _MAX_BATCH, _TRIAL = 256, 4096, 16


@dataclass(frozen=True, eq=False)
class Clip:
    """A loaded CLIP in evaluation mode.

    image_size: pixels a side; mean, std: per channel, of its own normalisation; digest: SHA-256 of
    its weights; tokenize: texts → int64 [texts, context]; seen: the samples that it was trained on;
    architecture: its configuration as text, activation included.
    """

    name: str
    module: nn.Module
    tokenize: Callable[[Sequence[str]], torch.Tensor]
    image_size: int
    mean: tuple[float, ...]
    std: tuple[float, ...]
    digest: str
    device: torch.device
    seen: Seen = UNKNOWN
    architecture: str = ""

    @property
    def identity(self) -> str:
        """SHA-256 of all that shapes a feature but frames and device: weights, architecture, precision and
        the normalisation of pixels."""
        kind = next(self.module.parameters()).dtype
        made_of = self.digest, self.architecture, str(kind), self.image_size, self.mean, self.std
        return hashlib.sha256(repr(made_of).encode()).hexdigest()


def load_clip(spec: ClipSpec | None = None, device: str | None = None) -> Clip:
    """Load a CLIP, by default the bundled one, to CUDA where there is one (or to `device`).

    Raises BadInput: unknown model or tag, no weights given, or a weight file that is missing,
    damaged, of another architecture, or not finite.
    """
    spec = spec or ClipSpec()
    place = device_of(device)
    check_spec(spec, open_clip.list_models())
    if spec.folder is not None and is_towers(spec.folder):
        return towers_clip(load_towers(spec.folder), spec.model, place, read_seen(spec.folder))
    if spec.folder is not None:
        return load_own_clip(spec.folder, spec.model, place)
    return _load_of_others(spec, place)


def build_own_clip(config: dict[str, Any]) -> nn.Module:
    """An open_clip `CLIP` with random weights; config: embed_dim, vision_cfg, text_cfg."""
    return open_clip.CLIP(
        embed_dim=config["embed_dim"],
        vision_cfg=open_clip.CLIPVisionCfg(**config["vision_cfg"]),
        text_cfg=open_clip.CLIPTextCfg(**config["text_cfg"]),
    )


def own_clip(
    module: nn.Module,
    config: dict[str, Any],
    name: str,
    device: torch.device,
    seen: Seen = UNKNOWN,
) -> Clip:
    """A `Clip` around a module of `build_own_clip`, with the tokenizer of bytes."""
    context = int(config["text_cfg"]["context_length"])
    return Clip(
        name=name,
        module=module.to(device).eval(),
        tokenize=lambda texts: tokenize(texts, context),
        image_size=int(config["vision_cfg"]["image_size"]),
        mean=open_clip.OPENAI_DATASET_MEAN,
        std=open_clip.OPENAI_DATASET_STD,
        digest=weights_digest(module),
        device=device,
        seen=seen,
        architecture=json.dumps(config, sort_keys=True),
    )


def towers_clip(towers: Towers, name: str, device: torch.device, seen: Seen = UNKNOWN) -> Clip:
    """A `Clip` around two pretrained towers. Raises BadInput where no word can be read (see `tokenizer`)."""
    module = towers.module.to(device).eval()
    # Convolutions by depth take half the time in this order; values and digest are the same.
    module.visual.to(memory_format=torch.channels_last)
    words = weights_digest(module) + pieces_digest(towers.pieces)
    return Clip(
        name=name,
        module=module,
        tokenize=tokenizer(towers.pieces, towers.config.context),
        image_size=towers.config.image_size,
        mean=MEAN,
        std=STD,
        digest=hashlib.sha256(words.encode()).hexdigest(),
        device=device,
        seen=seen,
        architecture=json.dumps(asdict(towers.config), sort_keys=True),
    )


class _Vision(Struct, forbid_unknown_fields=True, omit_defaults=True):
    # What is left out is open_clip's default.
    image_size: _Size
    layers: _Size | list[_Size] = 12
    width: _Size = 768
    # timm has many towers; only those are built whose sizes are known here.
    timm_model_name: _Tower | None = None
    head_width: _Size = 64
    patch_size: _Size = 16


class _Text(Struct, forbid_unknown_fields=True):
    context_length: Annotated[int, Meta(ge=3, le=4096)]
    vocab_size: Annotated[int, Meta(ge=VOCABULARY, le=1 << 16)]
    width: _Size
    heads: _Size
    layers: _Size


class _Sizes(Struct, forbid_unknown_fields=True):
    embed_dim: _Size
    vision_cfg: _Vision
    text_cfg: _Text

    @property
    def layers(self) -> int:
        """Layers of both towers."""
        own = 0 if self.vision_cfg.timm_model_name else self.vision_cfg.layers
        return self.text_cfg.layers + (sum(own) if isinstance(own, list) else own)


class _OwnClip(Struct):
    clip: _Sizes


def load_own_clip(folder: Path, name: str, device: torch.device) -> Clip:
    """Load a CLIP that `neuroclip.clip.pretrain` wrote. Raises BadInput naming the file."""
    file, path = folder / CONFIG_FILE, folder / WEIGHTS_FILE
    sizes = read_json(file, _OwnClip).clip
    config: dict[str, Any] = to_builtins(sizes)
    tensors = read_weights(path)
    # A layer has weights: that many are not even outlined where the weight file does not hold them.
    if sizes.layers > len(tensors):
        raise BadInput(
            f"{path}: {len(tensors)} tensors, its configuration has {sizes.layers} layers"
        )
    _require_images(file, sizes.vision_cfg)
    try:
        # On the meta device first: nothing is allocated that the weight file does not hold.
        with outlined():
            outline = build_own_clip(config)
        check_tensors(outline, tensors, path)
        module = build_own_clip(config)
        fill_module(module, tensors, path)
        clip = own_clip(module, config, name, device, read_seen(folder))
        # Sizes that do not go together show when something goes through them.
        _try(clip)
    except BadInput:
        raise
    except Exception as error:  # open_clip and torch say by many types what does not go together
        line = " ".join(str(error).split())
        raise BadInput(
            f"{file}: not a CLIP configuration: {type(error).__name__}: {line}"
        ) from error
    return clip


@torch.no_grad()
def _try(clip: Clip) -> None:
    """Encode one gray image and one text."""
    side = clip.image_size
    features = (
        clip.module.encode_image(torch.zeros(1, 3, side, side, device=clip.device)),
        clip.module.encode_text(clip.tokenize([""]).to(clip.device)),
    )
    if features[0].shape != features[1].shape:
        raise ValueError("images and texts have features of different sizes")


def _require_images(file: Path, vision: _Vision) -> None:
    """Raise BadInput where one image takes more memory than there may be."""
    side = vision.image_size
    if vision.timm_model_name is not None:
        needed = 4 * max(WIDTHS) * side**2
    elif isinstance(vision.layers, list):  # a resnet: its first layers are the largest
        needed = 8 * 4 * vision.width * side**2
    else:
        tokens = (side // vision.patch_size) ** 2 + 1
        needed = (
            4 * tokens * (max(1, vision.width // vision.head_width) * tokens + 16 * vision.width)
        )
    require_memory(f"{file}: one image of {side} × {side} pixels: what it becomes", needed)


def encoder_input(pixels: torch.Tensor, clip: Clip, options: FrameOptions) -> torch.Tensor:
    """Gray images float32 in 0 … 1 [images, rows, columns] as encoder input [images, 3, S, S].

    Bilinear to S × S, the same on three channels; x - 0.5 (normalisation "half", the paper's) or
    CLIP's own mean and deviation ("clip").
    """
    size = (clip.image_size, clip.image_size)
    pixels = pixels.to(clip.device)[:, None]
    pixels = functional.interpolate(pixels, size=size, mode="bilinear", align_corners=False)
    pixels = pixels.expand(-1, 3, -1, -1)
    if options.normalisation == "half":
        return pixels - 0.5
    mean, std = (torch.tensor(v, device=clip.device)[:, None, None] for v in (clip.mean, clip.std))
    return (pixels - mean) / std


@torch.no_grad()
def encode_frames(
    clip: Clip,
    frames: NDArray[np.uint8],
    options: FrameOptions,
    batch: int | None = None,
    raw: bool = False,
) -> NDArray[np.float32]:
    """L2-normalised image features float32 [..., C] of gray frames uint8 [..., rows, columns].

    Recordings are [N, T, rows, columns] → [N, T, C]; single pictures [N, rows, columns] → [N, C].
    batch: images at once; by default 256, or on CUDA, in bfloat16, what fits its memory. raw: as the
    encoder makes them, not normalised.
    """
    flat = frames.reshape(-1, *frames.shape[-2:])
    batch = batch or _batch(clip, flat, options)
    starts = range(0, len(flat), batch)
    parts = [_encoded(clip, flat[start : start + batch], options).cpu() for start in starts]
    features = torch.cat(parts).numpy().reshape(*frames.shape[:-2], -1)
    return features if raw else normalised(features)


def normalised(features: NDArray[np.float32]) -> NDArray[np.float32]:
    """Features float32 [..., C] at unit length."""
    return functional.normalize(torch.from_numpy(features), dim=-1).numpy()


def _encoded(clip: Clip, frames: NDArray[np.uint8], options: FrameOptions) -> torch.Tensor:
    pixels = torch.from_numpy(np.ascontiguousarray(frames)).to(torch.float32) / 255
    images = encoder_input(pixels, clip, options)
    if clip.device.type != "cuda":
        return clip.module.encode_image(images).float()
    with torch.autocast("cuda", torch.bfloat16):
        images = images.contiguous(memory_format=torch.channels_last)
        return clip.module.encode_image(images).float()


def _batch(clip: Clip, frames: NDArray[np.uint8], options: FrameOptions) -> int:
    """Images at once; on CUDA as many as fit, judged by what a few of them take."""
    if clip.device.type != "cuda" or len(frames) <= _TRIAL:
        return _CPU_BATCH
    torch.cuda.reset_peak_memory_stats(clip.device)
    before = torch.cuda.memory_allocated(clip.device)
    _encoded(clip, frames[:_TRIAL], options)
    each = max(1, (torch.cuda.max_memory_allocated(clip.device) - before) // _TRIAL)
    free, _ = torch.cuda.mem_get_info(clip.device)
    return int(max(_TRIAL, min(_MAX_BATCH, 0.8 * free // each)))


@torch.no_grad()
def encode_text(clip: Clip, labels: Sequence[str], template: str) -> NDArray[np.float32]:
    """L2-normalised text features float32 [labels, C] of the labels in a template with one `{}`.

    Raises BadInput as `neuroclip.text.prompts.fill` and `require_content` do.
    """
    tokens = clip.tokenize(fill(labels, template)).to(clip.device)
    require_content(labels, clip.tokenize)
    with one_thread():
        features: torch.Tensor = clip.module.encode_text(tokens, normalize=True)
    return features.float().cpu().numpy()


def self_contained(name: str) -> bool:
    """Whether an architecture of open_clip is built from its own sizes alone, without any hub."""
    config = open_clip.get_model_config(name) if name in open_clip.list_models() else None
    return config is not None and not any(key.startswith("hf_") for key in config["text_cfg"])


def _load_of_others(spec: ClipSpec, device: torch.device) -> Clip:
    loaded = load_of_others(spec)
    module = loaded.module
    side = module.visual.image_size
    if spec.others is None:
        tokenizer = open_clip.get_tokenizer(spec.model)
    else:
        length = int(loaded.config["text_cfg"].get("context_length", 77))
        tokenizer = open_clip.SimpleTokenizer(context_length=length)
    return Clip(
        name=spec.model if spec.others is None else spec.others.name,
        module=module.to(device).eval(),
        tokenize=lambda texts: tokenizer(list(texts)),
        image_size=int(side[0] if isinstance(side, tuple | list) else side),
        mean=loaded.mean,
        std=loaded.std,
        digest=weights_digest(module),
        device=device,
        architecture=json.dumps(loaded.config, sort_keys=True, default=str),
    )
