"""Which samples a network of a person's own learns from, which choose its epoch, and which test it."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from deploy.errors import BadInput
from neuroclip.data.split import stratified_split
from neuroclip.network.samples import Samples

# Shares of all samples that test, and of all others that choose the epoch.
_TEST, _VALIDATION = 0.2, 0.125


@dataclass(frozen=True, eq=False)
class Parts:
    """Sorted int64 indices of samples, disjoint."""

    train: NDArray[np.int64]
    validation: NDArray[np.int64]
    test: NDArray[np.int64]


def parts_of(samples: Samples, seed: int) -> Parts:
    """The parts of labelled samples, each with the classes' proportions: 70, 10 and 20 %.

    The parts for the test and, beside one, for validation are the data set's own where it has them. Any
    other test part is one and the same for every seed, which deals out the rest only. Raises BadInput
    where there are no labels, or too few samples of a class.
    """
    labels = samples.labels
    if labels is None:
        raise BadInput(
            f"{samples.name}: no labels, so nothing can be learned; give an array 'labels' beside "
            "'spikes', or a folder for each class"
        )
    present = np.bincount(labels, minlength=len(samples.class_names))
    if np.count_nonzero(present) < 2:
        raise BadInput(f"{samples.name}: one class only; there is nothing to tell apart")
    test = samples.test
    fewest = 3 if test is None else 2
    short = np.flatnonzero((present > 0) & (present < fewest))
    if len(short):
        raise BadInput(
            f"{samples.name}: class '{samples.class_names[short[0]]}' has {present[short[0]]} samples, at "
            f"least {fewest} are needed: to learn from, to choose by and to test on"
        )
    if test is None:
        count = max(1, round(_TEST * samples.size))
        _, test = stratified_split(labels, (samples.size - count, count), 0)
    rest = np.setdiff1d(np.arange(samples.size), test)
    if samples.validation is None:
        count = max(1, round(_VALIDATION * len(rest)))
        train, validation = (
            rest[part] for part in stratified_split(labels[rest], (len(rest) - count, count), seed)
        )
    else:
        validation = samples.validation
        train = np.setdiff1d(rest, validation)
    missing = np.setdiff1d(labels, labels[train])
    if len(missing):
        raise BadInput(
            f"{samples.name}: no sample of class '{samples.class_names[missing[0]]}' is left to learn "
            "from; give more of it"
        )
    return Parts(train, validation, test)
