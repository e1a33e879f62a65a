"""Hugging Face's CLIPModel: its configuration and tensors, as open_clip names them."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from deploy.errors import BadInput

# What a configuration leaves out is as in `transformers`' CLIPTextConfig and CLIPVisionConfig.
_VISION = {
    "hidden_size": 768, "num_hidden_layers": 12, "num_attention_heads": 12, "intermediate_size": 3072,
    "patch_size": 32, "image_size": 224, "hidden_act": "quick_gelu",
}  # fmt: skip
_TEXT = {
    "hidden_size": 512, "num_hidden_layers": 12, "num_attention_heads": 8, "intermediate_size": 2048,
    "vocab_size": 49408, "max_position_embeddings": 77, "hidden_act": "quick_gelu",
}  # fmt: skip
_BLOCK = {
    "self_attn.out_proj": "attn.out_proj",
    "layer_norm1": "ln_1",
    "layer_norm2": "ln_2",
    "mlp.fc1": "mlp.c_fc",
    "mlp.fc2": "mlp.c_proj",
}
_NAMES = {
    "logit_scale": "logit_scale",
    "text_model.embeddings.token_embedding.weight": "token_embedding.weight",
    "text_model.embeddings.position_embedding.weight": "positional_embedding",
    "text_model.final_layer_norm.weight": "ln_final.weight",
    "text_model.final_layer_norm.bias": "ln_final.bias",
    "vision_model.embeddings.class_embedding": "visual.class_embedding",
    "vision_model.embeddings.patch_embedding.weight": "visual.conv1.weight",
    "vision_model.embeddings.position_embedding.weight": "visual.positional_embedding",
    "vision_model.pre_layrnorm.weight": "visual.ln_pre.weight",
    "vision_model.pre_layrnorm.bias": "visual.ln_pre.bias",
    "vision_model.post_layernorm.weight": "visual.ln_post.weight",
    "vision_model.post_layernorm.bias": "visual.ln_post.bias",
}
_TRANSPOSED = {
    "text_projection.weight": "text_projection",
    "visual_projection.weight": "visual.proj",
}
_TOWERS = {"text_model.encoder.layers.": "transformer.resblocks.",
           "vision_model.encoder.layers.": "visual.transformer.resblocks."}  # fmt: skip


def is_hf(raw: Any) -> bool:
    """Whether a config.json is one of `transformers`."""
    return isinstance(raw, dict) and isinstance(raw.get("model_type"), str)


def config_of_hf(raw: Any, path: Path) -> dict[str, Any]:
    """open_clip's configuration of a CLIPModel's. Raises BadInput naming the file and the key."""
    if not is_hf(raw) or raw["model_type"] != "clip":
        found = raw.get("model_type") if isinstance(raw, dict) else raw
        raise BadInput(f"{path}: model_type {found!r}, expected 'clip'")
    parts = []
    for name, defaults in (("vision_config", _VISION), ("text_config", _TEXT)):
        given = raw.get(name) or raw.get(f"{name}_dict") or {}
        if not isinstance(given, dict):
            raise BadInput(f"{path}: key '{name}' is no object")
        part = {key: given.get(key, default) for key, default in defaults.items()}
        for key, value in part.items():
            if key != "hidden_act" and not (type(value) is int and 0 < value <= 1 << 16):
                raise BadInput(f"{path}: key '{name}.{key}' is {value!r}, expected 1 to 65536")
        parts.append(part)
    vision, text = parts
    activations = {vision["hidden_act"], text["hidden_act"]}
    if not activations <= {"quick_gelu"} and not activations <= {"gelu"}:
        raise BadInput(
            f"{path}: activations {sorted(map(str, activations))}, expected quick_gelu or gelu"
        )
    width = raw.get("projection_dim", 512)
    if type(width) is not int or not 0 < width <= 1 << 16:
        raise BadInput(f"{path}: key 'projection_dim' is {width!r}, expected 1 to 65536")
    for part, name in ((vision, "vision_config"), (text, "text_config")):
        if part["hidden_size"] % part["num_attention_heads"]:
            raise BadInput(f"{path}: {name}: its heads do not divide {part['hidden_size']}")
    return {
        "embed_dim": width,
        "quick_gelu": activations == {"quick_gelu"},
        "vision_cfg": {
            "image_size": vision["image_size"],
            "layers": vision["num_hidden_layers"],
            "width": vision["hidden_size"],
            "head_width": vision["hidden_size"] // vision["num_attention_heads"],
            "patch_size": vision["patch_size"],
            "mlp_ratio": vision["intermediate_size"] / vision["hidden_size"],
        },
        "text_cfg": {
            "context_length": text["max_position_embeddings"],
            "vocab_size": text["vocab_size"],
            "width": text["hidden_size"],
            "heads": text["num_attention_heads"],
            "layers": text["num_hidden_layers"],
            "mlp_ratio": text["intermediate_size"] / text["hidden_size"],
        },
    }


def tensors_of_hf(tensors: Mapping[str, Tensor], path: Path) -> dict[str, Tensor]:
    """A CLIPModel's tensors under open_clip's names: q, k, v in one matrix, projections transposed.

    Raises BadInput naming the file and a tensor that a CLIPModel has not, or lacks.
    """
    made: dict[str, Tensor] = {}
    split: dict[str, dict[str, Tensor]] = {}
    for name, tensor in tensors.items():
        if name.endswith("position_ids"):
            continue
        if name in _NAMES:
            made[_NAMES[name]] = tensor
        elif name in _TRANSPOSED and tensor.ndim == 2:
            made[_TRANSPOSED[name]] = tensor.T.contiguous()
        elif (of_block := _in_block(name)) is not None:
            prefix, part, kind = of_block
            if part in _BLOCK:
                made[f"{prefix}.{_BLOCK[part]}.{kind}"] = tensor
            else:
                split.setdefault(f"{prefix}.attn.in_proj_{kind}", {})[part[-6]] = tensor
        else:
            raise BadInput(f"{path}: tensor '{name}' is none of a CLIPModel's")
    for name, parts in split.items():
        if sorted(parts) != ["k", "q", "v"]:
            raise BadInput(f"{path}: of '{name}' there are only {sorted(parts)} of q, k, v")
        made[name] = torch.cat([parts[part] for part in "qkv"])
    return made


def _in_block(name: str) -> tuple[str, str, str] | None:
    """(open_clip's block, part of it, "weight" or "bias") of a tensor of a layer."""
    for theirs, ours in _TOWERS.items():
        number, _, rest = name.removeprefix(theirs).partition(".")
        part, _, kind = rest.rpartition(".")
        known = part in _BLOCK or part in {f"self_attn.{x}_proj" for x in "qkv"}
        if name.startswith(theirs) and number.isdecimal() and known and kind in ("weight", "bias"):
            return f"{ours}{number}", part, kind
    return None
