"""What a run leaves to those who doubt it: the inputs it ran on, and the hashes of its files."""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from deploy.reading import opened

Arrays = Mapping[str, NDArray[Any]]

INPUTS = "inputs.npz"
FRAMES = "frames.npz"
LABELS = "labels"
ON_CHIP = "chip_program.npz"
# What another run of the same program, inputs and mapping writes again, byte for byte.
_IDENTIFYING = ("program.npz", INPUTS, "trace.npz", "mapping.json")
_FILES = ("model.nir", *_IDENTIFYING, ON_CHIP)
# All inputs are kept up to this size in memory, else those of the recorded samples.
_MAX_BYTES = 64 << 20


def data_sha256(inputs: Arrays, labels: NDArray[Any] | None) -> str:
    """SHA-256 of the messages that the chip sees and of the labels, as hexadecimal text."""
    digest = hashlib.sha256()
    for name, messages in sorted(inputs.items()):
        digest.update(f"{name} {messages.shape}".encode())
        for sample in messages:  # one by one: a copy of all may not fit beside them
            digest.update(np.ascontiguousarray(sample, dtype=np.int32).tobytes())
    if labels is not None:
        digest.update(labels.tobytes())
    return digest.hexdigest()


def kept_inputs(inputs: Arrays, labels: NDArray[Any] | None, recorded: int) -> Arrays:
    """The arrays of `inputs.npz`, which is a file of spikes as `neuroclip-export --data` reads it.

    inputs: {name: integers [samples, time, *shape]}. All samples, or, above 64 MiB, the first
    `recorded`, of which the trace has the recordings; with their labels.
    """
    whole = sum(x.nbytes for x in inputs.values()) <= _MAX_BYTES
    part = slice(None if whole else recorded)
    found = {name: np.asarray(x[part]) for name, x in inputs.items()}
    return found if labels is None else found | {LABELS: labels[part]}


def evidence(folder: str | Path) -> dict[str, Any]:
    """The report's `evidence`: the SHA-256 of each file of a run's folder, and one identity of all.

    files: those that are there. identity: of the program, the inputs, the trace and the mapping; two
    runs that share it did the same.
    """
    folder = Path(folder)
    files = {name: _sha256(folder / name) for name in _FILES if (folder / name).is_file()}
    identifying = {name: files[name] for name in _IDENTIFYING if name in files}
    text = json.dumps(identifying, sort_keys=True)
    return {"identity": hashlib.sha256(text.encode()).hexdigest(), "files": files}


def changed(folder: str | Path, report: Mapping[str, Any]) -> list[str]:
    """The files of a run's folder that are gone or no longer hold what the run wrote, a line each.

    report: of the run. Nothing is said of a run from before reports kept hashes.
    """
    folder = Path(folder)
    kept = report.get("evidence")
    files = kept.get("files") if isinstance(kept, dict) else None
    lines = []
    for name, said in files.items() if isinstance(files, dict) else ():
        if name not in _FILES:
            continue
        if not (folder / name).is_file():
            lines.append(f"{name} is gone")
        elif _sha256(folder / name) != said:
            lines.append(f"{name} is not the file that the run wrote")
    return lines


def _sha256(path: Path) -> str:
    digest = hashlib.sha256()
    with opened(path) as stream:
        while block := stream.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()
