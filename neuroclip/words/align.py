"""A CLIP of two towers aligned with the class sentences of labelled images."""

from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional

from neuroclip.clip.model import encode_text, towers_clip
from neuroclip.data.images.images import ImageDataset
from neuroclip.towers.assembled import Towers
from neuroclip.towers.join import map_of, set_map
from neuroclip.towers.maps import ALIGN_STRENGTHS, aligned, best_factor, moments, right
from neuroclip.words.images import body_features, class_scores

# Factors of the cosines that are tried; CLIP's own limit is 100.
_SCALES = np.arange(5, 101, 5)


@dataclass(frozen=True, eq=False)
class Aligned:
    """towers: with the new map. before, after: accuracy on the validation images."""

    towers: Towers
    before: float
    after: float


def align(
    towers: Towers, dataset: ImageDataset, template: str, name: str, device: torch.device
) -> Aligned:
    """Align the map in place with the training images; the validation images choose how far, if at all.

    The factor of the cosines is the one of least cross-entropy on the validation images.
    """
    clip = towers_clip(towers, name, device)
    text = encode_text(clip, dataset.class_names, template)
    learned, held = (
        body_features(clip, dataset.images[part]) for part in (dataset.train, dataset.validation)
    )
    truth = dataset.labels[dataset.validation]
    before, classes = map_of(towers.module), range(len(text))
    of = moments(learned, dataset.labels[dataset.train], len(text))
    words = text.astype(np.float64)
    scores, cosines = words @ before, words @ words.T
    factor = best_factor(scores, cosines, of, classes)
    found = {None: _share(scores, held, truth)} | {
        strength: _share(aligned(scores, cosines, of, strength, classes, factor), held, truth)
        for strength in ALIGN_STRENGTHS
    }
    best = max(found, key=lambda strength: found[strength])
    if best is not None:
        set_map(towers.module, aligned(before, words.T, of, best, classes, factor))
    logits = torch.from_numpy(class_scores(clip, held, text))
    targets = torch.from_numpy(truth)
    losses = [float(functional.cross_entropy(float(s) * logits, targets)) for s in _SCALES]
    with torch.no_grad():
        towers.module.logit_scale.fill_(float(np.log(_SCALES[int(np.argmin(losses))])))
    training = towers.training | {
        "data": dataset.name,
        "images_seen": len(dataset.train) + len(dataset.validation),
        "template": template,
        "align_strength": best,
        "validation_accuracy": {"before": found[None], "after": found[best]},
    }
    return Aligned(replace(towers, training=training), found[None], found[best])


def _share(
    scores: NDArray[np.float64], features: NDArray[np.float32], labels: NDArray[np.int64]
) -> float:
    return float(right(scores, features, labels).mean())
