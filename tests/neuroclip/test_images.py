"""Data sets of still images: folders, zip files, gray and colour, and files that cannot be read."""

import zipfile
from io import BytesIO

import numpy as np
import pytest

pytest.importorskip("sklearn")
from PIL import Image

from deploy.errors import BadInput
from neuroclip.data.images import open_images


def image(value, size=(10, 12), mode="RGB"):
    stream = BytesIO()
    Image.new(mode, size, value).save(stream, "png")
    return stream.getvalue()


def layout(parts=("train/", "test/"), each=10):
    """{name: content} of two classes, cats dark and boats bright."""
    return {
        f"{part}{name}/{i}.png": image((value, value, value))
        for part in parts
        for name, value in (("cat", 10), ("sail_boat", 200))
        for i in range(each)
    }


def folder(root, content):
    for name, data in content.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(data)
    return str(root)


@pytest.mark.parametrize("zipped", [False, True])
@pytest.mark.parametrize("parts", [("train/", "test/"), ("train/",), ("",)])
def test_a_folder_and_a_zip_file_are_alike(tmp_path, zipped, parts):
    content = layout(parts)
    if zipped:
        path = str(tmp_path / "data.zip")
        with zipfile.ZipFile(path, "w") as archive:
            for name, data in content.items():
                archive.writestr(name, data)
    else:
        path = folder(tmp_path / "data", content)
    found = open_images(path, 8, 3, seed=1)
    assert found.class_names == ("cat", "sail boat") and found.images.shape[1:] == (3, 8, 8)
    held = [set(part.tolist()) for part in (found.train, found.validation, found.test)]
    assert sum(map(len, held)) == len(set.union(*held)) == len(content)
    assert len(held[2]) == (20 if len(parts) == 2 else 4)
    assert len(held[1]) == round(0.1 * (len(content) - len(held[2])))
    assert (found.images[:, 0, 0, 0] == np.where(found.labels == 0, 10, 200)).all()
    again = open_images(path, 8, 3, seed=1)
    assert np.array_equal(again.validation, found.validation)
    limited = open_images(path, 8, 3, limit=4)
    assert len(limited.labels) == 8 * len(parts)


def test_colour_modes_become_the_models(tmp_path):
    content = layout(("",), 5)
    content["cat/gray.png"] = image(10, mode="L")
    content["cat/alpha.png"] = image((10, 10, 10, 3), mode="RGBA")
    path = folder(tmp_path / "data", content)
    for channels in (1, 3):
        found = open_images(path, 6, channels)
        assert found.images.shape == (12, channels, 6, 6)
        assert set(np.unique(found.images)) == {10, 200}


def test_a_corrupt_image_is_named_or_skipped(tmp_path):
    content = layout(("",), 5)
    content["cat/3.png"] = content["cat/3.png"][:40]
    path = folder(tmp_path / "data", content)
    with pytest.raises(BadInput, match=r"data: image 'cat/3\.png' cannot be read"):
        open_images(path, 8, 3)
    found = open_images(path, 8, 3, skip_bad=True)
    assert len(found.labels) == 9 and len(found.skipped) == 1 and "3.png" in found.skipped[0]


def test_what_is_no_data_set_is_refused(tmp_path):
    empty = tmp_path / "empty"
    empty.mkdir()
    broken = folder(tmp_path / "broken", {"cat/1.png": b"", "dog/1.png": image((1, 1, 1))})
    stray = folder(tmp_path / "stray", layout(("train/",)) | {"test/dog/1.png": image((0, 0, 0))})
    for path, message in (
        (str(tmp_path / "no"), "no folder or zip file"),
        (str(empty), "no images"),
        (stray, "class 'dog' is in its test part only"),
    ):
        with pytest.raises(BadInput, match=message):
            open_images(path, 8, 3)
    with pytest.raises(BadInput, match="class 'cat' has no readable training images"):
        open_images(broken, 8, 3, skip_bad=True)
    with pytest.raises(BadInput, match="--data-root"):
        open_images("cifar10", 8, 3)
    with pytest.raises(BadInput, match="no CIFAR10"):
        open_images("cifar10", 8, 3, root=tmp_path)


def test_the_digits_are_where_a_camera_sees_them():
    found = open_images("digits", 16, 1)
    assert found.images.shape == (1797, 1, 34, 34)
    assert (len(found.train), len(found.validation), len(found.test)) == (1000, 297, 500)
