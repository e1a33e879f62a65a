"""Splits fixed by a seed, class by class."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

# Recordings of every class for shots and for validation; few-shot needs few, test gets the rest.
SHOT_POOL = 16
VALIDATION_POOL = 4


def stratified_split(
    labels: NDArray[np.int64], sizes: Sequence[int], seed: int
) -> list[NDArray[np.int64]]:
    """Cut all items into parts of the given sizes, each with the classes' overall proportions.

    labels: int64 [items]; sizes: summing to the number of items. Returns sorted int64 indices per
    part. Each class is shuffled and dealt out evenly over a line from 0 to 1, and the line is cut
    at the sizes, so that a part holds of each class its share, rounded up or down.
    """
    if sum(sizes) != len(labels):
        raise ValueError(f"sizes {list(sizes)} do not sum to {len(labels)} items")
    random = np.random.default_rng(seed)
    place = np.empty(len(labels))
    for label in np.unique(labels):
        members = random.permutation(np.flatnonzero(labels == label))
        place[members] = (np.arange(len(members)) + random.random()) / len(members)
    order = np.argsort(place, kind="stable")
    return [np.sort(part) for part in np.split(order, np.cumsum(sizes)[:-1])]


def redealt(
    parts: Sequence[NDArray[np.int64]], labels: NDArray[np.int64], seed: int
) -> list[NDArray[np.int64]]:
    """Train, validation and test as seed 0 dealt them, the first two dealt anew by another seed.

    The test part of a data set is one and the same for every seed: what was trained or chosen under one
    of them may be tested under any. parts: sorted int64 indices; labels: int64 of all items.
    """
    train, validation, test = parts
    if seed == 0:
        return [train, validation, test]
    pool = np.sort(np.concatenate([train, validation]))
    sizes = len(train), len(validation)
    return [*(pool[part] for part in stratified_split(labels[pool], sizes, seed)), test]


def to_draw(indices: NDArray[np.int64], count: int | None, seed: int) -> NDArray[np.int64]:
    """The indices in the order in which to take `count` of them: random, unless all are taken.

    The first ones would be of one class where a data set is sorted by class.
    """
    if count is None or count >= len(indices):
        return indices
    return np.random.default_rng(seed).permutation(indices)


def per_class_split(
    labels: NDArray[np.int64], counts: Sequence[int], seed: int
) -> list[NDArray[np.int64]]:
    """Parts of exactly `counts[k]` items of every class, and a last part with all that is left.

    labels: int64 [items]. Returns sorted int64 indices per part.
    """
    random = np.random.default_rng(seed)
    cuts = np.cumsum(counts)
    parts: list[list[NDArray[np.int64]]] = [[] for _ in range(len(counts) + 1)]
    for label in np.unique(labels):
        members = random.permutation(np.flatnonzero(labels == label))
        for part, piece in zip(parts, np.split(members, cuts), strict=True):
            part.append(piece)
    return [np.sort(np.concatenate(part)) for part in parts]


def counted(name: str, parts: str, labels: NDArray[np.int64], class_names: Sequence[str]) -> str:
    """What a data set holds: its parts, and its classes with how many items each has, at most 20 of them.

    parts: in words. labels: int64 of all items.
    """
    counts = np.bincount(labels, minlength=len(class_names)).tolist()
    shown = [f"{n} {count}" for n, count in [*zip(class_names, counts, strict=True)][:20]]
    more = [f"and {len(counts) - 20} more"] if len(counts) > 20 else []
    return f"{name}: {parts}; {len(counts)} classes: {', '.join([*shown, *more])}"


def split_parts(
    labels: NDArray[np.int64],
    is_test: NDArray[np.bool_],
    seed: int,
    is_validation: NDArray[np.bool_] | None = None,
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Train, validation and test, sorted int64 indices; `folder_dataset` of the events says how."""
    own = official(is_test)
    if is_validation is not None and is_validation.any():
        rest = np.flatnonzero(~is_test & ~is_validation)
        if own and len(rest):
            return rest, np.flatnonzero(is_validation), np.flatnonzero(is_test)
        # Without a test part, or one to train on, theirs is for test.
        return split_parts(labels, is_test | is_validation, seed)
    pool = np.flatnonzero(~is_test) if own else np.arange(len(labels))
    smallest = int(np.bincount(labels[pool])[np.unique(labels[pool])].min())
    size = min(SHOT_POOL + VALIDATION_POOL, smallest // 2)
    share = size * VALIDATION_POOL // (SHOT_POOL + VALIDATION_POOL)
    # Nothing can be trained without any for validation, nor without any to train on.
    validation_size = min(max(share, 1), size if own else size - 1)
    counts = size - validation_size, validation_size
    if own:
        dealt = per_class_split(labels[pool], counts, seed)
        train, validation, rest = (pool[part] for part in dealt)
        return np.sort(np.concatenate([train, rest])), validation, np.flatnonzero(is_test)
    train, validation, test = redealt(per_class_split(labels, counts, 0), labels, seed)
    return train, validation, test


def official(is_test: NDArray[np.bool_]) -> bool:
    """Whether a folder keeps a test part of its own."""
    return bool(is_test.any() and not is_test.all())
