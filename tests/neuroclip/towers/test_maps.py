"""The maps in closed form against a solver that sees every row, and what they may not see."""

import numpy as np
import pytest

pytest.importorskip("scipy")

from neuroclip.towers.maps import aligned, best_factor, joined, moments, right


def unit(x: np.ndarray) -> np.ndarray:
    return x / np.linalg.norm(x, axis=-1, keepdims=True)


@pytest.mark.parametrize("seed", range(3))
def test_joined_is_the_least_of_its_sum(seed: int) -> None:
    random = np.random.default_rng(seed)
    weights, sentences = random.normal(size=(40, 9)), unit(random.normal(size=(2, 40, 6)))
    made = joined(sentences, weights, seed)
    # The same as rows of one system: each sentence counts 1 / templates, and √λ·I aims at zero.
    rows = np.concatenate([*sentences, np.sqrt(2 * made.strength) * np.eye(6)])
    goals = np.concatenate([weights, weights, np.zeros((6, 9))])
    assert np.allclose(made.map, np.linalg.lstsq(rows, goals, rcond=None)[0])


def test_a_map_that_there_is_is_found() -> None:
    """Classes that were held out are recognised where weights do follow from words."""
    random = np.random.default_rng(0)
    sentences = unit(random.normal(size=(1, 200, 8)))
    assert joined(sentences, sentences[0] @ random.normal(size=(8, 30))).held_out > 0.95
    assert joined(sentences, random.normal(size=(200, 30))).held_out < 0.2


@pytest.mark.parametrize("strength", [0.01, 1.0, 100.0])
@pytest.mark.parametrize("classes", [[0, 1, 2, 3], [0, 3]])
def test_aligned_is_the_least_of_its_sum(strength: float, classes: list[int]) -> None:
    random = np.random.default_rng(0)
    features = random.normal(size=(60, 7)).astype(np.float32)
    labels = random.integers(0, 4, 60)
    before, text = random.normal(size=(5, 7)), unit(random.normal(size=(4, 5)))
    of = moments(features, labels, 4)
    factor = best_factor(text @ before, text @ text.T, of, classes)
    made = aligned(before, text.T, of, strength, classes, factor)
    here = np.isin(labels, classes)
    images = unit(features[here].astype(np.float64))
    weight = strength * np.sum(images**2) / 7
    rows = np.concatenate([images, np.sqrt(weight) * np.eye(7)])
    goals = np.concatenate([text[labels[here]], np.sqrt(weight) * factor * before.T])
    assert np.allclose(made, np.linalg.lstsq(rows, goals, rcond=None)[0].T, atol=1e-5)
    # A text's scores follow by themselves: nothing else of the map is needed for them.
    scores = aligned(text @ before, text @ text.T, of, strength, classes, factor)
    assert np.allclose(scores, text @ made)
    assert right(scores, features, labels).shape == (60,)
