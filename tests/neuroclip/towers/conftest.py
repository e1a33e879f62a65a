"""Packages of pretrained towers with random weights, laid out as the real ones are."""

import hashlib
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from neuroclip.towers import tables

# Of the EfficientNet: blocks in each stage, as in the paper.
REPEATS = (1, 2, 2, 3, 3, 4, 1)


def published_names() -> list[str]:
    """The names in the package's file, in its order: stem, blocks counted through, head, classifier."""
    norm = ("weight", "bias", "running_mean", "running_var", "num_batches_tracked")
    names = ["_conv_stem.weight", *(f"_bn0.{x}" for x in norm)]
    for block in range(sum(REPEATS)):
        layers = [("_depthwise_conv", "_bn1"), ("_project_conv", "_bn2")]
        layers = layers if block == 0 else [("_expand_conv", "_bn0"), *layers]
        for convolution, bn in layers:
            names.append(f"_blocks.{block}.{convolution}.weight")
            names += [f"_blocks.{block}.{bn}.{x}" for x in norm]
    return [*names, "_conv_head.weight", *(f"_bn1.{x}" for x in norm), "_fc.weight", "_fc.bias"]


def pieces() -> list[str]:
    """A vocabulary of BERT's size: letters, a few words, and what fills it up."""
    from neuroclip.towers.bert import BertSizes

    letters = [chr(c) for c in range(33, 127) if not chr(c).isupper()]
    made = ["[PAD]", *(f"[unused{i}]" for i in range(99)), "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    made += letters + [f"##{x}" for x in letters]
    made += ["a", "photo", "of", "the", "cat", "dog", "zebra", "horse", "##s"]
    made = list(dict.fromkeys(made))
    return made + [f"##fill{i}" for i in range(BertSizes().vocabulary - len(made))]


@dataclass(frozen=True)
class Packages:
    """Where they are, and what they were made of."""

    root: Path
    trunk: dict[str, Any]
    text: dict[str, Any]


@pytest.fixture(scope="session")
def packages(tmp_path_factory: pytest.TempPathFactory) -> Packages:
    """Both packages; to import one is an error."""
    import timm
    import torch
    from safetensors.torch import save_file

    from neuroclip.towers.bert import BertSizes, BertTower

    root = tmp_path_factory.mktemp("packages")
    torch.manual_seed(0)
    image = timm.create_model("tf_efficientnet_lite0")
    for module in image.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.running_mean.normal_(0, 0.1)
            module.running_var.uniform_(0.5, 2)
    trunk = image.state_dict()
    text = {
        name.removeprefix("transformer."): 0.1 * torch.randn_like(x)
        for name, x in BertTower(BertSizes(), 128).state_dict().items()
    }
    unused = {
        "embeddings.position_ids": torch.arange(512)[None],
        "pooler.dense.weight": torch.zeros(384, 384),
        "pooler.dense.bias": torch.zeros(384),
    }
    towers = (tables.IMAGE_TOWERS["tf_efficientnet_lite0"], tables.TEXT_TOWERS["minilm-l6"])
    for tower in towers:
        for file in tower.files:
            path = root / file.package / file.path
            path.parent.mkdir(parents=True, exist_ok=True)
            (root / file.package / "__init__.py").write_text("raise SystemError('it was run')\n")
            if path.suffix == ".pth":
                held = dict(zip(published_names(), trunk.values(), strict=True))
                torch.save(held, path, _use_new_zipfile_serialization=False)
            elif path.suffix == ".safetensors":
                save_file(text | unused, path, {"format": "pt"})
            else:
                path.write_text("\n".join(pieces()) + "\n", encoding="utf-8")
    return Packages(root, trunk, text)


def with_digests(root: Path, table: dict[str, tables.Tower]) -> dict[str, tables.Tower]:
    """A table whose digests are those of the files that are there."""

    def seen(file: tables.WeightFile) -> tables.WeightFile:
        content = (root / file.package / file.path).read_bytes()
        return replace(file, sha256=hashlib.sha256(content).hexdigest())

    return {n: replace(t, files=tuple(map(seen, t.files))) for n, t in table.items()}


@pytest.fixture
def installed(packages: Packages, monkeypatch: pytest.MonkeyPatch) -> Packages:
    """The packages where they are found, and tables that expect them; one template, for speed."""
    from neuroclip.towers import join as join_module

    monkeypatch.syspath_prepend(str(packages.root))
    for name in ("IMAGE_TOWERS", "TEXT_TOWERS"):
        table = with_digests(packages.root, getattr(tables, name))
        monkeypatch.setattr(join_module, name, table)
    monkeypatch.setattr(join_module, "TEMPLATES", ("{}",))
    return packages


@pytest.fixture(scope="session")
def joined(packages: Packages, tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, Path]:
    """The two joined, and the folder that keeps them."""
    from neuroclip.towers import join as join_module
    from neuroclip.towers.assembled import TowersConfig, save_towers

    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(packages.root))
        for name in ("IMAGE_TOWERS", "TEXT_TOWERS"):
            patch.setattr(join_module, name, with_digests(packages.root, getattr(tables, name)))
        patch.setattr(join_module, "TEMPLATES", ("{}",))
        patch.setattr(join_module.open_clip, "IMAGENET_CLASSNAMES", [f"{i}" for i in range(1000)])
        made = join_module.join(TowersConfig(image_size=64, context=32))
    folder = tmp_path_factory.mktemp("towers")
    save_towers(folder, made)
    return made, folder
