"""Choosing how streams become frames, by zero-shot accuracy on the validation part only."""

from collections.abc import Sequence
from dataclasses import replace
from itertools import product

from neuroclip.clip import Clip, encode_text
from neuroclip.data import EventDataset
from neuroclip.features import dataset_features
from neuroclip.frames import RENDERINGS, SLICINGS, FrameOptions
from neuroclip.zero_shot import Accuracy, accuracy, zero_shot_scores


def framings(base: FrameOptions) -> list[FrameOptions]:
    """Every slicing and rendering, thresholds 0 and 1 where one is used; the rest of `base`."""
    return [
        replace(base, slicing=slicing, rendering=rendering, threshold=threshold)
        for slicing, rendering, threshold in product(SLICINGS, RENDERINGS, (0, 1))
        if not (rendering == "intensity" and threshold)
    ]


def compare_framings(
    clip: Clip,
    dataset: EventDataset,
    labels: Sequence[str],
    template: str,
    candidates: Sequence[FrameOptions],
) -> list[tuple[FrameOptions, Accuracy]]:
    """Zero-shot accuracy of every candidate on the validation recordings, the best first."""
    text = encode_text(clip, labels, template)
    wanted = dataset.labels[dataset.validation]
    results = []
    for options in candidates:
        features = dataset_features(clip, dataset, dataset.validation, options)
        results.append((options, accuracy(zero_shot_scores(features, text), wanted)))
    return sorted(results, key=lambda result: -result[1].correct)
