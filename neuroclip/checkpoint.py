"""Checkpoints: a trained adapter as a folder of one JSON configuration and two safetensors files."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor

from deploy.errors import BadInput
from deploy.files import atomic_path, read_json, write_json
from neuroclip.adapter import AdapterConfig, ChipAdapter, ChipScales, FloatAdapter, from_learned
from neuroclip.clip import ClipSpec
from neuroclip.frames import FrameOptions
from neuroclip.weights import fill_module, read_weights

FORMAT, VERSION = "neuroclip-adapter", 1
CONFIG_FILE, FLOAT_FILE, CHIP_FILE = "config.json", "float.safetensors", "chip.safetensors"

MODELS = Path(__file__).parent / "models"
BUNDLED = ("neuroclip-digits", "neuroclip-digits-paper")
DEFAULT_MODEL = "neuroclip-digits"


@dataclass(frozen=True, eq=False)
class Checkpoint:
    """A trained adapter and all that its use needs.

    clip_digest: hash of the CLIP weights it was trained on. labels, template: what its texts were
    made of. training: how it was trained (recipe, data, shots, accuracy on validation), for the
    reader.
    """

    clip: ClipSpec
    clip_digest: str
    frames: FrameOptions
    labels: tuple[str, ...]
    template: str
    float_adapter: FloatAdapter
    chip_adapter: ChipAdapter
    training: Mapping[str, Any]

    @property
    def config(self) -> AdapterConfig:
        """Sizes and constants of the adapter."""
        return self.chip_adapter.config


def save_checkpoint(folder: Path, checkpoint: Checkpoint) -> None:
    """Write a checkpoint; the configuration comes last, so that a folder with it is whole."""
    _save(folder / FLOAT_FILE, checkpoint.float_adapter.state_dict())
    _save(folder / CHIP_FILE, checkpoint.chip_adapter.learned())
    write_json(
        folder / CONFIG_FILE,
        {
            "format": FORMAT,
            "version": VERSION,
            "clip": asdict(checkpoint.clip) | {"digest": checkpoint.clip_digest},
            "frames": asdict(checkpoint.frames),
            "labels": list(checkpoint.labels),
            "template": checkpoint.template,
            "adapter": asdict(checkpoint.config),
            "scales": asdict(checkpoint.chip_adapter.scales),
            "training": dict(checkpoint.training),
        },
    )


def load_checkpoint(name_or_folder: str | Path) -> Checkpoint:
    """Read a checkpoint folder, or a bundled model by name.

    Raises BadInput naming the file and the entry: missing, damaged, a pickle, tensors of another
    shape, NaN.
    """
    bundled = str(name_or_folder) in BUNDLED
    folder = MODELS / name_or_folder if bundled else Path(name_or_folder)
    path = folder / CONFIG_FILE
    if not folder.is_dir():
        raise BadInput(f"{folder}: no such checkpoint folder; bundled models are {list(BUNDLED)}")
    raw = read_json(path)
    if not isinstance(raw, dict) or raw.get("format") != FORMAT or raw.get("version") != VERSION:
        raise BadInput(f"{path}: not a {FORMAT} configuration of version {VERSION}")
    try:
        clip = dict(raw["clip"])
        digest = str(clip.pop("digest"))
        config, scales = AdapterConfig(**raw["adapter"]), ChipScales(**raw["scales"])
        labels, template = tuple(map(str, raw["labels"])), str(raw["template"])
        frames, spec = FrameOptions(**raw["frames"]), ClipSpec(**clip)
    except BadInput as error:
        raise BadInput(f"{path}: {error}") from error
    except (KeyError, TypeError, ValueError) as error:
        raise BadInput(f"{path}: damaged configuration: {error}") from error
    text = torch.zeros(len(labels), config.features)
    float_adapter = FloatAdapter(config, text)
    fill_module(float_adapter, read_weights(folder / FLOAT_FILE), folder / FLOAT_FILE)
    return Checkpoint(
        spec,
        digest,
        frames,
        labels,
        template,
        float_adapter.eval(),
        _chip_adapter(folder / CHIP_FILE, config, scales, text),
        raw.get("training", {}),
    )


def _chip_adapter(
    path: Path, config: AdapterConfig, scales: ChipScales, text: Tensor
) -> ChipAdapter:
    learned = read_weights(path)
    # The adapter that this configuration describes says which tensors there are, of which shapes.
    for name, expected in ChipAdapter(config, scales, text).learned().items():
        if name not in learned:
            raise BadInput(f"{path}: tensor '{name}' is missing: weights of another model")
        if learned[name].shape != expected.shape:
            raise BadInput(
                f"{path}: tensor '{name}' has shape {tuple(learned[name].shape)}, "
                f"the model needs {tuple(expected.shape)}"
            )
        if not bool(torch.isfinite(learned[name]).all()):
            raise BadInput(f"{path}: tensor '{name}' holds NaN or infinity")
    return from_learned(config, scales, learned).eval()


def _save(path: Path, tensors: Mapping[str, Tensor]) -> None:
    with atomic_path(path) as temporary:
        save_file({n: t.detach().cpu().clone().contiguous() for n, t in tensors.items()}, temporary)
