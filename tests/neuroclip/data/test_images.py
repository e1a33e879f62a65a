"""Data sets of still images: folders, zip files, gray and colour, and files that cannot be read."""

import zipfile
from io import BytesIO

import numpy as np
import pytest

pytest.importorskip("sklearn")
from PIL import Image

from deploy.errors import BadInput
from neuroclip.commands.actions.told import tell_classified
from neuroclip.data.images.images import Shares, open_images
from neuroclip.data.split import to_draw


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
    other = open_images(path, 8, 3, seed=1, shares=Shares(test=0.5, validation=0.25))
    assert len(other.test) == (20 if len(parts) == 2 else len(content) // 2)
    assert len(other.validation) == round(0.25 * (len(content) - len(other.test)))
    limited = open_images(path, 8, 3, limit=4)
    assert len(limited.labels) == 8 * len(parts)


def saved(picture, kind="png", **options):
    stream = BytesIO()
    picture.save(stream, kind, **options)
    return stream.getvalue()


def test_images_of_any_size_and_colour_mode_become_the_models(tmp_path):
    palette = Image.new("P", (9, 9), 1)
    palette.putpalette([0, 0, 0, 10, 10, 10])
    deep = Image.fromarray(np.full((5, 7), 10 * 257, np.uint16))
    assert deep.mode.startswith("I;16")
    content = layout(("",), 5) | {
        "cat/gray.png": image(10, mode="L"),
        "cat/alpha.png": image((10, 10, 10, 3), mode="RGBA"),
        "cat/gray_alpha.png": image((10, 3), mode="LA"),
        "cat/palette.png": saved(palette),
        "cat/transparent.png": saved(palette, transparency=1),
        "cat/sixteen.png": saved(deep),
        "cat/cmyk.jpg": saved(Image.new("CMYK", (16, 16), (245, 245, 245, 0)), "jpeg"),
        "cat/dot.webp": saved(Image.new("RGB", (1, 1), (10, 10, 10)), "webp", lossless=True),
        "cat/wide.bmp": saved(Image.new("RGB", (300, 2), (10, 10, 10)), "bmp"),
        "sail_boat/bits.png": saved(Image.new("1", (8, 8), 1)),
    }
    path = folder(tmp_path / "data", content)
    for channels in (1, 3):
        found = open_images(path, 6, channels)
        assert found.images.shape == (20, channels, 6, 6)
        assert set(np.unique(found.images)) == {10, 200, 255}


def test_sixteen_bits_are_not_clipped(tmp_path):
    ramp = np.linspace(0, 65535, 36).astype(np.uint16).reshape(6, 6)
    content = layout(("",), 5) | {"cat/0.png": saved(Image.fromarray(ramp))}
    found = open_images(folder(tmp_path / "data", content), 6, 1)
    assert np.array_equal(found.images[0, 0], np.rint(ramp / 257))


def bad_images():
    """{name: (content, what is said)}."""
    good = image((10, 10, 10), (64, 64))
    pixels = np.random.default_rng(0).integers(0, 256, (64, 64, 3)).astype(np.uint8)
    noise = saved(Image.fromarray(pixels))
    return {
        "empty": (b"", "none of JPEG, PNG, BMP, WEBP"),
        "cut": (noise[:5000], "cannot be read"),
        "text": (b"<html>not found</html>", "none of JPEG"),
        "flipped": (noise[:4000] + bytes([noise[4000] ^ 255]) + noise[4001:], "cannot be read"),
        "header": (good[:20] + b"\xff" * 8 + good[28:], "cannot be read"),
        "huge": (saved(Image.new("1", (8193, 8193))), "8193 × 8193 pixels exceed 67108864"),
        "other": (saved(Image.new("F", (4, 4)), "tiff"), "none of JPEG"),
    }


@pytest.mark.parametrize("kind", bad_images())
def test_a_bad_image_in_the_middle_is_named_or_skipped(tmp_path, kind):
    content, says = bad_images()[kind]
    path = folder(tmp_path / "data", layout(("",), 5) | {"cat/2.png": content})
    with pytest.raises(BadInput, match=r"data: image 'cat/2\.png' cannot be read: ") as caught:
        open_images(path, 8, 3)
    assert says in str(caught.value) and "\n" not in str(caught.value)
    found = open_images(path, 8, 3, skip_bad=True)
    assert len(found.labels) == len(found.images) == 9
    assert len(found.skipped) == 1 and "cat/2.png" in found.skipped[0]


def test_a_damaged_entry_of_a_zip_file_is_named_or_skipped(tmp_path):
    path = tmp_path / "data.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in layout(("",), 5).items():
            archive.writestr(name, data)
        offset = archive.getinfo("sail_boat/3.png").header_offset
    damaged = bytearray(path.read_bytes())
    damaged[offset + 60] ^= 255
    path.write_bytes(damaged)
    with pytest.raises(BadInput, match=r"image 'sail_boat/3\.png' cannot be read: Bad CRC-32"):
        open_images(str(path), 8, 3)
    assert len(open_images(str(path), 8, 3, skip_bad=True).labels) == 9
    path.write_bytes(damaged[:-30] + b"PK\x05\x06" + b"\xff" * 18)
    with pytest.raises(BadInput, match=r"data\.zip: "):
        open_images(str(path), 8, 3)


def test_what_cannot_be_read_moves_nothing_into_the_test_part(tmp_path):
    """The split depends on names only: training and export, which reads less, never disagree."""
    whole = open_images(folder(tmp_path / "data", layout(("",), 20)), 8, 1)
    unlike = layout(("",), 20)
    unlike = {n: saved(Image.new("L", (8, 8), i)) for i, n in enumerate(unlike)}
    path = folder(tmp_path / "data", unlike)
    whole = open_images(path, 8, 1)
    tests = set(whole.images[whole.test, 0, 0, 0].tolist())
    bad = list(unlike)[min(set(range(40)) - tests)]
    (tmp_path / "data" / bad).write_bytes(b"")
    found = open_images(path, 8, 1, skip_bad=True)
    assert len(found.labels) == 39
    assert set(found.images[found.test, 0, 0, 0].tolist()) == tests


def test_only_what_is_needed_is_decoded(tmp_path):
    path = folder(tmp_path / "data", layout())
    whole = open_images(path, 8, 3)
    for part in ("train", "validation", "test"):
        index = getattr(whole, part)
        for samples in (3, None):
            only = open_images(path, 8, 3, part=part, samples=samples)
            assert np.array_equal(getattr(only, part), np.arange(len(only.labels)))
            taken = to_draw(index, samples, 0)[:samples]
            assert np.array_equal(only.images, whole.images[taken])
            assert np.array_equal(only.labels, whole.labels[taken])
            assert sum(len(getattr(only, p)) for p in ("train", "validation", "test")) == len(
                only.labels
            )
    tests = sorted(layout(("test/",)))
    order = to_draw(whole.test, len(tests) - 1, 0) - whole.test[0]
    for name in [*layout(("train/",)), tests[order[-1]]]:
        (tmp_path / "data" / name).write_bytes(b"")
    assert len(open_images(path, 8, 3, part="test", samples=19).labels) == 19
    with pytest.raises(BadInput, match=f"'{tests[order[-1]]}' cannot be read"):
        open_images(path, 8, 3, part="test")
    # A bad one does not count as one of the samples.
    (tmp_path / "data" / tests[order[0]]).write_bytes(b"")
    few = open_images(path, 8, 3, part="test", samples=5, skip_bad=True)
    assert len(few.labels) == 5 and len(few.skipped) == 1
    with pytest.raises(BadInput, match="its train part has no readable images"):
        open_images(path, 8, 3, part="train", skip_bad=True)
    digits = open_images("digits", 16, 1)
    some = open_images("digits", 16, 1, part="test", samples=20)
    assert np.array_equal(some.images, digits.images[to_draw(digits.test, 20, 0)[:20]])


def test_a_folder_called_val_is_the_test_part_where_there_is_no_other(tmp_path):
    path = folder(tmp_path / "one", layout(("train/", "val/")))
    assert len(open_images(path, 8, 3).test) == 20
    path = folder(tmp_path / "both", layout(("train/", "val/"), 3) | layout(("test/",), 2))
    assert len(open_images(path, 8, 3).test) == 4


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
    with pytest.raises(BadInput, match="no cifar10"):
        open_images("cifar10", 8, 3, root=tmp_path)


def test_the_digits_are_where_a_camera_sees_them():
    found = open_images("digits", 16, 1)
    assert found.images.shape == (1797, 1, 34, 34)
    assert (len(found.train), len(found.validation), len(found.test)) == (1000, 297, 500)


def test_one_label_alone_has_no_accuracy(capsys) -> None:
    tell_classified("cats", np.ones((3, 1), np.float32), np.zeros(3, np.int64), ["cat"], "images")
    assert capsys.readouterr().out == "cat: 3 images\nno accuracy: there is no other label\n"
