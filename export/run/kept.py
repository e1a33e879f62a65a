"""Chunks of a run that are done, kept so that a killed run goes on where it stopped.

They lie in a hidden folder inside the output folder, which goes once the run has ended.
"""

import hashlib
import json
import shutil
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from deploy.compare.parity import Divergence, Parity
from deploy.emulate.trace import QUANTITIES, Trace
from deploy.program.file import digest
from deploy.program.program import Program
from deploy.run.stream import Kept, grouped
from export.quantization.fidelity import Counted

FOLDER = ".unfinished"
_GROUPS = (*QUANTITIES, "messages", "readout", "per_step")


@dataclass(frozen=True, eq=False)
class Chunk:
    """What one chunk of samples came to: predictions by executor, pairs compared, and the trace.

    fidelity: how its spikes compare with the float graph's, see `export.quantization.fidelity`; empty
    if none. checked: sums that executors compared themselves, see `export.targets.target.Executor`.
    """

    predictions: dict[str, NDArray[np.int64]]
    pairs: tuple[Parity, ...]
    trace: Trace
    fidelity: Counted = field(default_factory=dict)
    checked: Mapping[str, int] = field(default_factory=dict)

    def packed(self) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
        """What JSON holds of it, and its arrays."""
        header = {
            "pairs": [asdict(pair) for pair in self.pairs],
            "observed": self.trace.observed,
            "fidelity": self.fidelity,
            "checked": self.checked,
            "samples": self.trace.samples,
            "timesteps": self.trace.timesteps,
        }
        arrays: dict[str, NDArray[Any]] = {
            f"predictions/{name}": x for name, x in self.predictions.items()
        }
        for group in _GROUPS:
            arrays |= {f"{group}/{n}": x for n, x in getattr(self.trace, group).items()}
        return header, arrays

    @staticmethod
    def unpacked(header: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]]) -> "Chunk":
        """The chunk of which `packed` gave this."""
        found: dict[str, Any] = grouped(arrays, ("predictions", *_GROUPS))
        predictions = found.pop("predictions")
        pairs = tuple(_pair(entry) for entry in header["pairs"])
        found["observed"] = header["observed"]
        trace = Trace(header["samples"], header["timesteps"], **found)
        return Chunk(predictions, pairs, trace, header["fidelity"], header["checked"])


def keep(out: Path, resume: bool, program: Program, *what: object) -> Kept[Chunk]:
    """Where the chunks of a run into `out` are kept. what: all else that its results depend on.

    Without `resume` those of an earlier run are removed first.
    """
    folder = out / FOLDER
    if not resume:
        shutil.rmtree(folder, ignore_errors=True)
    text = json.dumps([digest(program), *map(str, what)])
    return Kept(Chunk.unpacked, folder, hashlib.sha256(text.encode()).hexdigest())


def forget(out: Path) -> None:
    """Remove what was kept: the run has ended, well or not."""
    shutil.rmtree(out / FOLDER, ignore_errors=True)


def _pair(entry: dict[str, Any]) -> Parity:
    first = entry.pop("first_divergence")
    if first is not None:
        first = Divergence(**{**first, "index": tuple(first["index"])})
    return Parity(**entry, first_divergence=first)
