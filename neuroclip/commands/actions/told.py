"""What a person is told of samples: left out, skipped, seen by the model, and how they were classified."""

import sys
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from neuroclip.clip.zero_shot import accuracy
from neuroclip.data.images.images import ImageDataset
from neuroclip.data.seen import UNRECORDED, Seen, left_out

# Of skipped images, how many are named.
_NAMED = 20


def tell_seen(seen: Seen, count: int, total: int, part: str) -> None:
    """Say how many of a part's samples a model has seen, which were left out, and where nobody knows."""
    if count:
        print(left_out(count, total, part))
    if not seen.complete:
        print(f"note: {UNRECORDED}", file=sys.stderr)


def tell_images(dataset: ImageDataset, skip_bad: bool) -> None:
    """Say which images of a data set cannot be read, and what of it is not used."""
    for reason in dataset.skipped[:_NAMED]:
        print(f"skipped {reason}", file=sys.stderr)
    if skip_bad:
        print(f"skipped {len(dataset.skipped)} images that cannot be read")
    for note in dataset.notes:
        print(f"note: {note}", file=sys.stderr)


def tell_classified(
    title: str,
    scores: NDArray[np.float32],
    truth: NDArray[np.int64],
    names: Sequence[str],
    what: str,
) -> None:
    """Say the accuracy, or, where samples are of no label's class (-1) or there is one label only, how many
    went to each label.

    scores: [samples, names]; truth: the label of each sample. what: the samples are.
    """
    if (truth >= 0).all() and len(names) > 1:
        print(f"{title}: {accuracy(scores, truth)}")
        return
    counts = np.bincount(scores.argmax(axis=1), minlength=len(names))
    for name, count in zip(names, counts, strict=True):
        print(f"{name}: {count} {what}")
    other = f"{int((truth < 0).sum())} of {len(truth)} {what} are of no label's class"
    print(f"no accuracy: {other if len(names) > 1 else 'there is no other label'}")
