"""CLIP weights as people have them: every kind of file and folder gives the features it should."""

import copy
import json
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")
open_clip = pytest.importorskip("open_clip")
pytest.importorskip("snntorch")

from deploy.errors import BadInput
from neuroclip.clip.model import Clip, encode_frames, encode_text, load_clip
from neuroclip.clip.spec import ClipSpec
from neuroclip.commands.main import main
from neuroclip.data.events.frames import FrameOptions
from neuroclip.storage.weights import save_tensors

NAME = "tiny-of-others"
CONFIG = {
    "embed_dim": 8,
    "vision_cfg": {"layers": 2, "width": 32, "head_width": 16, "patch_size": 8, "image_size": 16},
    "text_cfg": {"width": 16, "heads": 2, "layers": 2, "context_length": 77, "vocab_size": 49408},
}
FRAMES = FrameOptions(normalisation="clip")


@pytest.fixture(autouse=True)
def known(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """open_clip knows the small architecture by name."""
    monkeypatch.setattr(open_clip.factory, "_MODEL_CONFIG_PATHS", [])
    monkeypatch.setattr(open_clip.factory, "_MODEL_CONFIGS", {})
    (tmp_path / "configs").mkdir()
    (tmp_path / "configs" / f"{NAME}.json").write_text(json.dumps(CONFIG))
    open_clip.add_model_config(tmp_path / "configs" / f"{NAME}.json")


@pytest.fixture(scope="module")
def module() -> "torch.nn.Module":
    torch.manual_seed(3)
    made = open_clip.CLIP(**copy.deepcopy(CONFIG), quick_gelu=True).eval()
    for parameter in made.parameters():  # far from the start, so that every tensor counts
        torch.nn.init.normal_(parameter, std=0.3)
    return made


def features(clip: Clip) -> np.ndarray:
    pictures = np.random.default_rng(0).integers(0, 256, (3, 9, 9)).astype(np.uint8)
    text = encode_text(clip, ["cat", "a dog"], "a photo of a {}.")
    return np.concatenate([encode_frames(clip, pictures, FRAMES), text])


def expected(module, quick: bool = True) -> np.ndarray:
    made = open_clip.CLIP(**copy.deepcopy(CONFIG), quick_gelu=quick).eval()
    made.load_state_dict(module.state_dict())
    tokenizer = open_clip.SimpleTokenizer(context_length=77)
    clip = Clip(NAME, made, lambda texts: tokenizer(list(texts)), 16, open_clip.OPENAI_DATASET_MEAN,
                open_clip.OPENAI_DATASET_STD, "", torch.device("cpu"))  # fmt: skip
    return features(clip)


def hugging_face(module) -> dict[str, "torch.Tensor"]:
    """Its tensors as `transformers` names them, made by names of its own, apart from the reader."""
    held, made = module.state_dict(), {}
    towers = (("", "text_model", "embeddings.token_embedding.weight"),
              ("visual.", "vision_model", "embeddings.patch_embedding.weight"))  # fmt: skip
    for ours, theirs, first in towers:
        text = not ours
        made[f"{theirs}.{first}"] = held[
            "token_embedding.weight" if text else "visual.conv1.weight"
        ]
        made[f"{theirs}.embeddings.position_embedding.weight"] = held[f"{ours}positional_embedding"]
        norm = "final_layer_norm" if text else "post_layernorm"
        for kind in ("weight", "bias"):
            made[f"{theirs}.{norm}.{kind}"] = held[
                f"{ours}{'ln_final' if text else 'ln_post'}.{kind}"
            ]
        for layer in range(2):
            block = f"{ours}transformer.resblocks.{layer}"
            own = f"{theirs}.encoder.layers.{layer}"
            for kind in ("weight", "bias"):
                q, k, v = held[f"{block}.attn.in_proj_{kind}"].chunk(3)
                made |= {
                    f"{own}.self_attn.{n}_proj.{kind}": x for n, x in (("q", q), ("k", k), ("v", v))
                }
                made[f"{own}.self_attn.out_proj.{kind}"] = held[f"{block}.attn.out_proj.{kind}"]
                made[f"{own}.layer_norm1.{kind}"] = held[f"{block}.ln_1.{kind}"]
                made[f"{own}.layer_norm2.{kind}"] = held[f"{block}.ln_2.{kind}"]
                made[f"{own}.mlp.fc1.{kind}"] = held[f"{block}.mlp.c_fc.{kind}"]
                made[f"{own}.mlp.fc2.{kind}"] = held[f"{block}.mlp.c_proj.{kind}"]
    for kind in ("weight", "bias"):
        made[f"vision_model.pre_layrnorm.{kind}"] = held[f"visual.ln_pre.{kind}"]
    made["vision_model.embeddings.class_embedding"] = held["visual.class_embedding"]
    made["vision_model.embeddings.position_ids"] = torch.arange(5)[None]
    made["text_projection.weight"] = held["text_projection"].T
    made["visual_projection.weight"] = held["visual.proj"].T
    return made | {"logit_scale": held["logit_scale"]}


HF_CONFIG = {
    "model_type": "clip", "projection_dim": 8,
    "vision_config": {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2,
                      "intermediate_size": 128, "patch_size": 8, "image_size": 16},
    "text_config": {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2,
                    "intermediate_size": 64},
}  # fmt: skip


def as_hf(folder: Path, module) -> Path:
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps(HF_CONFIG))
    save_tensors(folder / "model.safetensors", hugging_face(module))
    return folder


def as_open_clip(folder: Path, module, file: str = "open_clip_model.safetensors") -> Path:
    folder.mkdir()
    config = {"model_cfg": {**CONFIG, "quick_gelu": True},
              "preprocess_cfg": {"mean": [0.4814, 0.4578, 0.4082], "std": [0.25, 0.25, 0.25]}}  # fmt: skip
    (folder / "open_clip_config.json").write_text(json.dumps(config))
    if file.endswith(".safetensors"):
        save_tensors(folder / file, module.state_dict())
    else:
        torch.save(module.state_dict(), folder / file)
    return folder


def openai(module) -> dict[str, "torch.Tensor"]:
    """What OpenAI's archives hold beside the weights, in half precision as theirs are."""
    extras = {"input_resolution": 16, "context_length": 77, "vocab_size": 49408}
    half = {name: x.half().float() for name, x in module.state_dict().items()}
    module.load_state_dict(half)
    return {n: x.half() for n, x in half.items()} | {n: torch.tensor(x) for n, x in extras.items()}


def test_files_and_folders_of_every_kind(tmp_path: Path, module, caplog, capfd) -> None:
    archive = openai(
        module
    )  # before the others: it rounds the weights to what half precision holds
    torch.save(archive, tmp_path / "archive.pt")
    torch.save({"epoch": 1, "state_dict": {f"module.{n}": x for n, x in module.state_dict().items()}},
               tmp_path / "training.pt")  # fmt: skip
    save_tensors(tmp_path / "plain.safetensors", module.state_dict())
    with_quick, without = expected(module), expected(module, quick=False)
    assert np.abs(with_quick - without).max() > 1e-3, "the activation counts"
    # An archive of OpenAI's chooses its activation; a bare state dict has that of the name.
    assert np.array_equal(
        features(load_clip(ClipSpec(NAME, str(tmp_path / "archive.pt")))), with_quick
    )
    for name in ("training.pt", "plain.safetensors"):
        assert np.array_equal(features(load_clip(ClipSpec(NAME, str(tmp_path / name)))), without)
    hf = as_hf(tmp_path / "hf", module)
    for model in (str(hf), f"local-dir:{hf}"):
        assert np.array_equal(features(load_clip(ClipSpec(model))), with_quick)
    for number, file in enumerate(("open_clip_model.safetensors", "open_clip_pytorch_model.bin")):
        folder = as_open_clip(tmp_path / f"own{number}", module, file)
        clip = load_clip(ClipSpec(f"local-dir:{folder}"))
        assert clip.std == (0.25, 0.25, 0.25) and clip.mean == (0.4814, 0.4578, 0.4082)
        theirs = open_clip.create_model(f"local-dir:{folder}").eval()
        for tensor, other in zip(
            theirs.state_dict().values(), clip.module.state_dict().values(), strict=True
        ):
            assert torch.equal(tensor, other)
        pixels = torch.rand(2, 3, 16, 16)
        with torch.no_grad():
            assert torch.equal(theirs.encode_image(pixels), clip.module.encode_image(pixels))
        caplog.clear()
        assert np.array_equal(features(load_clip(ClipSpec(str(folder)))), features(clip))
        assert "random" not in (caplog.text + "".join(capfd.readouterr())).lower()


def test_the_activation_is_part_of_what_features_are_kept_by(tmp_path: Path, module) -> None:
    save_tensors(tmp_path / "w.safetensors", module.state_dict())
    plain = load_clip(ClipSpec(NAME, str(tmp_path / "w.safetensors")))
    folder = as_open_clip(tmp_path / "own", module)
    quick = load_clip(ClipSpec(str(folder)))
    assert plain.digest == quick.digest and plain.identity != quick.identity
    config = json.loads((folder / "open_clip_config.json").read_text())
    config["model_cfg"]["vision_cfg"]["head_width"] = 32
    (folder / "open_clip_config.json").write_text(json.dumps(config))
    heads = load_clip(ClipSpec(str(folder)))
    assert heads.digest == quick.digest and heads.identity != quick.identity


def test_a_tag_chooses_its_activation_or_is_refused(
    monkeypatch: pytest.MonkeyPatch, module
) -> None:
    asked = {}

    def create(name, pretrained, force_quick_gelu):
        asked["quick"] = force_quick_gelu
        return copy.deepcopy(module)

    monkeypatch.setattr(open_clip, "list_pretrained_tags_by_model", lambda _: ["openai", "other"])
    monkeypatch.setattr(
        open_clip, "get_pretrained_cfg", lambda _, tag: {"quick_gelu": tag == "openai"}
    )
    monkeypatch.setattr(open_clip, "create_model", create)
    load_clip(ClipSpec(NAME, "openai"))
    assert asked == {"quick": True}
    load_clip(ClipSpec(NAME, "other"))
    assert asked == {"quick": False}
    own = open_clip.get_model_config
    monkeypatch.setattr(
        open_clip, "get_model_config", lambda name: own(name) | {"quick_gelu": True}
    )
    with pytest.raises(BadInput, match="'other' were trained with GELU"):
        load_clip(ClipSpec(NAME, "other"))


def test_a_tag_that_cannot_be_downloaded_is_one_line(
    monkeypatch: pytest.MonkeyPatch, refused, recordings_folder: Path
) -> None:
    def fail(*_, **__):
        raise RuntimeError("Failed to download weights for tag 'openai': \nHTTPError 403\nand more")

    monkeypatch.setattr(open_clip, "list_pretrained_tags_by_model", lambda _: ["openai"])
    monkeypatch.setattr(open_clip, "get_pretrained_cfg", lambda *_: {"quick_gelu": True})
    monkeypatch.setattr(open_clip, "create_model", fail)
    monkeypatch.setattr("neuroclip.commands.zero_shot.clip", lambda _: ClipSpec(NAME, "openai"))
    refused(main, "zero-shot", "--data", recordings_folder, says=("'openai' cannot be downloaded",))


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda f: (f / "config.json").write_text('{"model_type": "bert"}'), "'bert', expected 'clip'"),
        (lambda f: (f / "model.safetensors").unlink(), "no file of weights"),
        (lambda f: (f / "config.json").write_text(
            json.dumps(HF_CONFIG | {"vision_config": {"hidden_size": -1}})), "hidden_size' is -1"),
        (lambda f: (f / "config.json").write_text(
            json.dumps(HF_CONFIG | {"projection_dim": 9})), "text_projection"),
        (lambda f: (f / "config.json").write_text(
            json.dumps(HF_CONFIG | {"text_config": {"hidden_act": "gelu"}})), "activations"),
        (lambda f: save_tensors(f / "model.safetensors", {"a": torch.zeros(1)}), "'a' is none of a"),
    ],
)  # fmt: skip
def test_a_hugging_face_folder_that_is_none(tmp_path: Path, module, change, says: str) -> None:
    folder = as_hf(tmp_path / "hf", module)
    change(folder)
    with pytest.raises(BadInput, match=says) as error:
        load_clip(ClipSpec(str(folder)))
    assert "\n" not in str(error.value)


def test_a_folder_that_would_ask_a_hub_is_refused(tmp_path: Path, module) -> None:
    folder = as_open_clip(tmp_path / "own", module)
    path = folder / "open_clip_config.json"
    for part, key, value in (
        ("text_cfg", "hf_model_name", "a/b"),
        ("vision_cfg", "timm_model_name", "hf-hub:a/b"),
    ):
        config = json.loads(path.read_text())
        config["model_cfg"][part][key] = value
        (folder / "open_clip_config.json").write_text(json.dumps(config))
        with pytest.raises(BadInput, match=f"{part}.{key}"):
            load_clip(ClipSpec(str(folder)))
        del config["model_cfg"][part][key]
        path.write_text(json.dumps(config))
    with pytest.raises(BadInput, match="no such folder"):
        load_clip(ClipSpec("local-dir:nowhere"))
