"""Two towers of installed packages made one CLIP, without an image: see `neuroclip.towers.maps`."""

from collections.abc import Callable, Sequence
from dataclasses import asdict

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from deploy.errors import BadInput
from deploy.progress import track
from neuroclip.storage.open_clip_library import open_clip
from neuroclip.storage.weights import fill_module
from neuroclip.towers.assembled import Towers, TowersConfig, build
from neuroclip.towers.bert import BertTower
from neuroclip.towers.maps import joined
from neuroclip.towers.pretrained import CLASSIFIER, image_tensors, text_tensors
from neuroclip.towers.tables import IMAGE_TOWERS, TEXT_TOWERS, found
from neuroclip.towers.word_pieces import read_vocabulary, tokenizer

# Every class name in each of these joins the towers, so that no one sentence is needed later.
TEMPLATES = ("{}", "a {}", "a photo of a {}.", "a photo of the {}.")
_SENTENCES_AT_ONCE = 100


def join(config: TowersConfig, seed: int = 0) -> Towers:
    """A CLIP of two towers joined by the names of the image tower's own classes.

    Raises BadInput: a package is not installed, or holds other files than it should.
    """
    # All are looked for before the first is read.
    (image_file,) = map(found, IMAGE_TOWERS[config.image].files)
    text_file, pieces_file = map(found, TEXT_TOWERS[config.text].files)
    pieces = read_vocabulary(pieces_file, config.sizes.vocabulary)
    tokenize = tokenizer(pieces, config.context)
    module = build(config)
    tensors = image_tensors(image_file, module.visual.trunk.state_dict())
    weights = tensors.pop(f"{CLASSIFIER}.weight")
    del tensors[f"{CLASSIFIER}.bias"]
    fill_module(module.visual.trunk, tensors, image_file)
    fill_module(module.text, text_tensors(text_file), text_file)
    module.eval()
    names = list(open_clip.IMAGENET_CLASSNAMES)
    if len(weights) != len(names):
        raise BadInput(f"{image_file}: has {len(weights)} classes, their list {len(names)} names")
    # A few are there twice (crane: a bird and a machine); each has weights of its own.
    sentences = [template.replace("{}", name) for template in TEMPLATES for name in names]
    read = text_features(module.text, tokenize, sentences).double().numpy()
    made = joined(read.reshape(len(TEMPLATES), len(names), -1), weights.double().numpy(), seed)
    set_map(module, made.map)
    training = {
        "towers": asdict(config),
        "licences": {
            config.image: IMAGE_TOWERS[config.image].licence,
            config.text: TEXT_TOWERS[config.text].licence,
        },
        "templates": list(TEMPLATES),
        "join_strength": made.strength,
        "held_out_classes_found": made.held_out,
        "images_seen": 0,
    }
    return Towers(config, module, pieces, training)


@torch.no_grad()
def text_features(
    tower: BertTower, tokenize: Callable[[Sequence[str]], Tensor], texts: Sequence[str]
) -> Tensor:
    """L2-normalised features float32 [texts, width]."""
    starts = range(0, len(texts), _SENTENCES_AT_ONCE)
    parts = []
    for start in track(starts, desc="sentences", unit="batch", leave=False):
        ids = tokenize(texts[start : start + _SENTENCES_AT_ONCE])
        parts.append(functional.normalize(tower(ids), dim=-1))
    return torch.cat(parts)


@torch.no_grad()
def set_map(module: open_clip.CustomTextCLIP, made: NDArray[np.float64]) -> None:
    """Put a map [text, features] behind the image tower."""
    weight = module.visual.head.proj.weight
    weight.copy_(torch.from_numpy(made).to(weight))


def map_of(module: open_clip.CustomTextCLIP) -> NDArray[np.float64]:
    """The map [text, features] behind the image tower."""
    weight: Tensor = module.visual.head.proj.weight
    return weight.detach().cpu().double().numpy()
