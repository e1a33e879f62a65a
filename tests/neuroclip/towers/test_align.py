"""Two towers aligned with labelled images: what is learned from, what chooses, and what is kept."""

from copy import deepcopy
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")
for package in ("open_clip", "timm", "tokenizers"):
    pytest.importorskip(package)

from neuroclip.clip.model import encode_text, towers_clip
from neuroclip.data.images.images import ImageDataset
from neuroclip.towers.assembled import Towers, load_towers, save_towers
from neuroclip.towers.join import map_of
from neuroclip.words.align import align
from neuroclip.words.images import body_features, class_scores, image_tower

CPU = torch.device("cpu")


@pytest.fixture
def dataset(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ImageDataset:
    """Three classes of a colour with some noise, 16 images each."""
    monkeypatch.setenv("NEUROCLIP_CACHE", str(tmp_path / "cache"))
    random = np.random.default_rng(0)
    labels = np.tile(np.arange(3), 16)
    images = random.integers(0, 20, (48, 3, 16, 16))
    images[np.arange(48), labels] += 200
    index = random.permutation(48)
    parts = (np.sort(index[:24]), np.sort(index[24:36]), np.sort(index[36:]))
    ids = np.arange(48, dtype=np.uint64)
    return ImageDataset(
        "toy", images.astype(np.uint8), labels, ("cat", "dog", "zebra"), *parts, ids
    )


def test_the_map_moves_towards_the_sentences_and_nothing_else_does(
    joined: tuple[Towers, Path], dataset: ImageDataset, tmp_path: Path
) -> None:
    towers = deepcopy(joined[0])
    before = {name: x.clone() for name, x in towers.module.state_dict().items()}
    made = align(towers, dataset, "a photo of a {}.", "toy", CPU)
    # Random towers see and read little; what there is to learn, they learn.
    assert made.after > 1.5 * made.before
    moved = [n for n, x in made.towers.module.state_dict().items() if not torch.equal(x, before[n])]
    assert set(moved) == {"visual.head.proj.weight", "logit_scale"}
    assert made.towers.training["images_seen"] == 36
    save_towers(tmp_path / "kept", made.towers)
    clip = towers_clip(load_towers(tmp_path / "kept"), "kept", CPU)
    text = encode_text(clip, dataset.class_names, "a photo of a {}.")
    scores = class_scores(clip, body_features(clip, dataset.images), text)
    right = scores.argmax(axis=1) == dataset.labels
    assert right[dataset.validation].mean() == made.after
    # Body and map are the tower, of which open_clip knows nothing.
    with torch.no_grad():
        seen = torch.nn.functional.interpolate(
            torch.from_numpy(dataset.images[:4]).float() / 255, (64, 64), mode="bilinear"
        )
        whole = clip.module.encode_image((seen - 0.5) / 0.5, normalize=True).numpy()
    assert np.allclose(scores[:4], whole @ text.T, atol=1e-5)
    assert image_tower(clip).map is not None


def test_no_test_image_is_learned_from(joined: tuple[Towers, Path], dataset: ImageDataset) -> None:
    spoiled = dataset.images.copy()
    spoiled[dataset.test] = 255
    changed = dataset.labels.copy()
    changed[dataset.test] = 0
    other = replace(dataset, images=spoiled, labels=changed)
    maps = [
        map_of(align(deepcopy(joined[0]), each, "{}", "toy", CPU).towers.module)
        for each in (dataset, other)
    ]
    assert np.array_equal(*maps)
