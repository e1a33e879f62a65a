"""Accuracy on classes left out of training entirely, among all classes.

A draw leaves some classes out: neither an image of theirs nor their text is used to align the map. The
strength of the alignment is chosen without them too: of the classes that are left, others are held out in
turn, and the strength with the best harmonic mean of the accuracies on those held out and on the rest is
taken (Xian et al. 2017, arXiv 1707.00600), on the validation images.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from deploy.progress import track
from neuroclip.towers.maps import ALIGN_STRENGTHS, Matrix, Moments, aligned, best_factor, right

# Times that classes are held out to choose a strength.
_INNER = 3


@dataclass(frozen=True)
class Row:
    """One draw: the classes left out; of the test images of those and of the other ones, the share that
    got its own name among all: by the CLIP as it is, and aligned with the other classes at `strength`."""

    left_out: tuple[int, ...]
    strength: float
    before_unseen: float
    before_seen: float
    after_unseen: float
    after_seen: float


def draws(classes: int, leave: int, count: int | None, seed: int) -> list[tuple[int, ...]]:
    """Sets of `leave` classes: all of them, or `count` that the seed draws, in order."""
    every = list(combinations(range(classes), leave))
    if count is None or count >= len(every):
        return every
    chosen = np.random.default_rng(seed).permutation(len(every))[:count]
    return [every[i] for i in np.sort(chosen)]


@dataclass(frozen=True, eq=False)
class Part:
    """Images before the map: features float32 [N, F], labels int64 [N]."""

    features: NDArray[np.float32]
    labels: NDArray[np.int64]


def rows(
    scores: Matrix, cosines: Matrix, learned: Moments, validation: Part, test: Part,
    sets: Sequence[tuple[int, ...]], seed: int,
) -> list[Row]:  # fmt: skip
    """A row for each set of classes.

    scores: [classes, features], the texts through the map as it is; cosines: of the texts [classes,
    classes]. Of the classes in a set neither `learned` nor `validation` is used.
    """
    made, every = [], range(len(scores))
    before = right(scores, test.features, test.labels)
    for left in track(sets, desc="classes left out", unit="set"):
        seen = [c for c in every if c not in left]
        strength = _strength(scores, cosines, learned, validation, seen, len(left), seed)
        after = right(
            _aligned(scores, cosines, learned, strength, seen), test.features, test.labels
        )
        unseen = np.isin(test.labels, left)
        shares = [float(x[of].mean()) for x in (before, after) for of in (unseen, ~unseen)]
        made.append(Row(left, strength, *shares))
    return made


def _aligned(
    scores: Matrix, cosines: Matrix, of: Moments, strength: float, seen: Sequence[int]
) -> Matrix:
    factor = best_factor(scores, cosines, of, seen)
    return aligned(scores, cosines, of, strength, seen, factor)


def _strength(
    scores: Matrix, cosines: Matrix, of: Moments, validation: Part, seen: Sequence[int], leave: int,
    seed: int,
) -> float:  # fmt: skip
    """The strength for these classes, told by them alone: their texts, images and accuracies."""
    if len(seen) - leave < 2:
        raise ValueError(f"{len(seen)} classes are too few to leave {leave} more out")
    texts = np.ix_(seen, seen)
    inner_scores, inner_cosines = scores[seen], cosines[texts]
    inner = Moments(of.squares[seen], of.sums[seen], of.counts[seen])
    here = np.isin(validation.labels, seen)
    features = validation.features[here]
    labels = np.searchsorted(seen, validation.labels[here])
    means = dict.fromkeys(ALIGN_STRENGTHS, 0.0)
    for held in draws(len(seen), leave, _INNER, seed):
        rest = [c for c in range(len(seen)) if c not in held]
        out = np.isin(labels, held)
        for strength in ALIGN_STRENGTHS:
            hit = right(
                _aligned(inner_scores, inner_cosines, inner, strength, rest), features, labels
            )
            unseen, known = float(hit[out].mean()), float(hit[~out].mean())
            means[strength] += 2 * unseen * known / max(unseen + known, 1e-12)
    return max(means, key=lambda strength: means[strength])
