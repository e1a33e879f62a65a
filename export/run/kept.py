"""Chunks of a run that are done, kept so that a killed run goes on where it stopped.

They lie in a hidden folder inside the output folder, which goes once the run has ended.
"""

import hashlib
import json
import shutil
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from deploy.compare.parity import Divergence, Parity
from deploy.emulate.trace import QUANTITIES, Trace
from deploy.errors import BadInput
from deploy.files import read_npz, write_npz
from deploy.program.file import digest
from deploy.program.program import Program
from export.quantization.fidelity import Counted

FOLDER = ".unfinished"
_GROUPS = (*QUANTITIES, "messages", "readout", "per_step")


@dataclass(frozen=True, eq=False)
class Chunk:
    """What one chunk of samples came to: predictions by executor, pairs compared, and the trace.

    fidelity: how its spikes compare with the float graph's, see `export.quantization.fidelity`; empty
    if none.
    """

    predictions: dict[str, NDArray[np.int64]]
    pairs: tuple[Parity, ...]
    trace: Trace
    fidelity: Counted = field(default_factory=dict)


@dataclass(frozen=True)
class Kept:
    """Chunks in `folder`, of the run that `key` names; a folder of None keeps nothing."""

    folder: Path | None
    key: str = ""

    def save(self, start: int, chunk: Chunk) -> None:
        """Write the chunk that begins with sample `start`, whole or not at all."""
        if self.folder is None:
            return
        header = {
            "key": self.key,
            "pairs": [asdict(pair) for pair in chunk.pairs],
            "observed": chunk.trace.observed,
            "fidelity": chunk.fidelity,
            "samples": chunk.trace.samples,
            "timesteps": chunk.trace.timesteps,
        }
        arrays: dict[str, NDArray[Any]] = {
            "chunk.json": np.frombuffer(json.dumps(header).encode(), np.uint8)
        }
        arrays |= {f"predictions/{name}": x for name, x in chunk.predictions.items()}
        for group in _GROUPS:
            arrays |= {f"{group}/{n}": x for n, x in getattr(chunk.trace, group).items()}
        write_npz(self._file(start), arrays)

    def load(self, start: int) -> Chunk | None:
        """The chunk that begins with sample `start`, or None: there is none of this run."""
        if self.folder is None or not self._file(start).exists():
            return None
        try:
            arrays = read_npz(self._file(start))
            header = json.loads(arrays.pop("chunk.json").tobytes().decode())
            if header["key"] != self.key:
                return None
            found: dict[str, dict[str, Any]] = {group: {} for group in ("predictions", *_GROUPS)}
            for entry, array in arrays.items():
                group, _, name = entry.partition("/")
                found[group][name] = array
            predictions = found.pop("predictions")
            pairs = tuple(_pair(entry) for entry in header["pairs"])
            found["observed"] = header["observed"]
            trace = Trace(header["samples"], header["timesteps"], **found)
            return Chunk(predictions, pairs, trace, header["fidelity"])
        except (BadInput, KeyError, ValueError, TypeError):  # damaged: it runs again
            return None

    def _file(self, start: int) -> Path:
        assert self.folder is not None
        return self.folder / f"{start:09d}.npz"


def keep(out: Path, resume: bool, program: Program, *what: object) -> Kept:
    """Where the chunks of a run into `out` are kept. what: all else that its results depend on.

    Without `resume` those of an earlier run are removed first.
    """
    folder = out / FOLDER
    if not resume:
        shutil.rmtree(folder, ignore_errors=True)
    text = json.dumps([digest(program), *map(str, what)])
    return Kept(folder, hashlib.sha256(text.encode()).hexdigest())


def forget(out: Path) -> None:
    """Remove what was kept: the run has ended, well or not."""
    shutil.rmtree(out / FOLDER, ignore_errors=True)


def _pair(entry: dict[str, Any]) -> Parity:
    first = entry.pop("first_divergence")
    if first is not None:
        first = Divergence(**{**first, "index": tuple(first["index"])})
    return Parity(**entry, first_divergence=first)
