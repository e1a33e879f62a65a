"""Classes left out of a data set: neither their images nor their names are there."""

import numpy as np
import pytest

from deploy.errors import BadInput
from neuroclip.data.images.images import ImageDataset
from neuroclip.data.images.leave_out import without_classes

NAMES = ("ant", "bee", "cat", "dog", "elk")


def dataset(seed: int) -> ImageDataset:
    """Images that show the number of their class and their own."""
    random = np.random.default_rng(seed)
    labels = random.integers(0, 5, 60)
    images = np.stack([np.full((1, 2, 2), label) for label in labels]).astype(np.uint8)
    images[:, 0, 0, 0] = np.arange(60)
    parts = np.split(random.permutation(60), [30, 45])
    ids = np.arange(100, 160, dtype=np.uint64)
    return ImageDataset("toy", images, labels, NAMES, *map(np.sort, parts), ids)


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("out", [("cat",), ("ant", "elk"), ("bee", "dog", "ant"), ()])
def test_what_is_left_is_as_it_was(seed: int, out: tuple[str, ...]) -> None:
    whole = dataset(seed)
    made = without_classes(whole, out)
    assert made.class_names == tuple(n for n in NAMES if n not in out)
    shown = {NAMES[x] for x in made.images[:, 0, 1, 1].tolist()}
    assert shown == set(made.class_names)
    for part in ("train", "validation", "test"):
        index, before = getattr(made, part), getattr(whole, part)
        kept = [i for i in before if NAMES[whole.labels[i]] not in out]
        assert made.images[index, 0, 0, 0].tolist() == kept
        assert made.ids[index].tolist() == [100 + i for i in kept]
        names = [made.class_names[x] for x in made.labels[index]]
        assert names == [NAMES[whole.labels[i]] for i in kept]
    assert len(made.images) == sum(len(getattr(made, p)) for p in ("train", "validation", "test"))


def test_what_cannot_be_left_out_is_named() -> None:
    with pytest.raises(BadInput, match="--leave-out 'fox': none of ant"):
        without_classes(dataset(0), ("fox",))
    with pytest.raises(BadInput, match="1 classes are left"):
        without_classes(dataset(0), ("ant", "bee", "cat", "dog"))
