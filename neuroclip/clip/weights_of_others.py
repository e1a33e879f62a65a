"""CLIP weights as people have them: open_clip's tags, OpenAI's archives, state dicts, downloaded folders.

    a tag                    downloaded by open_clip
    FILE                     .safetensors, .pt, .pth, .bin: a state dict, or OpenAI's TorchScript archive
    a folder                 open_clip's (open_clip_config.json) or Hugging Face's (config.json of a
                             CLIPModel), each beside its weights

No file's code runs: tensors come by `neuroclip.storage.weights`, and sizes from JSON. Which activation
weights were trained with (OpenAI's: QuickGELU) is told by tag, archive or configuration and used, or
refused where the named architecture is another one.
"""

import copy
import logging
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from deploy.errors import BadInput
from deploy.files import read_json
from neuroclip.clip.hugging_face import config_of_hf, tensors_of_hf
from neuroclip.clip.spec import ClipSpec
from neuroclip.storage.open_clip_library import open_clip
from neuroclip.storage.weights import check_tensors, outlined, read_weights

# Numbers that OpenAI's archives keep as tensors beside the weights.
_OPENAI_EXTRAS = ("input_resolution", "context_length", "vocab_size")
_QUICK = "-quickgelu"
OPEN_CLIP_CONFIG, HF_CONFIG, HF_PREPROCESSING = (
    "open_clip_config.json", "config.json", "preprocessor_config.json",
)  # fmt: skip
_FILES = (
    "open_clip_model.safetensors", "open_clip_pytorch_model.safetensors", "model.safetensors",
    "open_clip_pytorch_model.bin", "pytorch_model.bin", "open_clip_model.pt",
)  # fmt: skip
_VOCABULARY = 49_408


@dataclass(frozen=True, eq=False)
class Loaded:
    """module: a CLIP with its weights. config: its architecture, as open_clip configures one. mean, std:
    of its pixels, per channel."""

    module: nn.Module
    config: Mapping[str, Any]
    mean: tuple[float, ...]
    std: tuple[float, ...]


def load_of_others(spec: ClipSpec) -> Loaded:
    """The CLIP that a spec names. Raises BadInput in one line, naming the model and the file."""
    if spec.others is not None:
        return _of_folder(spec.others)
    assert spec.pretrained is not None
    path = Path(spec.pretrained)
    if path.is_dir():
        path = _file_in(path)
    if path.is_file() or path.suffix:
        tensors = read_weights(path)
        quick = all(name in tensors for name in _OPENAI_EXTRAS) or None
        config = _config_of(spec.model, quick, str(path))
        return _filled(config, tensors, path, {})
    return _of_tag(spec.model, spec.pretrained)


def _config_of(model: str, quick: bool | None, weights: str) -> dict[str, Any]:
    """The configuration of an architecture, with the activation of its weights where that is known."""
    config = copy.deepcopy(open_clip.get_model_config(model))
    assert config is not None
    if quick is None or quick == bool(config.get("quick_gelu", False)):
        return dict(config)
    if not quick:
        raise BadInput(
            f"CLIP '{model}': weights '{weights}' were trained with GELU; use '{model.removesuffix(_QUICK)}'"
        )
    return {**config, "quick_gelu": True}


def _of_tag(model: str, tag: str) -> Loaded:
    tags = open_clip.list_pretrained_tags_by_model(model)
    if tag not in tags:
        raise BadInput(
            f"CLIP '{model}': unknown weights '{tag}', expected a file, a folder or one of "
            f"{', '.join(tags)}"
        )
    known = open_clip.get_pretrained_cfg(model, tag)
    config = _config_of(model, bool(known.get("quick_gelu", False)), tag)
    quick = bool(config.get("quick_gelu", False))
    try:
        with _quiet():
            module = open_clip.create_model(model, pretrained=tag, force_quick_gelu=quick)
    except Exception as error:  # of a network, a hub or a damaged download: a dozen types
        lines = [line.strip() for line in str(error).splitlines() if line.strip()]
        raise BadInput(
            f"CLIP '{model}': weights '{tag}' cannot be downloaded: "
            f"{lines[0] if lines else type(error).__name__}; give a file of them by --pretrained FILE"
        ) from error
    return Loaded(module, config, *_normalisation(module))


def _of_folder(folder: Path) -> Loaded:
    """open_clip's folder, as its `local-dir:` takes it, or Hugging Face's of a CLIPModel."""
    file = _file_in(folder)
    if (folder / OPEN_CLIP_CONFIG).is_file():
        raw = read_json(folder / OPEN_CLIP_CONFIG)
        config = raw.get("model_cfg") if isinstance(raw, dict) else None
        if not isinstance(config, dict):
            raise BadInput(f"{folder / OPEN_CLIP_CONFIG}: no object under 'model_cfg'")
        preprocessing = raw.get("preprocess_cfg") or {}
        names = ("mean", "std")
        tensors = read_weights(file)
    else:
        config = config_of_hf(read_json(folder / HF_CONFIG), folder / HF_CONFIG)
        path = folder / HF_PREPROCESSING
        preprocessing = read_json(path) if path.is_file() else {}
        names = ("image_mean", "image_std")
        tensors = tensors_of_hf(read_weights(file), file)
    if not isinstance(preprocessing, dict):
        raise BadInput(f"{folder}: its preprocessing is no object")
    given = {
        name: tuple(preprocessing[key])
        for name, key in zip(("mean", "std"), names, strict=True)
        if _is_colour(preprocessing.get(key))
    }
    return _filled(dict(config), tensors, file, given)


def _is_colour(value: Any) -> bool:
    return (
        isinstance(value, list) and len(value) == 3 and all(type(x) in (int, float) for x in value)
    )


def _file_in(folder: Path) -> Path:
    named = [folder / name for name in _FILES if (folder / name).is_file()]
    found = named or [
        path for suffix in ("safetensors", "pt", "pth", "bin") for path in sorted(folder.glob(f"*.{suffix}"))
    ]  # fmt: skip
    if not found:
        raise BadInput(f"{folder}: no file of weights, none of {', '.join(_FILES)}")
    if not named and len(found) > 1:
        names = ", ".join(path.name for path in found[:4])
        raise BadInput(f"{folder}: {len(found)} files of weights ({names}, …); name one of them")
    return found[0]


def _filled(
    config: dict[str, Any], tensors: Mapping[str, Tensor], path: Path, given: Mapping[str, Any]
) -> Loaded:
    """A CLIP of a configuration with these tensors. Raises BadInput as `check_tensors` does."""
    for part in ("vision_cfg", "text_cfg"):
        for name, value in dict(config.get(part) or {}).items():
            if name.startswith("hf_") or (name == "timm_model_name" and ":" in str(value)):
                raise BadInput(
                    f"{path.parent}: key '{part}.{name}' = {value!r} would be looked up on a hub"
                )
    if (config.get("text_cfg") or {}).get("vocab_size", _VOCABULARY) != _VOCABULARY:
        raise BadInput(f"{path.parent}: its vocabulary is not CLIP's of {_VOCABULARY} tokens")
    held = {name: x for name, x in tensors.items() if name not in _OPENAI_EXTRAS}
    try:
        # On the meta device first: nothing is allocated that the weight file does not hold.
        with outlined():
            outline = _built(config)
        held = _in_shape(outline, held)
        check_tensors(outline, held, path)
        with _quiet():
            module = _built(config)
    except (
        KeyError,
        TypeError,
        ValueError,
        RuntimeError,
        ZeroDivisionError,
        AttributeError,
    ) as error:
        line = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise BadInput(f"{path}: not weights of this architecture: {line}") from error
    module.load_state_dict(held)
    mean, std = _normalisation(module)
    return Loaded(module, config, given.get("mean", mean), given.get("std", std))


def _built(config: Mapping[str, Any]) -> nn.Module:
    """A CLIP with random weights, without any hub."""
    sizes = copy.deepcopy(dict(config))
    vision, text = sizes["vision_cfg"], sizes["text_cfg"]
    if "timm_model_name" in vision:
        vision["timm_model_pretrained"] = False
    custom = sizes.pop("custom_text", False)
    if "multimodal_cfg" in sizes:
        return open_clip.CoCa(**sizes)
    kind = open_clip.CustomTextCLIP if custom else open_clip.CLIP
    made = kind(**sizes)
    assert isinstance(text, dict)
    return made


def _in_shape(outline: nn.Module, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Tensors under the names and in the shapes that this version of open_clip has."""
    held = dict(open_clip.factory.convert_state_dict(outline, tensors))
    if "positional_embedding" in held and not hasattr(outline, "positional_embedding"):
        held = dict(open_clip.model.convert_to_custom_text_state_dict(held))
    expected = outline.state_dict()
    for name in ("logit_scale", "logit_bias"):
        if name in held and name in expected and held[name].numel() == expected[name].numel():
            held[name] = held[name].reshape(expected[name].shape)
    # Buffers that some versions keep and others compute.
    for name in ("attn_mask", "text.attn_mask", "text.transformer.embeddings.position_ids"):
        if name in held and name not in expected:
            del held[name]
        elif name in expected and name not in held and name.endswith("attn_mask"):
            held[name] = expected[name]
    return held


def _normalisation(module: nn.Module) -> tuple[tuple[float, ...], tuple[float, ...]]:
    visual: Any = module.visual
    mean = getattr(visual, "image_mean", None) or open_clip.OPENAI_DATASET_MEAN
    std = getattr(visual, "image_std", None) or open_clip.OPENAI_DATASET_STD
    return tuple(mean), tuple(std)


@contextmanager
def _quiet() -> Iterator[None]:
    """open_clip logs that a model is random before weights are put into it."""
    before = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)
