"""A model is never evaluated on what it has seen: by content, whatever the seed, name or folder."""

import shutil
import zipfile
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("sklearn")
pytest.importorskip("PIL")
from PIL import Image

from deploy.errors import BadInput
from neuroclip.data.events.catalogue import open_dataset
from neuroclip.data.events.digits import digit_id, digits_split
from neuroclip.data.images.images import open_images
from neuroclip.data.seen import FILE, UNKNOWN, Seen, ids_of, read_seen, save_seen
from neuroclip.storage.checkpoint_files import MODELS


def pictures(root: Path, parts=("",), each=30, kind="png") -> Path:
    for label, name in enumerate(("cat", "dog")):
        for i in range(each):
            for p, part in enumerate(parts):
                path = root / part / name / f"{i:03}.{kind}"
                path.parent.mkdir(parents=True, exist_ok=True)
                rng = np.random.default_rng([label, i, p])
                Image.fromarray(rng.integers(0, 256, (9, 7, 3)).astype(np.uint8)).save(path)
    return root


def test_no_seed_moves_a_sample_into_the_test_part(recordings_folder: Path, tmp_path: Path) -> None:
    """What is trained and chosen under one seed may be tested under every other."""
    mixed = tmp_path / "mixed"
    for path in recordings_folder.rglob("*.bin"):
        copy = mixed / path.parent.name / f"{path.parent.parent.name}-{path.name}"
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, copy)
    images = pictures(tmp_path / "images")

    def parts(seed: int) -> list[list[np.ndarray]]:
        sets = [open_dataset("digits", seed), open_dataset(mixed, seed)]
        sets += [open_dataset(recordings_folder, seed), open_images(str(images), 8, 3, seed)]
        return [[s.train, s.validation, s.test] for s in sets]

    first = parts(0)
    for seed in (1, 2, 17):
        for before, now in zip(first, parts(seed), strict=True):
            assert np.array_equal(before[2], now[2])
            assert not np.intersect1d(np.concatenate(now[:2]), now[2]).size
            assert not np.array_equal(before[1], now[1]), "validation is dealt anew"
            assert list(map(len, before)) == list(map(len, now))


def test_bundled_models_have_seen_no_test_digit_and_say_what_they_have() -> None:
    train, validation, test = (ids_of(map(digit_id, part)) for part in digits_split(0))
    for name in ("digits-clip", "neuroclip-digits", "neuroclip-digits-paper", "spikeclip-digits"):
        seen = read_seen(MODELS / name)
        assert seen.complete and not seen.among(test, "test").any()
        assert seen.among(train, "validation").all() and seen.among(validation, "test").all()
        assert not seen.among(validation, "validation").any()
    assert len(read_seen(MODELS / "spikeclip-cifar10").learned) == 44_998


def test_a_digit_is_the_same_as_a_picture_and_as_events(tmp_path: Path) -> None:
    events, images = open_dataset("digits"), open_images("digits", 16, 1)
    assert np.array_equal(events.ids(np.arange(5)), images.ids[:5])


def test_a_picture_is_known_in_any_file(tmp_path: Path) -> None:
    """Another name, folder, archive, lossless format or size asked for hides nothing."""
    root = pictures(tmp_path / "png", each=5)
    seen = open_images(str(root), 8, 3).ids
    bitmaps = pictures(tmp_path / "bmp", each=5, kind="bmp")
    others = [open_images(str(root), 16, 1), open_images(str(bitmaps), 8, 3)]
    with zipfile.ZipFile(tmp_path / "z.zip", "w") as archive:
        for path in root.rglob("*.png"):
            stream = BytesIO()
            Image.open(path).save(stream, "webp", lossless=True)
            archive.writestr(f"{path.parent.name}/other-{path.stem}.webp", stream.getvalue())
    others.append(open_images(str(tmp_path / "z.zip"), 8, 3))
    for other in others:
        assert set(other.ids.tolist()) == set(seen.tolist()) and len(seen) == 10


@pytest.mark.parametrize("samples", [None, 6])
def test_seen_pictures_are_left_out_and_counted(tmp_path: Path, samples: int | None) -> None:
    path = str(pictures(tmp_path / "data", ("train", "test")))
    whole = open_images(path, 8, 3)
    seen = Seen.of(whole.ids[whole.test[::2]], whole.ids[whole.test[1::4]])
    only = open_images(path, 8, 3, part="test", samples=samples, seen=seen)
    assert not seen.among(only.ids, "test").any() and len(only.labels) == (samples or 15)
    assert only.seen == 45 if samples is None else only.seen > 0
    everything = Seen.of(whole.ids, whole.ids)
    with pytest.raises(BadInput, match="has seen all 60 images of its test part"):
        open_images(path, 8, 3, part="test", seen=everything)
    with pytest.raises(BadInput, match="has seen all 500 images"):
        digits = open_images("digits", 16, 1)
        open_images("digits", 16, 1, part="test", seen=Seen.of(digits.ids, digits.ids))


def test_the_record_of_a_model_is_kept_and_joined(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    a, b = (Seen.of(*rng.integers(0, 2**64, (2, 9), np.uint64)) for _ in range(2))
    save_seen(tmp_path, a | b)
    held = read_seen(tmp_path)
    assert held.complete and set(held.learned) == {*a.learned, *b.learned}
    assert held.among(b.chose, "test").all() and not held.among(b.chose, "validation").any()
    assert not (a | UNKNOWN).complete and not read_seen(tmp_path / "none").complete
    save_seen(tmp_path / "unknown", a | UNKNOWN)
    assert not read_seen(tmp_path / "unknown").complete
    whole = (tmp_path / FILE).read_bytes()
    for content in (b"", b"text", whole[:40]):
        (tmp_path / FILE).write_bytes(content)
        with pytest.raises(BadInput, match=FILE):
            read_seen(tmp_path)
    for arrays in ({}, {"learned": a.learned}, {"learned": a.learned, "chose": np.zeros(3)}):
        np.savez(tmp_path / FILE, complete=True, **arrays)
        with pytest.raises(BadInput, match="is missing, or of another type"):
            read_seen(tmp_path)
