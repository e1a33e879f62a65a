"""The linear map between an image tower and a text tower, in closed form.

Joined without an image: a classifier's weights stand for images of its classes. For every sentence t of
a class with weights w, ‖Mᵀt − w‖² summed, + λ‖M‖², is least for M = (TᵀT + λ)⁻¹TᵀW; so images score a text
by (Mf)·t. Its strength λ is chosen on classes that were held out.

Aligned with images: Σ‖Mf − t‖² over images f of classes with text t, + λ‖M − M₀‖², f of length 1 and M₀
the map before, scaled to fit best: M moves no farther than the images say, so that what was known of
other words is kept as far as λ asks.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import linalg

Matrix = NDArray[np.float64]

JOIN_STRENGTHS = (0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0)
# Times the mean square of a feature, summed over the images.
ALIGN_STRENGTHS = (0.01, 0.1, 1.0, 10.0, 100.0, 1000.0)
_FOLDS = 5


@dataclass(frozen=True, eq=False)
class Joined:
    """map: float64 [text, features]. strength: chosen. held_out: share of the held-out classes whose
    weights are nearest to their own sentence's, among as many as a fold has."""

    map: Matrix
    strength: float
    held_out: float


def joined(sentences: Matrix, weights: Matrix, seed: int = 0) -> Joined:
    """Join a text tower to a classifier.

    sentences: [templates, classes, text], of length 1; weights: [classes, features].
    """
    fold = np.random.default_rng(seed).permutation(len(weights)) % _FOLDS
    shares = {}
    for strength in JOIN_STRENGTHS:
        hits = []
        for number in range(_FOLDS):
            held = fold == number
            made = _ridge(sentences[:, ~held], weights[~held], strength)
            for of_template in sentences[:, held]:
                scores = weights[held] @ (of_template @ made).T
                hits.append(np.mean(scores.argmax(axis=1) == np.arange(held.sum())))
        shares[strength] = float(np.mean(hits))
    best = max(shares, key=lambda strength: shares[strength])
    return Joined(_ridge(sentences, weights, best), best, shares[best])


def _ridge(sentences: Matrix, weights: Matrix, strength: float) -> Matrix:
    rows = sentences.reshape(-1, sentences.shape[-1])
    square = rows.T @ rows / len(sentences) + strength * np.eye(rows.shape[1])
    return np.asarray(np.linalg.solve(square, sentences.mean(axis=0).T @ weights))


@dataclass(frozen=True, eq=False)
class Moments:
    """Of images of length 1, by class, all that alignment needs of them.

    squares: Σ f fᵀ [classes, features, features]; sums: Σ f [classes, features]; counts [classes].
    """

    squares: Matrix
    sums: Matrix
    counts: Matrix


def moments(features: NDArray[np.float32], labels: NDArray[np.int64], classes: int) -> Moments:
    """The moments of features [N, features] with labels 0 … classes - 1."""
    unit = features / np.linalg.norm(features, axis=1, keepdims=True)
    parts = [unit[labels == label] for label in range(classes)]
    return Moments(
        np.stack([(part.T @ part).astype(np.float64) for part in parts]),
        np.stack([part.sum(axis=0, dtype=np.float64) for part in parts]),
        np.array([float(len(part)) for part in parts]),
    )


def aligned(
    before: Matrix,
    goals: Matrix,
    of: Moments,
    strength: float,
    classes: Sequence[int],
    factor: float,
) -> Matrix:
    """Rows of the map [rows, features] aligned with the images of some classes, of no other.

    before: the rows that it starts from. goals: what each is to be of an image of a class [rows, all
    classes]: a text's coordinates for the map itself, its cosines to a text for the scores of that one.
    factor: of `best_factor`.
    """
    seen = list(classes)
    square = of.squares[seen].sum(axis=0)
    start, weight = factor * before, strength * np.trace(square) / len(square)
    square[np.diag_indices(len(square))] += weight
    found = goals[:, seen] @ of.sums[seen] + weight * start
    return np.asarray(linalg.solve(square, found.T, assume_a="pos").T)


def best_factor(scores: Matrix, cosines: Matrix, of: Moments, classes: Sequence[int]) -> float:
    """By what the scores before must be multiplied to be nearest to the texts' cosines.

    scores: [all classes, features], text · map; cosines: of the texts [all classes, all classes].
    """
    seen = list(classes)
    power = np.sum((scores @ of.squares[seen].sum(axis=0)) * scores)
    return float(np.sum(scores * (cosines[:, seen] @ of.sums[seen])) / power) if power > 0 else 1.0


def right(
    scores: Matrix, features: NDArray[np.float32], labels: NDArray[np.int64]
) -> NDArray[np.bool_]:
    """Which of the images [N, features] get their own label; scores: [classes, features]."""
    return np.asarray((features @ scores.astype(np.float32).T).argmax(axis=1) == labels)
