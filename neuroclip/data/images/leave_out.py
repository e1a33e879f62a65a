"""Images of some classes only: what was left out is not there, and cannot be learned from."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from deploy.errors import BadInput
from neuroclip.data.images.images import ImageDataset


def without_classes(dataset: ImageDataset, names: Sequence[str]) -> ImageDataset:
    """The data set without the images and the names of some classes; labels are counted anew.

    Raises BadInput: a name that is no class, or fewer than two classes left.
    """
    for name in names:
        if name not in dataset.class_names:
            raise BadInput(f"--leave-out '{name}': none of {', '.join(dataset.class_names)}")
    left = [name not in names for name in dataset.class_names]
    if sum(left) < 2:
        raise BadInput(f"--leave-out: {sum(left)} classes are left, expected two or more")
    stays = np.array(left)[dataset.labels]
    number, place = np.cumsum(left) - 1, np.cumsum(stays) - 1

    def of(part: NDArray[np.int64]) -> NDArray[np.int64]:
        return np.asarray(place[part[stays[part]]])

    return replace(
        dataset,
        images=dataset.images[stays],
        ids=dataset.ids[stays],
        labels=np.asarray(number[dataset.labels[stays]], np.int64),
        class_names=tuple(n for n, here in zip(dataset.class_names, left, strict=True) if here),
        train=of(dataset.train),
        validation=of(dataset.validation),
        test=of(dataset.test),
    )
