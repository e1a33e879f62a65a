"""A CLIP of two towers as a module of open_clip's, and its folder.

    config.json          names of the two architectures, from the tables, and their few numbers
    model.safetensors    all tensors
    vocabulary.txt       the text tower's word pieces

A folder names no path and no hub: what it can ask for is an architecture in the tables. The module is
open_clip's `CustomTextCLIP`, so that `open_clip.load_checkpoint(build(config), FILE)` reads the weights.
"""

import hashlib
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from deploy.errors import BadInput
from deploy.files import atomic_path, read_json, write_json
from neuroclip.storage.checkpoint_files import CONFIG_FILE, described, typed
from neuroclip.storage.open_clip_library import open_clip
from neuroclip.storage.weights import (
    check_tensors,
    fill_module,
    outlined,
    read_weights,
    save_weights,
)
from neuroclip.towers.bert import BertSizes, BertTower
from neuroclip.towers.tables import IMAGE_TOWERS, TEXT_TOWERS
from neuroclip.towers.word_pieces import read_vocabulary

FORMAT, VERSION = "neuroclip-towers", 1
WEIGHTS_FILE, VOCABULARY_FILE = "model.safetensors", "vocabulary.txt"

# Of the architectures by name: sizes of the text tower. The image towers are timm's own.
_TEXT_SIZES = {"minilm-l6": BertSizes()}
# timm's images towers of the table want pixels as (x − 0.5) / 0.5.
MEAN = STD = (0.5, 0.5, 0.5)
# A text tower of open_clip's own kind, which ours takes the place of.
_SMALLEST = {"context_length": 8, "vocab_size": 8, "width": 8, "heads": 1, "layers": 1}
_MAX_SIDE, _LEAST_SIDE = 512, 32


@dataclass(frozen=True)
class TowersConfig:
    """image, text: names in the tables. image_size: pixels a side. context: tokens of a text at most."""

    image: str = "tf_efficientnet_lite0"
    text: str = "minilm-l6"
    image_size: int = 128
    context: int = 128

    def __post_init__(self) -> None:
        for what, name, table in (
            ("image", self.image, IMAGE_TOWERS),
            ("text", self.text, TEXT_TOWERS),
        ):
            if name not in table:
                raise BadInput(f"{what} tower '{name}': none of {', '.join(table)}")
        if not _LEAST_SIDE <= self.image_size <= _MAX_SIDE:
            raise BadInput(
                f"image_size {self.image_size}: expected {_LEAST_SIDE} to {_MAX_SIDE} pixels"
            )
        if not 3 <= self.context <= self.sizes.positions:
            raise BadInput(f"context {self.context}: expected 3 to {self.sizes.positions} tokens")

    @property
    def sizes(self) -> BertSizes:
        """Of the text tower."""
        return _TEXT_SIZES[self.text]


@dataclass(frozen=True, eq=False)
class Towers:
    """A CLIP of two towers. pieces: of its vocabulary. training: how it was made, for the reader."""

    config: TowersConfig
    module: open_clip.CustomTextCLIP
    pieces: list[str]
    training: dict[str, Any]


def build(config: TowersConfig) -> open_clip.CustomTextCLIP:
    """The module with random weights: image features through a linear map into the text's space.

    The text tower has no map behind it: texts keep the features that they were trained to have.
    """
    module = open_clip.CustomTextCLIP(
        embed_dim=config.sizes.width,
        vision_cfg=open_clip.CLIPVisionCfg(
            timm_model_name=config.image,
            timm_model_pretrained=False,
            timm_proj="linear",
            image_size=config.image_size,
        ),
        text_cfg=open_clip.CLIPTextCfg(**_SMALLEST),
    )
    module.text = BertTower(config.sizes, config.context)
    module.context_length, module.vocab_size = config.context, config.sizes.vocabulary
    return module


def pieces_digest(pieces: list[str]) -> str:
    """SHA-256 of a vocabulary, as hexadecimal text."""
    return hashlib.sha256("\n".join(pieces).encode()).hexdigest()


def is_towers(folder: Path) -> bool:
    """Whether a folder's configuration says that it holds a CLIP of two towers."""
    path = folder / CONFIG_FILE
    raw = read_json(path) if path.is_file() else None
    return isinstance(raw, dict) and raw.get("format") == FORMAT


def save_towers(folder: Path, towers: Towers) -> None:
    """Write a folder; the configuration comes last, so that a folder with it is whole."""
    save_weights(folder / WEIGHTS_FILE, towers.module)
    with atomic_path(folder / VOCABULARY_FILE) as temporary:
        temporary.write_bytes(("\n".join(towers.pieces) + "\n").encode())
    content = {"format": FORMAT, "version": VERSION, "towers": asdict(towers.config)}
    write_json(folder / CONFIG_FILE, content | {"training": towers.training})


def load_towers(folder: Path) -> Towers:
    """Read a folder. Raises BadInput naming the file: missing, of another version or architecture,
    damaged, or not finite.
    """
    path = folder / CONFIG_FILE
    raw = read_json(path)
    if not isinstance(raw, dict) or raw.get("format") != FORMAT or raw.get("version") != VERSION:
        raise BadInput(f"{path}: not a {FORMAT} configuration of version {VERSION}")
    try:
        config = typed("towers", raw, TowersConfig)
        (training,) = described(raw, "training")
    except BadInput as error:
        raise BadInput(f"{path}: {error}") from error
    pieces = read_vocabulary(folder / VOCABULARY_FILE, config.sizes.vocabulary)
    tensors = read_weights(folder / WEIGHTS_FILE)
    with outlined():
        outline = build(config)
    check_tensors(outline, tensors, folder / WEIGHTS_FILE)
    module = build(config)
    fill_module(module, tensors, folder / WEIGHTS_FILE)
    return Towers(config, module.eval(), pieces, training)
