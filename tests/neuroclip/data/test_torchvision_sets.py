"""Published data sets of images, from tiny files in the real formats."""

import pickle

import numpy as np
import pytest

pytest.importorskip("sklearn")
torchvision = pytest.importorskip("torchvision")
scipy_io = pytest.importorskip("scipy.io")
from PIL import Image

from deploy.errors import BadInput
from neuroclip.data.images.class_names import class_names
from neuroclip.data.images.images import open_images
from neuroclip.data.images.torchvision_sets import IMAGE_SETS
from neuroclip.data.split import to_draw

SIZE = 8


def value(label):
    """The brightness by which an image tells its class."""
    return 2 * label + 20


def picture(path, label, size=(20, 14)):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, (value(label),) * 3).save(path)


def batch(path, labels, key):
    images = np.repeat(np.array([value(n) for n in labels], np.uint8)[:, None], 3072, axis=1)
    # The first channel is brighter: channels come one after the other.
    images[:, :1024] += 5
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(pickle.dumps({b"data": images, key: list(labels)}, 2))


def write_cifar10(root, _):
    for i in range(1, 6):
        batch(root / "cifar-10-batches-py" / f"data_batch_{i}", [*range(10)] * 2, b"labels")
    batch(root / "cifar-10-batches-py" / "test_batch", range(10), b"labels")
    return 100, 10


def write_cifar100(root, _):
    batch(root / "cifar-100-python" / "train", [*range(100)] * 2, b"fine_labels")
    batch(root / "cifar-100-python" / "test", range(100), b"fine_labels")
    return 200, 100


def write_flowers102(root, monkeypatch):
    folder, labels = root / "flowers-102", [label for label in range(102) for _ in range(3)]
    for i, label in enumerate(labels, start=1):
        picture(folder / "jpg" / f"image_{i:05d}.jpg", label)
    scipy_io.savemat(folder / "imagelabels.mat", {"labels": np.array([labels]) + 1})
    ids = np.arange(1, len(labels) + 1)
    parts = {name: [ids[k::3]] for k, name in enumerate(("trnid", "valid", "tstid"))}
    scipy_io.savemat(folder / "setid.mat", parts)
    # Torchvision knows the hashes of the real files.
    monkeypatch.setattr(torchvision.datasets.flowers102, "check_integrity", lambda *_: True)
    return 204, 102


def write_pets(root, _):
    folder, lines = root / "oxford-iiit-pet", {"trainval": [], "test": []}
    for label, name in enumerate(class_names()["oxford-pets"]):
        breed = name.replace(" ", "_")
        for i in range(4):
            lines["test" if i == 3 else "trainval"].append(f"{breed}_{i} {label + 1} 1 1")
            picture(folder / "images" / f"{breed}_{i}.jpg", label)
    for part, written in lines.items():
        (folder / "annotations").mkdir(exist_ok=True)
        (folder / "annotations" / f"{part}.txt").write_text("\n".join(written) + "\n")
    return 111, 37


def write_stl10(root, monkeypatch):
    folder = root / "stl10_binary"
    folder.mkdir()
    for part, times in (("train", 3), ("test", 1)):
        labels = np.array([*range(10)] * times, np.uint8)
        (labels + 1).tofile(folder / f"{part}_y.bin")
        # Columns before rows: the lower half of every image is brighter.
        images = np.repeat(value(labels).astype(np.uint8), 3 * 96 * 96).reshape(-1, 3, 96, 96)
        images[..., 48:] += 5
        images.tofile(folder / f"{part}_X.bin")
    monkeypatch.setattr(torchvision.datasets.stl10, "check_integrity", lambda *_: True)
    return 30, 10


def write_caltech101(root, _):
    folder = root / "caltech101" / "101_ObjectCategories"
    for label, name in enumerate(class_names()["caltech101"]):
        for i in range(1, 5):
            picture(folder / name.replace(" ", "_") / f"image_{i:04d}.jpg", label)
    picture(folder / "BACKGROUND_Google" / "image_0001.jpg", 0)
    return 323, 81


WRITERS = {
    "cifar10": write_cifar10, "cifar100": write_cifar100, "flowers102": write_flowers102,
    "oxford-pets": write_pets, "stl10": write_stl10, "caltech101": write_caltech101,
}  # fmt: skip


def test_every_set_is_tested_and_named():
    assert set(WRITERS) == set(IMAGE_SETS) == set(class_names())


@pytest.mark.parametrize("name", WRITERS)
def test_a_set_is_read_in_its_own_format(tmp_path, monkeypatch, name):
    rest, test = WRITERS[name](tmp_path, monkeypatch)
    found = open_images(name, SIZE, 3, root=tmp_path)
    assert found.class_names == class_names()[name]
    assert (len(found.train) + len(found.validation), len(found.test)) == (rest, test)
    assert set(found.labels[found.train]) == set(range(len(found.class_names)))
    brightness = found.images[:, 2, 0, 0].astype(int)
    assert (np.abs(brightness - value(found.labels)) <= 1).all()
    if name.startswith("cifar"):
        assert (found.images[:, 0] == found.images[:, 1] + 5).all()
    if name == "stl10":
        assert (found.images[:, :, -1] == found.images[:, :, 0] + 5).all()
    only = open_images(name, SIZE, 1, root=tmp_path, part="test", samples=7)
    assert only.images.shape == (7, 1, SIZE, SIZE) and not len(only.train)
    assert np.array_equal(only.labels, found.labels[to_draw(found.test, 7, 0)[:7]])


@pytest.mark.parametrize("name", WRITERS)
def test_a_set_that_is_not_there_is_named(tmp_path, name):
    with pytest.raises(BadInput, match=f"no {name} as torchvision lays it out: no folder"):
        open_images(name, SIZE, 3, root=tmp_path)
    assert not list(tmp_path.iterdir())
    with pytest.raises(BadInput, match=f"{name}: give the folder .* --data-root"):
        open_images(name, SIZE, 3)


def test_damaged_files_of_a_set_are_named(tmp_path, monkeypatch):
    write_cifar10(tmp_path, None)
    folder = tmp_path / "cifar-10-batches-py"
    batch(folder / "data_batch_3", [0, 10], b"labels")
    with pytest.raises(BadInput, match=r"data_batch_3: key 'labels' .* labels from 0 to 9"):
        open_images("cifar10", SIZE, 3, root=tmp_path)
    (folder / "data_batch_3").write_bytes(pickle.dumps({b"data": open, b"labels": []}, 2))
    with pytest.raises(BadInput, match=r"data_batch_3: key 'data': .*open stands where an array"):
        open_images("cifar10", SIZE, 3, root=tmp_path)
    (folder / "data_batch_3").write_bytes(b"no pickle")
    with pytest.raises(BadInput, match=r"data_batch_3: not a pickle of plain values"):
        open_images("cifar10", SIZE, 3, root=tmp_path)
    write_pets(tmp_path, None)
    (tmp_path / "oxford-iiit-pet/images/Boxer_1.jpg").write_bytes(b"no image")
    with pytest.raises(BadInput, match=r"image \d+ of oxford-pets cannot be read: .*Boxer_1"):
        open_images("oxford-pets", SIZE, 3, root=tmp_path)
    assert len(open_images("oxford-pets", SIZE, 3, root=tmp_path, skip_bad=True).skipped) == 1
    write_stl10(tmp_path, monkeypatch)
    (tmp_path / "stl10_binary/train_X.bin").write_bytes(bytes(1000))
    with pytest.raises(BadInput, match="no stl10 as torchvision lays it out: cannot reshape"):
        open_images("stl10", SIZE, 3, root=tmp_path)
