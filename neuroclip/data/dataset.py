"""A data set of labelled event recordings, loaded one at a time, with its split."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from deploy.errors import BadInput
from neuroclip.events import Recording


@dataclass(frozen=True, eq=False)
class EventDataset:
    """Labelled recordings and their split; a recording is read when it is asked for.

    name: data set, as `neuroclip.prompts.template_for` knows it; names: one per recording (a path
    or an item's name); labels: int64 [recordings]; class_names: the words of the labels; train,
    validation, test: sorted int64 indices, disjoint; load: index → Recording (raises BadInput
    naming the file).
    """

    name: str
    names: tuple[str, ...]
    labels: NDArray[np.int64]
    class_names: tuple[str, ...]
    train: NDArray[np.int64]
    validation: NDArray[np.int64]
    test: NDArray[np.int64]
    load: Callable[[int], Recording]

    def __len__(self) -> int:
        return len(self.names)


def few_shot(dataset: EventDataset, shots: int, seed: int) -> NDArray[np.int64]:
    """Sorted int64 indices of `shots` training recordings of every class, drawn by `seed`.

    Raises BadInput where a class has fewer training recordings.
    """
    if shots < 1:
        raise BadInput(f"{dataset.name}: {shots} shots; at least 1 is needed")
    random = np.random.default_rng(seed)
    chosen = []
    for label, name in enumerate(dataset.class_names):
        members = dataset.train[dataset.labels[dataset.train] == label]
        if len(members) < shots:
            raise BadInput(
                f"{dataset.name}: class '{name}' has {len(members)} training recordings, "
                f"fewer than {shots} shots"
            )
        chosen.append(random.permutation(members)[:shots])
    return np.sort(np.concatenate(chosen))
