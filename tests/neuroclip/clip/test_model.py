"""CLIP: loading, what is refused, features of frames and text, their cache."""

import json
import os
import pickle
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from torch.nn import functional

from deploy.errors import BadInput
from neuroclip.clip import features as features_module
from neuroclip.clip.features import dataset_features
from neuroclip.clip.model import (
    Clip,
    build_own_clip,
    encode_frames,
    encode_text,
    encoder_input,
    load_clip,
    own_clip,
)
from neuroclip.clip.pretrain import CONFIG, pictures_on_sensor, train_digits_clip
from neuroclip.clip.spec import ClipSpec
from neuroclip.clip.zero_shot import accuracy
from neuroclip.data.events.cards import DIGITS
from neuroclip.data.events.dataset import DatasetCard, EventDataset
from neuroclip.data.events.digits import digit_pictures, digits_split
from neuroclip.data.events.frames import FrameOptions
from neuroclip.data.events.recording import Recording
from neuroclip.storage.weights import save_weights, weights_digest
from neuroclip.text.tokenizer import END, PAD, START, tokenize

BUNDLED = Path(__file__).parents[3] / "neuroclip" / "models" / "digits-clip"


@pytest.fixture(scope="module")
def bundled() -> Clip:
    return load_clip(device="cpu")


def test_bundled_model_is_small_and_reads_pictures(bundled: Clip) -> None:
    assert (BUNDLED / "model.safetensors").stat().st_size < 3_000_000
    pictures, labels = pictures_on_sensor()
    validation = digits_split()[1]
    digits = [str(digit) for digit in range(10)]
    images = encode_frames(bundled, pictures[validation], FrameOptions())
    assert images.shape == (297, 64) and images.dtype == np.float32
    assert np.allclose(np.linalg.norm(images, axis=1), 1, atol=1e-5)
    text = encode_text(bundled, digits, DIGITS.template)
    assert text.shape == (10, 64)
    assert accuracy(images @ text.T, labels[validation]).value >= 0.97
    words = ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"]
    by_word = encode_text(bundled, words, "a photo of the number {}.")
    assert accuracy(images @ by_word.T, labels[validation]).value >= 0.95


def test_frames_keep_their_leading_axes(bundled: Clip) -> None:
    pictures = digit_pictures()[0][:6]
    flat = encode_frames(bundled, pictures, FrameOptions())
    folded = encode_frames(bundled, pictures.reshape(2, 3, 28, 28), FrameOptions(), batch=4)
    assert folded.shape == (2, 3, 64)
    assert np.allclose(folded.reshape(6, 64), flat, atol=1e-5)


def test_encoder_input_is_the_papers(bundled: Clip) -> None:
    gray = torch.rand(2, 34, 34, generator=torch.Generator().manual_seed(0))
    made = encoder_input(gray, bundled, FrameOptions())
    resized = functional.interpolate(gray[:, None], (32, 32), mode="bilinear") - 0.5
    assert made.shape == (2, 3, 32, 32)
    assert all(torch.equal(made[:, channel], resized[:, 0]) for channel in range(3))
    other = encoder_input(gray, bundled, FrameOptions(normalisation="clip"))
    expected = (resized[:, 0] + 0.5 - bundled.mean[2]) / bundled.std[2]
    assert torch.allclose(other[:, 2], expected)


def test_tokens() -> None:
    tokens = tokenize(["7", "né"], 8)
    assert tokens[0].tolist() == [START, ord("7") + 1, END, PAD, PAD, PAD, PAD, PAD]
    assert tokens[1, 4] == END and tokens.max() == END
    with pytest.raises(BadInput, match="'much too long'"):
        tokenize(["much too long"], 8)


def test_any_text_is_legal_but_no_empty_list(bundled: Clip) -> None:
    assert np.isfinite(encode_text(bundled, ["数", "\x00", "é"], "{}")).all()
    with pytest.raises(BadInput, match="list is empty"):
        encode_text(bundled, [], "{}")


def copy_of_bundled(folder: Path) -> Path:
    shutil.copytree(BUNDLED, folder / "copy")
    return folder / "copy"


def test_a_folder_loads_like_the_bundled_model(tmp_path: Path, bundled: Clip) -> None:
    copy = load_clip(ClipSpec(str(copy_of_bundled(tmp_path))), device="cpu")
    assert copy.digest == bundled.digest
    with torch.no_grad():
        copy.module.logit_scale += 1
    assert weights_digest(copy.module) != bundled.digest


def test_a_configuration_larger_than_its_weights_is_refused_before_memory_is_taken(
    tmp_path: Path,
) -> None:
    folder = copy_of_bundled(tmp_path)
    (folder / "config.json").write_text(changed_config("vision_cfg", "width", 4096))
    with pytest.raises(BadInput, match="the model needs"):
        load_clip(ClipSpec(str(folder)), device="cpu")


@pytest.mark.parametrize("damage", ["truncated", "missing", "unknown", "shape", "nan", "absent"])
def test_damaged_weights_are_refused_by_name(tmp_path: Path, damage: str) -> None:
    folder = copy_of_bundled(tmp_path)
    path = folder / "model.safetensors"
    tensors = load_file(path)
    words = {
        "truncated": "not a readable safetensors file",
        "missing": "'ln_final.bias' is missing",
        "unknown": "unknown tensor 'extra'",
        "shape": r"'ln_final.bias' has shape \(3,\), the model needs \(64,\)",
        "nan": "'ln_final.bias' holds NaN",
        "absent": "No such file",
    }[damage]
    if damage == "missing":
        del tensors["ln_final.bias"]
    elif damage == "unknown":
        tensors["extra"] = torch.zeros(1)
    elif damage == "shape":
        tensors["ln_final.bias"] = torch.zeros(3)
    elif damage == "nan":
        tensors["ln_final.bias"][5] = float("nan")
    save_file(tensors, path)
    if damage == "truncated":
        path.write_bytes(path.read_bytes()[:1000])
    elif damage == "absent":
        path.unlink()
    with pytest.raises(BadInput, match=words) as error:
        load_clip(ClipSpec(str(folder)), device="cpu")
    assert str(path) in str(error.value) and "\n" not in str(error.value)


def changed_config(part: str, name: str, value: object) -> str:
    config = json.loads(json.dumps(CONFIG))
    (config[part] if part else config)[name] = value
    return json.dumps({"clip": config})


@pytest.mark.parametrize(
    "content",
    [
        "{",
        "[]",
        "{}",
        '{"clip": {"embed_dim": 64}}',
        changed_config("", "embed_dim", -1),
        changed_config("vision_cfg", "layers", 10**9),
        changed_config("vision_cfg", "timm_model_name", "resnet18"),
        changed_config("text_cfg", "hf_model_name", "somebody/else"),
        changed_config("text_cfg", "colour", 3),
    ],
)
def test_damaged_configuration_is_refused(tmp_path: Path, content: str) -> None:
    folder = copy_of_bundled(tmp_path)
    (folder / "config.json").write_text(content)
    with pytest.raises(BadInput, match=r"config\.json"):
        load_clip(ClipSpec(str(folder)), device="cpu")


class Code:
    """Unpickling this would run a command."""

    def __reduce__(self) -> tuple:
        return (Path.touch, (Path("must-not-exist"),))


def test_a_pickle_with_code_is_refused_and_not_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with open("evil.pt", "wb") as stream:
        pickle.dump({"weight": Code()}, stream)
    torch.save({"weight": Code()}, "evil-zip.pt")
    Path("noise.pt").write_bytes(b"neither")
    torch.save([1, 2], "list.pt")
    torch.save({"a": 1}, "number.pt")
    for name in ("evil.pt", "evil-zip.pt", "noise.pt", "list.pt", "number.pt", "absent.pt"):
        with pytest.raises(BadInput, match=name.replace(".", r"\.")) as error:
            load_clip(ClipSpec("RN50", pretrained=name), device="cpu")
        assert "\n" not in str(error.value)
    assert not Path("must-not-exist").exists()


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        (ClipSpec("no-such-model"), "no-such-model"),
        (ClipSpec("ViT-B-32"), "no weights given"),
        (ClipSpec("ViT-B-32", "no-such-tag"), "unknown weights 'no-such-tag'"),
    ],
)
def test_unknown_models_are_refused(spec: ClipSpec, words: str) -> None:
    with pytest.raises(BadInput, match=words):
        load_clip(spec, device="cpu")


def test_open_clip_architecture_from_local_torch_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, bundled: Clip
) -> None:
    """Any architecture that open_clip knows by name; here a small one it was told about."""
    import open_clip

    # A context of CLIP's own 77 tokens and vocabulary: open_clip's tokenizer goes with it.
    config = {**CONFIG, "text_cfg": {"width": 32, "heads": 2, "layers": 1}}
    monkeypatch.setattr(open_clip.factory, "_MODEL_CONFIG_PATHS", [])
    monkeypatch.setattr(open_clip.factory, "_MODEL_CONFIGS", {})
    (tmp_path / "tiny-test.json").write_text(json.dumps(config))
    open_clip.add_model_config(tmp_path / "tiny-test.json")
    torch.manual_seed(0)
    module = build_own_clip(config)
    prefixed = {f"module.{name}": value for name, value in module.state_dict().items()}
    torch.save({"state_dict": prefixed, "epoch": 3}, tmp_path / "tiny.pt")
    clip = load_clip(ClipSpec("tiny-test", str(tmp_path / "tiny.pt")), device="cpu")
    assert clip.digest == weights_digest(module) and clip.image_size == 32
    assert encode_text(clip, ["a", "b"], "a photo of a {}.").shape == (2, 64)
    pictures = digit_pictures()[0][:2]
    assert encode_frames(clip, pictures, FrameOptions(normalisation="clip")).shape == (2, 64)


def tiny_dataset(shift: int = 0) -> EventDataset:
    def load(index: int) -> Recording:
        random = np.random.default_rng(index + shift)
        x, y, p = (random.integers(0, n, 300) for n in (34, 34, 2))
        return Recording(x, y, np.arange(300), p, 34, 34, f"item {index}")

    part = np.arange(2)
    return EventDataset(
        DatasetCard("tiny"), ("a", "b"), part, ("0", "1"), part, part[:0], part[:0], load
    )


def test_features_are_cached_by_content(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, bundled: Clip
) -> None:
    monkeypatch.setenv("NEUROCLIP_CACHE", str(tmp_path))
    calls = []
    real = features_module.encode_frames
    monkeypatch.setattr(
        features_module, "encode_frames", lambda *a, **k: calls.append(1) or real(*a, **k)
    )
    options = FrameOptions(steps=4)
    first = dataset_features(bundled, tiny_dataset(), [0, 1], options)
    assert first.shape == (2, 4, 64) and len(calls) == 1
    assert np.array_equal(dataset_features(bundled, tiny_dataset(), [0, 1], options), first)
    assert len(calls) == 1
    swapped = dataset_features(bundled, tiny_dataset(), [1, 0], options)
    assert np.allclose(swapped[::-1], first, atol=1e-5) and len(calls) == 2
    dataset_features(bundled, tiny_dataset(shift=5), [0, 1], options)
    dataset_features(bundled, tiny_dataset(), [0, 1], replace(options, slicing="time"))
    other = own_clip(build_own_clip(CONFIG), CONFIG, "other", torch.device("cpu"))
    dataset_features(other, tiny_dataset(), [0, 1], options)
    assert len(calls) == 5
    monkeypatch.setenv("NEUROCLIP_CACHE", os.devnull + "/no/folder")
    with pytest.warns(UserWarning, match="not cached"):
        uncached = dataset_features(bundled, tiny_dataset(), [0, 1], options)
    assert np.array_equal(uncached, first) and len(calls) == 6
    monkeypatch.setenv("NEUROCLIP_CACHE", str(tmp_path))
    for path in tmp_path.iterdir():
        path.write_bytes(b"damaged")
    assert np.array_equal(dataset_features(bundled, tiny_dataset(), [0, 1], options), first)
    assert len(calls) == 7


def test_training_is_reproducible_and_uses_no_test_picture(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two short trainings agree, though in the second every test picture is black."""
    from neuroclip.clip import pretrain as train_clip

    pictures, labels = pictures_on_sensor()
    train, validation, test = digits_split()
    small = (train[:128], validation[:32], test)
    monkeypatch.setattr(train_clip, "digits_split", lambda: small)
    monkeypatch.setattr(train_clip, "CAPTION_STEPS", 5)
    train_digits_clip(tmp_path / "a", seed=1, epochs=1)
    blank = pictures.copy()
    blank[test] = 0
    monkeypatch.setattr(train_clip, "pictures_on_sensor", lambda: (blank, labels))
    train_digits_clip(tmp_path / "b", seed=1, epochs=1)
    train_digits_clip(tmp_path / "c", seed=2, epochs=1)
    digests = [load_clip(ClipSpec(str(tmp_path / name)), device="cpu").digest for name in "abc"]
    assert digests[0] == digests[1] != digests[2]
    with pytest.raises(BadInput, match="epochs = 0"):
        train_digits_clip(tmp_path / "d", epochs=0)
    assert not (tmp_path / "d").exists()


def test_a_whole_vit_b_32_from_a_file(tmp_path: Path) -> None:
    """The published architecture with random weights stands in for downloaded ones."""
    import open_clip

    torch.manual_seed(0)
    module = open_clip.create_model("ViT-B-32").eval()
    save_weights(tmp_path / "vit.safetensors", module)
    clip = load_clip(ClipSpec("ViT-B-32", str(tmp_path / "vit.safetensors")), device="cpu")
    assert clip.image_size == 224 and clip.digest == weights_digest(module)
    frames = np.random.default_rng(0).integers(0, 256, (1, 2, 34, 34)).astype(np.uint8)
    features = encode_frames(clip, frames, FrameOptions(normalisation="clip"))
    assert features.shape == (1, 2, 512)
    pixels = torch.from_numpy(frames[0]).float() / 255
    images = encoder_input(pixels, clip, FrameOptions(normalisation="clip"))
    with torch.no_grad():
        expected = module.encode_image(images, normalize=True)
    assert np.array_equal(features[0], expected.numpy())
    text = encode_text(clip, ["cat", "dog"], "a photo of a {}.")
    assert text.shape == (2, 512)
    assert np.allclose(np.linalg.norm(text, axis=1), 1, atol=1e-5)
