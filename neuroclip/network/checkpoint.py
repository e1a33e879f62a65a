"""The checkpoint of a network of a person's own: its chip network, and what it was made from and on.

    config.json               structure, classes, framing, training, accuracies
    chip.safetensors          the tensors of the chip network after training on the chip's arithmetic
    quantized.safetensors     the same as it was made of the module
    float.safetensors         the module's own tensors, for `--weights`
    seen.npz                  ids of the samples that trained it and chose its epoch
    evaluated.safetensors     ids of the validation and test samples, and the module's own predictions

The person's Python file is not among them: nothing in a checkpoint is run.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from msgspec.structs import asdict as plain
from numpy.typing import NDArray
from torch import Tensor, nn

from deploy.decode import converted, structure
from deploy.errors import BadInput
from deploy.files import write_json
from neuroclip.chip.network import ChipNetwork
from neuroclip.chip.network_file import described_network, network_from, network_tensors
from neuroclip.data.seen import Ids, Seen, ids_of, read_seen, sample_id, save_seen
from neuroclip.data.spikes import Messages
from neuroclip.network.frames import Fit
from neuroclip.network.samples import MAX_STEPS, Framing
from neuroclip.storage.checkpoint_files import CONFIG_FILE, NETWORK, described, read_config
from neuroclip.storage.weights import read_weights, save_tensors

FORMAT, VERSION = NETWORK, 1
CHIP_FILE, QUANTIZED_FILE, FLOAT_FILE, EVALUATED_FILE = (
    f"{name}.safetensors" for name in ("chip", "quantized", "float", "evaluated")
)


@dataclass(frozen=True, eq=False)
class Evaluated:
    """Samples of which the module's own predictions are known. ids: uint64 [n]; classes: int64 [n]."""

    ids: Ids
    classes: NDArray[np.int64]

    def predictions(self, ids: Ids) -> NDArray[np.int64] | None:
        """The module's own classes of samples; None where one of them is not known."""
        if not len(self.ids) or not np.isin(ids, self.ids).all():
            return None
        order = np.argsort(self.ids, kind="stable")
        return self.classes[order[np.searchsorted(self.ids, ids, sorter=order)]]


@dataclass(frozen=True, eq=False)
class NetworkCheckpoint:
    """A trained network. name: of what made it; data: the name or path of what it was trained on;
    framing, fit: how recordings become its messages, where it was trained on some; accuracy: {part:
    {"float", "quantized", "tuned": {"correct", "total"}}}; training: for the reader.
    """

    name: str
    chip: ChipNetwork
    quantized: ChipNetwork
    class_names: tuple[str, ...]
    data: str
    framing: Framing | None
    fit: Fit
    seed: int
    evaluated: Evaluated
    seen: Seen
    accuracy: Mapping[str, Any]
    training: Mapping[str, Any]


@dataclass(frozen=True)
class _Config:
    name: str
    class_names: tuple[str, ...]
    data: str
    framing: Any
    fit: Any
    seed: int
    notes: tuple[str, ...]


def message_ids(messages: Messages) -> Ids:
    """The ids of samples by their messages, uint64 [N]; of several inputs in the order of their names."""
    inputs = [x for _, x in sorted(messages.inputs.items())]
    kind = "messages " + " ".join(str(x.shape[1:]) for x in inputs)

    def content(sample: int) -> NDArray[np.uint8]:
        parts = [np.ascontiguousarray(x[sample], np.int32).reshape(-1) for x in inputs]
        return np.concatenate(parts).view(np.uint8)

    return ids_of(sample_id(kind, content(i)) for i in range(len(inputs[0])))


def save_network(folder: str | Path, held: NetworkCheckpoint, module: nn.Module) -> None:
    """Write a checkpoint; the configuration comes last, so that a folder with it is whole."""
    folder = Path(folder)
    save_tensors(folder / FLOAT_FILE, module.state_dict())
    save_tensors(folder / QUANTIZED_FILE, network_tensors(held.quantized))
    save_tensors(folder / CHIP_FILE, network_tensors(held.chip))
    save_seen(folder, held.seen)
    # As int64, which every version of torch has.
    ids = torch.from_numpy(held.evaluated.ids.view(np.int64))
    save_tensors(
        folder / EVALUATED_FILE, {"ids": ids, "classes": torch.from_numpy(held.evaluated.classes)}
    )
    config = _Config(
        held.name, held.class_names, held.data,
        None if held.framing is None else asdict(held.framing), asdict(held.fit), held.seed,
        held.chip.notes,
    )  # fmt: skip
    write_json(
        folder / CONFIG_FILE,
        {
            "format": FORMAT,
            "version": VERSION,
            "config": asdict(config),
            "network": described_network(held.chip),
            "accuracy": dict(held.accuracy),
            "training": dict(held.training),
        },
    )


def load_network(folder: str | Path) -> NetworkCheckpoint:
    """Read a checkpoint. Raises BadInput naming the file and the entry that is missing or damaged."""
    path, raw = read_config(folder, FORMAT, VERSION)
    try:
        config = _Config(
            **plain(converted(raw.get("config"), structure(_Config, required=True), "config"))
        )
        fit = _typed(config.fit, Fit, "config.fit")
        framing = (
            None if config.framing is None else _typed(config.framing, Framing, "config.framing")
        )
        if fit.pool < 1 or (
            framing and not (framing.frame_ms > 0 and 1 <= framing.steps <= MAX_STEPS)
        ):
            raise BadInput(f"keys 'config.fit' {fit} and 'config.framing' {framing} are no frames")
        accuracy, training = described(raw, "accuracy", "training")
        if not config.class_names:
            raise BadInput("key 'config.class_names' is empty")
    except BadInput as error:
        raise BadInput(f"{path / CONFIG_FILE}: {error}") from error
    chip, quantized = (_network(path, raw, file) for file in (CHIP_FILE, QUANTIZED_FILE))
    chip.notes = quantized.notes = config.notes
    return NetworkCheckpoint(
        config.name, chip, quantized, config.class_names, config.data, framing, fit, config.seed,
        _evaluated(path / EVALUATED_FILE), read_seen(path), accuracy, training,
    )  # fmt: skip


def _network(folder: Path, raw: Mapping[str, Any], file: str) -> ChipNetwork:
    tensors = read_weights(folder / file)
    try:
        return network_from(raw.get("network"), tensors)
    except BadInput as error:
        raise BadInput(f"{folder / file}: {error}") from error


def _evaluated(path: Path) -> Evaluated:
    tensors = read_weights(path)
    found = [tensors.get(name) for name in ("ids", "classes")]
    ids, classes = (_vector(path, x) for x in found)
    if len(ids) != len(classes):
        raise BadInput(f"{path}: {len(ids)} ids and {len(classes)} classes")
    return Evaluated(ids.view(np.uint64), classes)


def _vector(path: Path, tensor: Tensor | None) -> NDArray[np.int64]:
    if tensor is None or tensor.ndim != 1 or tensor.dtype != torch.int64:
        raise BadInput(f"{path}: expected 'ids' and 'classes', int64 [samples] each")
    return tensor.numpy()


def _typed(raw: Any, kind: Any, key: str) -> Any:
    return kind(**plain(converted(raw, structure(kind, required=True), key)))
