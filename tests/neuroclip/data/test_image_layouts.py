"""Every layout in which people keep images is read as it is meant, or refused with what was seen."""

import shutil
import zipfile
from io import BytesIO
from pathlib import Path
from unicodedata import normalize

import numpy as np
import pytest

pytest.importorskip("PIL")
pytest.importorskip("sklearn")
from PIL import Image

from deploy.errors import BadInput
from neuroclip.data.images.images import ImageDataset, open_images

CLASSES = ("cat", "dog")
SYNSETS = ("n01443537", "n02123045")


def picture(label: int, number: int, part: int) -> bytes:
    """Its colours say which class, part and number it is."""
    pixels = np.zeros((4, 4, 3), np.uint8)
    pixels[:] = 50 * label + 20, 60 * part, number
    stream = BytesIO()
    Image.fromarray(pixels).save(stream, "png")
    return stream.getvalue()


def tree(parts: dict[str, int], each: int = 10, classes=CLASSES, path="{part}/{name}/{i}.png"):
    return {
        path.format(part=part, name=name, i=i, label=label): picture(label, i, number)
        for part, number in parts.items()
        for label, name in enumerate(classes)
        for i in range(each)
    }


def flat(part: str, number: int, each: int = 10, path="{part}/{i}.png"):
    """Images side by side: i is of class i % 2."""
    return {path.format(part=part, i=i): picture(i % 2, i, number) for i in range(2 * each)}


def rows(head: str, line: str, each: int = 10, classes=CLASSES) -> bytes:
    lines = [line.format(i=i, name=classes[i % 2]) for i in range(2 * each)]
    return "\n".join([*([head] if head else []), *lines]).encode()


def tiny() -> dict[str, bytes]:
    """Tiny-ImageNet's own tree, its lists and boxes among it."""
    made = tree({"train": 0}, classes=SYNSETS, path="t/{part}/{name}/images/{name}_{i}.png")
    made |= flat("val", 2, path="t/{part}/images/val_{i}.png")
    made |= flat("test", 1, path="t/{part}/images/test_{i}.png")
    made["t/val/val_annotations.txt"] = rows("", "val_{i}.png\t{name}\t0\t32\t44\t62", 10, SYNSETS)
    made["t/words.txt"] = b"n01443537\tgoldfish, Carassius auratus\nn02123045\ttabby, tabby cat\n"
    made["t/wnids.txt"] = b"n01443537\nn02123045\n"
    made |= {f"t/train/{n}/{n}_boxes.txt": b"x\t0\t0\t1\t1\n" for n in SYNSETS}
    return made


def ilsvrc() -> dict[str, bytes]:
    """As Kaggle's archive unpacks; its tables of boxes are beside the folder of all images."""
    top = "ILSVRC/Data/CLS-LOC"
    made = tree({"train": 0}, classes=SYNSETS, path=top + "/{part}/{name}/{name}_{i}.JPEG")
    made |= flat("val", 2, path=top + "/{part}/ILSVRC2012_val_{i}.JPEG")
    made |= flat("test", 1, path=top + "/{part}/ILSVRC2012_test_{i}.JPEG")
    line = "ILSVRC2012_{part}_{{i}},{{name}} 1 2 30 40 {{name}} 5 6 7 8 "
    for part in ("train", "val"):
        made[f"LOC_{part}_solution.csv"] = rows(
            "ImageId,PredictionString", line.format(part=part), 10, SYNSETS
        )
    made["LOC_sample_submission.csv"] = b"ImageId,PredictionString\nILSVRC2012_test_0,1 1 1 1 1\n"
    made["LOC_synset_mapping.txt"] = b"n01443537 goldfish, Carassius\nn02123045 tabby, cat\n"
    made["ILSVRC/Annotations/CLS-LOC/val/ILSVRC2012_val_0.xml"] = b"<annotation/>"
    return made


JUNK = {
    f"{folder}{name}": b"junk"
    for folder in ("", "train/", "train/cat/", "train/.ipynb_checkpoints/")
    for name in ("._0.png", ".DS_Store")
} | {
    "train/cat/.ipynb_checkpoints/0-checkpoint.png": b"junk",
    "__MACOSX/train/cat/._0.png": b"junk",
    "__MACOSX/train/cow/0.png": b"junk",
    "readme.txt": b"hello",
}

TWO, THREE = {"train": 0, "test": 2}, {"train": 0, "val": 1, "test": 2}
# {layout: (its files, images with labels in each part of its own (train, validation, test))}.
READ = {
    "classes": (tree({".": 0}), (20, 0, 0)),
    "train and test": (tree(TWO), (20, 0, 20)),
    "training and testing": (tree({"training": 0, "testing": 2}), (20, 0, 20)),
    "Train and Test": (tree({"Train": 0, "Test": 2}), (20, 0, 20)),
    "validation": (tree({"train": 0, "validation": 2}), (20, 0, 20)),
    "valid too": (tree({"train": 0, "valid": 1, "test": 2}), (20, 20, 20)),
    "training_set": (tree({"training_set": 0, "test_set": 2}), (20, 0, 20)),
    "seg_train": (tree({"seg_train": 0, "seg_test": 2}, path="{part}/{part}/{name}/{i}.png"), (20, 0, 20)),
    "words of parts": (tree({"my-train data": 0, "Val2": 1, "My.Test": 2}), (20, 20, 20)),
    "classes with the words of parts": (
        {n.replace("cat", "bullet_train").replace("dog", "test_tube_2"): c for n, c in tree(TWO).items()},
        (20, 0, 20),
    ),
    "wrapped": (tree(THREE, path="a/b/{part}/{name}/{i}.png"), (20, 20, 20)),
    "classes first": (tree(TWO, path="{name}/{part}/{i}.png"), (20, 0, 20)),
    "twice": (tree({"train": 0}, path="{part}/{part}/{name}/{i}.png") | flat("test", 2), (20, 0, 0)),
    "Tiny-ImageNet": (tiny(), (20, 0, 20)),
    "ILSVRC of Kaggle": (ilsvrc(), (20, 0, 20)),
    "flat val without labels": (tree({"train": 0}) | flat("val", 2), (20, 0, 0)),
    "Kaggle's cats and dogs": (
        tree({"train": 0}, path="{part}/{name}.{i}.png") | flat("test1", 2), (20, 0, 0),
    ),
    "Kaggle's table": (
        flat("train", 0) | flat("test", 2) | {"trainLabels.csv": rows("id,label", "{i},{name}")},
        (20, 0, 0),
    ),
    "a table with semicolons": (
        flat("train", 0) | {"train_labels.csv": rows("file_name;label", "train\\{i}.png;{name}")},
        (20, 0, 0),
    ),
    "a table of files": (
        flat("images", 0) | {"labels.csv": rows("Filename,note,Class", "images/{i}.png,x,{name}")},
        (20, 0, 0),
    ),
    "junk": (tree(TWO) | JUNK, (20, 0, 20)),
}  # fmt: skip


def written(root: Path, files: dict[str, bytes]) -> str:
    for name, content in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(content)
    return str(root)


def zipped(path: Path, files: dict[str, bytes], slash: str = "/") -> str:
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in files.items():
            archive.writestr(name.replace("./", "").replace("/", slash), content)
    return str(path)


def check(found: ImageDataset, sizes: tuple[int, int, int]) -> None:
    assert len(found.class_names) == 2 and len(found.labels) == sum(sizes)
    assert np.array_equal(found.labels, (found.images[:, 0, 0, 0] - 20) // 50)
    own = found.images[:, 1, 0, 0] // 60
    for number, part in enumerate((found.train, found.validation, found.test)):
        if sizes[number]:
            assert (own[part] == number).all() and len(part), "no part takes images of another"
        else:
            assert set(own[part].tolist()) <= {0}, "what is missing is cut off from training"
    assert not set(found.train) & set(found.test)
    assert "2 classes" in found.counts and f"{len(found.test)} test" in found.counts


@pytest.mark.parametrize("layout", READ)
def test_a_layout_is_read_as_it_is_meant(tmp_path: Path, layout: str) -> None:
    files, sizes = READ[layout]
    folder = open_images(written(tmp_path / "data", files), 4, 3)
    check(folder, sizes)
    for name, slash in (("a.zip", "/"), ("windows.zip", "\\")):
        archive = open_images(zipped(tmp_path / name, files, slash), 4, 3)
        check(archive, sizes)
        assert archive.class_names == folder.class_names
        assert np.array_equal(archive.ids, folder.ids)


def test_tiny_imagenet_has_words_and_says_what_is_left_out(tmp_path: Path) -> None:
    found = open_images(written(tmp_path, tiny()), 4, 3)
    assert found.class_names == ("goldfish", "tabby")
    assert any("test part of 20 images has no labels" in note for note in found.notes)
    assert any("val part is the test part" in note for note in found.notes)
    alike = {"t/words.txt": b"n01443537\tcrane, bird\nn02123045\tcrane, machine\n"}
    twins = written(tmp_path / "twins", tiny() | alike)
    assert open_images(twins, 4, 3).class_names == ("crane, bird", "crane, machine")


@pytest.mark.parametrize(
    ("files", "says"),
    [
        (tree(TWO) | flat("extra", 0), "other images"),
        (tree(TWO) | {"a.png": picture(0, 0, 0)}, "other images"),
        (tree(TWO) | {"train/a.png": picture(0, 0, 0)}, "not all in a folder of their class"),
        (tree(TWO) | {"train/cat/old/a.png": picture(0, 0, 0)}, "'train|cat/old/a.png'"),
        (tree({"train": 0}, path="{part}/pets/{name}/{i}.png"), "not all in a folder"),
        (tree({"train": 0, "Training": 0}), "is there twice"),
        (tree({"train": 0, "val": 1, "valid": 1}), "is there twice"),
        (flat("train", 0) | flat("test", 2), "no folders of classes"),
        (flat("pictures", 0), "no folders of classes"),
        (flat("train_data", 0) | flat("test_data", 2), "no folders of classes"),
        (flat("train", 0) | {"labels.csv": rows("id,label", "{i},{name}", 9)}, "names 18 of them"),
        (
            flat("train", 0) | {"labels.csv": rows("id,label", "{i},{name}") + b"\n0,dog"},
            "'labels.csv' names two classes for '0'",
        ),
        (
            flat("train", 0)
            | {
                "labels.csv": rows("id,label", "{i},{name}"),
                "train.csv": rows("id,label", "{i},dog"),
            },
            "its tables name two classes for '0.png'",
        ),
        (tree(TWO, classes=("Images", "masks")), "would be called 'images'"),
        (tree({"train": 0}, classes=("red_fox", "red fox")), "two classes are called 'red fox'"),
        (tree({"train": 0}, classes=("cat",)), "'cat' is its only class"),
        (tree(TWO) | {"test/cow/0.png": picture(0, 0, 2)}, "class 'cow' is in its test part only"),
        ({"a.txt": b"x"}, "no images"),
        ({"__MACOSX/cat/0.png": b"x", ".hidden/cat/1.png": b"x"}, "no images"),
    ],
)
def test_what_no_rule_tells_is_refused_with_what_was_seen(tmp_path: Path, files, says) -> None:
    for path in (written(tmp_path / "data", files), zipped(tmp_path / "a.zip", files)):
        with pytest.raises(BadInput, match=says) as refused:
            open_images(path, 4, 3)
        assert path in str(refused.value) and "\n" not in str(refused.value)
        if not any(word in says for word in ("no images", "cow", "fox", "only class")):
            assert "Seen: " in str(refused.value)


def test_accents_of_a_mac_are_those_of_everybody(tmp_path: Path) -> None:
    """macOS writes them as characters of their own, in folders, archives and what a table repeats."""
    names = ("Äpfel", "Öl für é")
    files = tree({"train": 0}, classes=[normalize("NFD", name) for name in names])
    files |= tree({"test": 2}, classes=names)
    table = {normalize("NFD", f"bilder/ü{i}.png"): picture(i % 2, i, 0) for i in range(20)}
    table["labels.csv"] = rows("file,label", "ü{i}.png,{name}", classes=names)
    for content, sizes in ((files, (20, 0, 20)), (table, (20, 0, 0))):
        for path in (written(tmp_path / "a", content), zipped(tmp_path / "a.zip", content)):
            found = open_images(path, 4, 3)
            assert found.class_names == names
            check(found, sizes)
        shutil.rmtree(tmp_path / "a")
    twice = files | tree({"train": 0}, classes=names)
    with pytest.raises(BadInput, match=r"'0.png' is there twice, in two spellings"):
        open_images(zipped(tmp_path / "twice.zip", twice), 4, 3)


def test_images_that_are_not_read_are_counted(tmp_path: Path) -> None:
    files = tree(TWO) | {"train/cat/a.GIF": b"x", "test/dog/b.tiff": b"x"}
    found = open_images(written(tmp_path / "a", files), 4, 3)
    assert any("2 images in other formats ('a.GIF') are not read" in note for note in found.notes)
    with pytest.raises(BadInput, match=r"no images .*; 1 images in other formats \('a.ppm'\)"):
        open_images(written(tmp_path / "b", {"cat/a.ppm": b"x"}), 4, 3)


def test_lists_of_parts_that_are_not_read_are_named(tmp_path: Path) -> None:
    files = tree({"images": 0}) | {"meta/train.txt": b"cat/1", "meta/classes.txt": b"cat"}
    (note,) = open_images(written(tmp_path / "a", files), 4, 3).notes
    assert "its lists of parts ('train.txt') are not read; the test part is drawn" in note
    files = tree(TWO) | {"meta/train.txt": b"cat/1"}
    assert not open_images(written(tmp_path / "b", files), 4, 3).notes


def test_links_are_followed_and_never_in_a_circle(tmp_path: Path) -> None:
    written(tmp_path / "all", tree({"train": 0}))
    data = tmp_path / "data"
    data.mkdir()
    for name in CLASSES:
        (data / name).symlink_to(tmp_path / "all" / "train" / name)
    (tmp_path / "all" / "train" / "cat" / "round").symlink_to(tmp_path / "all")
    check(open_images(str(data), 4, 3), (20, 0, 0))
