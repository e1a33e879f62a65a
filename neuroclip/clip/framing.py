"""How streams become frames for the bundled CLIP, chosen on validation recordings only."""

from collections.abc import Sequence
from dataclasses import replace
from itertools import product

from neuroclip.clip.classify import classify_events
from neuroclip.clip.model import Clip
from neuroclip.clip.zero_shot import Accuracy, accuracy
from neuroclip.data.events.catalogue import EventDataset
from neuroclip.data.events.frames import RENDERINGS, SLICINGS, FrameOptions

# The best of `framings` by `compare_framings` with the bundled CLIP, before any test recording was
# looked at: digits 184 of 297 (the paper's own framing: 171), N-MNIST 26 of 40 (the paper's: 18).
_CHOSEN = {
    "digits": FrameOptions(slicing="time", rendering="polarity", threshold=1),
    "nmnist": FrameOptions(slicing="time", rendering="intensity"),
    # Not chosen but given: the paper's threshold, and the eight steps that the files' time counts.
    "cifar10dvs": FrameOptions(threshold=1),
    "es-imagenet": FrameOptions(steps=8, slicing="time"),
}


def frames_for(dataset_name: str) -> FrameOptions:
    """The framing chosen for a data set with the bundled CLIP; the paper's for any other."""
    return _CHOSEN.get(dataset_name, FrameOptions())


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
    wanted = dataset.labels[dataset.validation]
    results = []
    for options in candidates:
        scores = classify_events(clip, dataset, dataset.validation, options, labels, template)
        results.append((options, accuracy(scores, wanted)))
    return sorted(results, key=lambda result: -result[1].correct)
