"""Checkpoints: a trained adapter as a folder of one JSON configuration and safetensors files."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

from deploy.arithmetic.registers import BIAS_EXP_MAX, MESSAGE_MAX, VTH_MAX
from deploy.errors import BadInput
from deploy.files import write_json
from neuroclip.adapter.eight_bits import EightBitAnn
from neuroclip.adapter.model import (
    AdapterConfig,
    AnnAdapter,
    ChipAdapter,
    ChipScales,
    FloatAdapter,
    from_learned,
)
from neuroclip.clip.model import Clip, load_clip
from neuroclip.clip.spec import ClipSpec
from neuroclip.data.events.frames import FrameOptions
from neuroclip.data.seen import UNKNOWN, Seen, read_seen, save_seen
from neuroclip.storage.checkpoint_files import (
    ADAPTER,
    CONFIG_FILE,
    described,
    labels_and_template,
    read_config,
    typed,
)
from neuroclip.storage.weights import check_named, fill_module, read_weights, save_tensors

FORMAT, VERSION = ADAPTER, 1
FLOAT_FILE, CHIP_FILE, ANN_FILE = "float.safetensors", "chip.safetensors", "ann.safetensors"

# Sizes and powers of two beyond these fit no machine and no float32.
_MAX_SIZE = 1 << 24
_MAX_EXPONENT = 64


@dataclass(frozen=True, eq=False)
class Checkpoint:
    """A trained adapter and all that its use needs.

    clip: the CLIP it was trained on, by name, for the reader; clip_digest: hash of its weights, by which
    it is known again; clip_identity: hash of all that shapes its features (empty in older files). labels,
    template: what its texts were made of. training: how it was trained (recipe, data, shots, accuracy on
    validation), for the reader. seen: the samples that it and its CLIP were trained on. ann: the ANN in
    8 bits that was trained as the chip's adapter was, to hold it against; None where none was.
    """

    clip: ClipSpec
    clip_digest: str
    frames: FrameOptions
    labels: tuple[str, ...]
    template: str
    float_adapter: FloatAdapter
    chip_adapter: ChipAdapter
    training: Mapping[str, Any]
    seen: Seen = UNKNOWN
    clip_identity: str = ""
    ann: EightBitAnn | None = None

    @property
    def config(self) -> AdapterConfig:
        """Sizes and constants of the adapter."""
        return self.chip_adapter.config


def save_checkpoint(folder: str | Path, checkpoint: Checkpoint) -> None:
    """Write a checkpoint; the configuration comes last, so that a folder with it is whole."""
    folder = Path(folder)
    save_tensors(folder / FLOAT_FILE, checkpoint.float_adapter.state_dict())
    save_tensors(folder / CHIP_FILE, checkpoint.chip_adapter.learned())
    (folder / ANN_FILE).unlink(missing_ok=True)  # of an earlier training
    if checkpoint.ann is not None:
        save_tensors(folder / ANN_FILE, checkpoint.ann.state_dict())
    save_seen(folder, checkpoint.seen)
    write_json(
        folder / CONFIG_FILE,
        {
            "format": FORMAT,
            "version": VERSION,
            "clip": asdict(checkpoint.clip.named)
            | {"digest": checkpoint.clip_digest, "identity": checkpoint.clip_identity},
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
    folder, raw = read_config(name_or_folder, FORMAT, VERSION)
    path = folder / CONFIG_FILE
    try:
        if isinstance(raw.get("adapter"), dict):
            raw["adapter"] = {"raw": False} | raw["adapter"]  # older files have no such key
        config, scales = typed("adapter", raw, AdapterConfig), typed("scales", raw, ChipScales)
        frames, (labels, template) = typed("frames", raw, FrameOptions), labels_and_template(raw)
        digest, identity, clip = _clip(raw)
        _check_ranges(config, scales, frames)
        (training,) = described(raw, "training")
    except BadInput as error:
        raise BadInput(f"{path}: {error}") from error
    files = folder / FLOAT_FILE, folder / CHIP_FILE
    floats, learned = (read_weights(file) for file in files)
    # What a configuration declares takes no memory before the files are known to hold it.
    sizes = {"down": (config.hidden, config.features), "text": (len(labels), config.features)}
    check_named(
        {name: torch.empty(shape, device="meta") for name, shape in sizes.items()},
        {name: tensor for name, tensor in learned.items() if name in sizes},
        files[1],
    )
    text = torch.zeros(len(labels), config.features)
    float_adapter = FloatAdapter(config, text)
    fill_module(float_adapter, floats, files[0])
    check_named(ChipAdapter(config, scales, text).learned(), learned, files[1])
    if not bool((learned["deviation"] > 0).all()):
        raise BadInput(
            f"{files[1]}: tensor 'deviation' holds {float(learned['deviation'].min())}, "
            "which is not positive"
        )
    chip_adapter = from_learned(config, scales, learned)
    return Checkpoint(
        clip, digest, frames, labels, template, float_adapter.eval(), chip_adapter.eval(), training,
        read_seen(folder), identity, _ann(folder / ANN_FILE, config, text),
    )  # fmt: skip


def clip_of(checkpoint: Checkpoint, given: ClipSpec | None = None) -> Clip:
    """The CLIP that a checkpoint was trained on: the bundled one, or the one that the person names.

    A checkpoint is a stranger's: no folder, file or hub that it names is opened; its CLIP is known by
    its weights. Raises BadInput where none is given for one that is not bundled, or its weights differ.
    """
    if given is None and checkpoint.clip != ClipSpec():
        raise BadInput(
            f"CLIP '{checkpoint.clip.model}': the checkpoint was trained on a CLIP that is not bundled, "
            f"of weights {checkpoint.clip_digest[:12]}; name it by --clip and --pretrained"
        )
    clip = load_clip(given)
    if clip.digest != checkpoint.clip_digest:
        raise BadInput(
            f"CLIP '{clip.name}': its weights {clip.digest[:12]} are not those the adapter was trained "
            f"on, {checkpoint.clip_digest[:12]}; name those by --clip and --pretrained"
        )
    if checkpoint.clip_identity not in ("", clip.identity):
        raise BadInput(
            f"CLIP '{checkpoint.clip.model}': its architecture or its pixels' normalisation are not those "
            "the adapter was trained on, though its weights are"
        )
    return clip


def _ann(path: Path, config: AdapterConfig, text: torch.Tensor) -> EightBitAnn | None:
    """The ANN of a checkpoint, where its folder has one. Raises BadInput naming the file and the tensor."""
    if not path.exists():
        return None
    ann = EightBitAnn(AnnAdapter(config, text).eval(), 1.0)
    fill_module(ann, read_weights(path), path)
    for name in ("deviation", "hidden_unit"):
        if not bool((ann.get_buffer(name) > 0).all()):
            raise BadInput(f"{path}: tensor '{name}' holds a value that is not positive")
    return ann.eval()


def _clip(raw: Mapping[str, Any]) -> tuple[str, str, ClipSpec]:
    entry = raw.get("clip")
    if not isinstance(entry, dict) or not isinstance(entry.get("digest"), str):
        raise BadInput(f"key 'clip' is {entry!r}, expected an object with a digest")
    spec = {name: value for name, value in entry.items() if name not in ("digest", "identity")}
    identity = entry.get("identity", "")
    if not isinstance(identity, str):
        raise BadInput(f"key 'clip.identity' is {identity!r}, expected text")
    return entry["digest"], identity, typed("clip", {"clip": spec}, ClipSpec)


def _check_ranges(config: AdapterConfig, scales: ChipScales, frames: FrameOptions) -> None:
    """Refuse what no register holds, before anything is computed from it."""
    limits: dict[str, tuple[float, float]] = {
        "adapter.features": (1, _MAX_SIZE),
        "adapter.hidden": (1, _MAX_SIZE),
        "adapter.decay": (1 / 4096, 1),
        "adapter.dropout": (0, 1),
        "adapter.blend": (0, 1),
        "adapter.message_max": (1, MESSAGE_MAX),
        "adapter.message_exponent": (-_MAX_EXPONENT, _MAX_EXPONENT),
        "scales.down_exponent": (-_MAX_EXPONENT, _MAX_EXPONENT),
        "scales.up_exponent": (-_MAX_EXPONENT, _MAX_EXPONENT),
        "scales.hidden_bias_exponent": (0, BIAS_EXP_MAX),
        "scales.readout_bias_exponent": (0, BIAS_EXP_MAX),
    }
    for key, (low, high) in limits.items():
        part, _, name = key.partition(".")
        value = getattr(config if part == "adapter" else scales, name)
        if not low <= value <= high:
            raise BadInput(f"key '{key}' is {value}, expected {low:g} to {high:g}")
    if config.steps != frames.steps:
        raise BadInput(
            f"keys 'adapter.steps' {config.steps} and 'frames.steps' {frames.steps} differ"
        )
    vth = config.threshold * 2.0 ** (scales.down_exponent + config.message_exponent)
    if not 0 <= vth <= VTH_MAX:
        raise BadInput(
            f"key 'adapter.threshold' is {config.threshold}, a register of {vth:g}, "
            f"expected 0 to {VTH_MAX}"
        )
