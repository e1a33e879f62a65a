"""The page of a run made again from the files of its folder."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from deploy.emulate.trace import load_trace
from deploy.errors import BadInput
from deploy.files import read_npz
from deploy.program.file import load_program
from deploy.program.program import Program
from deploy.report.html import write_report
from deploy.run.evidence import FRAMES, INPUTS


def rewrite(page: Path, report: Mapping[str, Any]) -> None:
    """Write the page of a run into its folder, from what lies there beside the program.

    Without a trace (--record none), inputs or frames (older runs) it shows that much less. Raises
    BadInput naming a file that holds something else.
    """
    folder = page.parent
    program = load_program(folder / "program.npz")
    trace, inputs, frames = (folder / name for name in ("trace.npz", INPUTS, FRAMES))
    shown = load_trace(trace) if trace.exists() else {}
    if shown and inputs.exists():
        shown = _inputs(inputs, program, len(next(iter(shown.values())))) | shown
    write_report(page, report, shown, program, _frames(frames) if frames.exists() else None)


def _inputs(path: Path, program: Program, samples: int) -> dict[str, NDArray[Any]]:
    """The messages of the program's inputs in the samples that the trace has."""
    held = read_npz(path)
    found = {}
    for node in program.inputs:
        sent = held.get(node.name)
        if sent is None or sent.dtype.kind not in "biu" or sent.shape[2:] != node.shape:
            raise BadInput(f"{path}: no integers [samples, time, *{node.shape}] of '{node.name}'")
        found[f"{node.name}/s"] = sent[:samples]
    return found


def _frames(path: Path) -> NDArray[np.uint8]:
    frames = read_npz(path).get("frames")
    if frames is None or frames.dtype != np.uint8 or frames.ndim != 4 or not frames.size:
        raise BadInput(f"{path}: its 'frames' are no uint8 [samples, slices, height, width]")
    return frames
