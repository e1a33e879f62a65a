"""The tensors of pretrained towers, from the packages' files to the names that ours have."""

import re
from collections.abc import Mapping
from pathlib import Path

from torch import Tensor

from deploy.errors import BadInput
from neuroclip.storage.weights import read_weights

# EfficientNet's tensors as lukemelas' efficientnet_pytorch names them, then timm's: in blocks that widen
# first, in those of the first stage, which do not, and around them.
_WIDENING = {
    "_expand_conv": "conv_pw", "_bn0": "bn1", "_depthwise_conv": "conv_dw", "_bn1": "bn2",
    "_project_conv": "conv_pwl", "_bn2": "bn3",
}  # fmt: skip
_PLAIN = {"_depthwise_conv": "conv_dw", "_bn1": "bn1", "_project_conv": "conv_pw", "_bn2": "bn2"}
_AROUND = {"_conv_stem": "conv_stem", "_bn0": "bn1", "_conv_head": "conv_head", "_bn1": "bn2"}
CLASSIFIER = "classifier"
"""Prefix of the layer behind the features: weight float32 [classes, features], bias [classes]."""
# What the text tower does not use: a head of pre-training, and numbers 0, 1, 2, ...
_UNUSED = ("pooler.", "embeddings.position_ids")


def image_tensors(path: Path, trunk: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The tensors of an EfficientNet's file by timm's names, with those of `CLASSIFIER`.

    trunk: timm's tensors, whose names tell how many blocks a stage has. Raises BadInput naming the file
    and a tensor that has no place.
    """
    # Blocks are counted through in the file, and by stage in timm.
    starts = {m[0] for name in trunk if (m := re.match(r"blocks\.\d+\.\d+\.", name))}
    blocks = sorted(starts, key=lambda start: [int(n) for n in start.split(".")[1:3]])
    found = {}
    for name, tensor in read_weights(path).items():
        head, _, rest = name.partition(".")
        if head == "_fc":
            found[f"{CLASSIFIER}.{rest}"] = tensor
            continue
        prefix, names = "", _AROUND
        if head == "_blocks":
            number, _, rest = rest.partition(".")
            prefix = blocks[int(number)] if number.isdecimal() and int(number) < len(blocks) else ""
            names = _WIDENING if f"{prefix}conv_pwl.weight" in trunk else _PLAIN
            head, _, rest = rest.partition(".")
        if head not in names or (name.startswith("_blocks") and not prefix):
            raise BadInput(f"{path}: unknown tensor '{name}': weights of another model")
        found[f"{prefix}{names[head]}.{rest}"] = tensor
    return found


def text_tensors(path: Path) -> dict[str, Tensor]:
    """The tensors of a BERT's file by the names in `BertTower`."""
    held = read_weights(path)
    return {f"transformer.{n}": x for n, x in held.items() if not n.startswith(_UNUSED)}
