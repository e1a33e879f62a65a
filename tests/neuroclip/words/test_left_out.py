"""Classes left out are not learned from, not chosen with, and only then recognised."""

from dataclasses import asdict

import numpy as np
import pytest

pytest.importorskip("torch")
pytest.importorskip("open_clip")

from neuroclip.towers.maps import Moments, moments
from neuroclip.words.left_out import Part, draws, rows

CLASSES, FEATURES, TEXT = 7, 12, 5
LEFT = (1, 4)


def made(seed: int = 0):
    """Texts, a map, and images about the point to which each text is mapped."""
    random = np.random.default_rng(seed)
    text = random.normal(size=(CLASSES, TEXT))
    text /= np.linalg.norm(text, axis=1, keepdims=True)
    scores = text @ random.normal(size=(TEXT, FEATURES))

    def part(count: int) -> Part:
        labels = np.repeat(np.arange(CLASSES), count)
        images = scores[labels] + random.normal(size=(len(labels), FEATURES))
        return Part(images.astype(np.float32), labels)

    return scores, text @ text.T, part(20), part(10), part(30)


def row_of(scores, cosines, learned: Moments, validation: Part, test: Part) -> dict:
    (row,) = rows(scores, cosines, learned, validation, test, [LEFT], 0)
    return asdict(row)


def test_nothing_of_the_classes_left_out_is_used() -> None:
    """Their training and validation images are no numbers: whatever touched one would be none."""
    scores, cosines, train, validation, test = made()
    of = moments(train.features, train.labels, CLASSES)
    expected = row_of(scores, cosines, of, validation, test)
    for array in (of.squares, of.sums, of.counts):
        array[list(LEFT)] = np.nan
    spoiled = validation.features.copy()
    spoiled[np.isin(validation.labels, LEFT)] = np.nan
    assert row_of(scores, cosines, of, Part(spoiled, validation.labels), test) == expected
    of.sums[0, 0] = np.nan
    try:
        touched = row_of(scores, cosines, of, validation, test) != expected
    except ValueError:  # newer SciPy refuses what is no number
        touched = True
    assert touched


def test_not_even_their_texts_choose_the_strength() -> None:
    scores, cosines, train, validation, test = made()
    of = moments(train.features, train.labels, CLASSES)
    expected = row_of(scores, cosines, of, validation, test)
    others, angles = scores.copy(), cosines.copy()
    others[list(LEFT)] *= -3
    angles[list(LEFT)] *= -1
    angles[:, list(LEFT)] *= -1
    assert row_of(others, angles, of, validation, test)["strength"] == expected["strength"]


def test_what_is_reported_is_counted_from_the_test_images() -> None:
    scores, cosines, train, validation, test = made(1)
    of = moments(train.features, train.labels, CLASSES)
    row = row_of(scores, cosines, of, validation, test)
    hit = (test.features @ scores.T).argmax(axis=1) == test.labels
    unseen = np.isin(test.labels, LEFT)
    assert row["before_unseen"] == pytest.approx(hit[unseen].mean())
    assert row["before_seen"] == pytest.approx(hit[~unseen].mean())
    assert row["after_seen"] >= row["before_seen"] and row["after_unseen"] > 0
    wrong = row_of(
        scores, cosines, of, validation, Part(test.features, (test.labels + 1) % CLASSES)
    )
    assert wrong["after_seen"] < row["after_seen"]


def test_draws_are_all_sets_or_those_of_a_seed() -> None:
    assert len(draws(10, 2, None, 0)) == 45 and draws(4, 2, 99, 0)[0] == (0, 1)
    some = draws(10, 2, 5, 3)
    assert len(set(some)) == 5 and some == sorted(some) and some == draws(10, 2, 5, 3)
    assert some != draws(10, 2, 5, 4)
