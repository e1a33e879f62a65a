"""A data set of labelled event recordings, loaded one at a time, with its split."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from deploy.errors import BadInput
from neuroclip.data.events.recording import Recording


@dataclass(frozen=True, eq=False)
class EventDataset:
    """Labelled recordings and their split; a recording is read when it is asked for.

    name: data set, as `neuroclip.text.prompts.template_for` knows it; names: one per recording (a path
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


def without_bad(
    dataset: EventDataset, parts: Sequence[str]
) -> tuple[EventDataset, tuple[str, ...]]:
    """The data set without the recordings of some parts that cannot be read, and why not.

    parts: of "train", "validation", "test"; every recording of them is read once, the split of the
    others stays as it is. Raises BadInput where nothing is left of a part.
    """
    reasons: list[str] = []
    kept: dict[str, Any] = {}
    for part in parts:
        good = []
        for index in tqdm(getattr(dataset, part), desc=f"check {part}", disable=None, leave=False):
            try:
                dataset.load(int(index))
                good.append(int(index))
            except BadInput as error:
                reasons.append(str(error))
        if len(getattr(dataset, part)) and not good:
            raise BadInput(f"{dataset.name}: no recording of '{part}' can be read: {reasons[-1]}")
        kept[part] = np.array(good, dtype=np.int64)
    return replace(dataset, **kept), tuple(reasons)
