"""Zero-shot scores against the paper's own form, and the interval against known values."""

import numpy as np
import pytest

from neuroclip.clip.zero_shot import Accuracy, accuracy, zero_shot_scores
from neuroclip.results.statistics import wilson_interval


def unit(random: np.random.Generator, *shape: int) -> np.ndarray:
    values = random.normal(size=shape).astype(np.float32)
    return values / np.linalg.norm(values, axis=-1, keepdims=True)


def test_scores_equal_concatenation_and_repeated_text() -> None:
    random = np.random.default_rng(0)
    features, text = unit(random, 5, 10, 16), unit(random, 3, 16)
    concatenated = features.reshape(5, 160)
    repeated = np.tile(text, (1, 10))
    repeated /= np.linalg.norm(repeated, axis=1, keepdims=True)
    papers = concatenated @ repeated.T / np.sqrt(10)
    assert np.allclose(zero_shot_scores(features, text), papers, atol=1e-6)


def test_accuracy_and_its_interval() -> None:
    scores = np.array([[1, 0], [0, 1], [1, 0], [1, 0]], np.float32)
    made = accuracy(scores, np.array([0, 1, 1, 0]))
    assert made == Accuracy(3, 4) and made.value == 0.75
    assert made.interval == wilson_interval(3, 4)
    assert str(Accuracy(50, 100)) == "50.0 % [40.4, 59.6] (50 of 100)"


def test_wilson_interval_against_published_values() -> None:
    """Newcombe 1998, Statistics in Medicine 17:857, table I, method 3."""
    published = {(81, 263): (0.2553, 0.3662), (15, 148): (0.0624, 0.1605), (0, 20): (0, 0.1611)}
    for (correct, n), bounds in published.items():
        assert np.allclose(wilson_interval(correct, n), bounds, atol=5e-5)
    assert wilson_interval(20, 20)[1] == 1.0
    for wrong in ((1, 0), (-1, 5), (6, 5)):
        with pytest.raises(ValueError, match="no proportion"):
            wilson_interval(*wrong)
