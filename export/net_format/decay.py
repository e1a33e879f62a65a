"""Decays of `.net` files that are one below those their recordings were made with.

lava-dl 0.6.0 stores vDecay as it computes with it, but published files were made by other versions,
and a stored decay has been seen one below the register that reproduces its recording. A file alone
does not show it; its recorded spikes do.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from deploy.emulate.fast import emulate_fast
from deploy.errors import BadInput
from deploy.program.program import Program, Shape
from export.net_format.read import read_net


def decay_offsets(
    path: Path,
    inputs: Mapping[str, NDArray[Any]],
    recorded: Mapping[str, NDArray[Any]],
    *,
    input_shape: Shape | None,
    input_range: tuple[Any, Any],
) -> tuple[dict[str, int], tuple[str, ...]]:
    """({layer: 1} where the stored vDecay is one too low, what was found in words).

    inputs: as for `emulate`. recorded: {layer: spikes [samples, time, *shape]} of some layers, in
    sample time. Layers are taken in order: where a recorded layer differs with its stored decay and
    is equal with the next one, that one is taken for it.
    Raises BadInput for a recording that is of no layer or of another shape.
    """
    offsets: dict[str, int] = {}
    found: list[str] = []

    def program(more: Mapping[str, int]) -> Program:
        return read_net(path, input_shape=input_shape, input_range=input_range, v_offsets=more)

    def mismatches(layer: str, more: Mapping[str, int]) -> int:
        spikes = emulate_fast(program(more), inputs, "spikes").s[layer]
        return int(np.count_nonzero(spikes != recorded[layer]))

    stored = program({})
    _check(stored, inputs, recorded)
    for layer in (p.name for p in stored.populations if p.name in recorded):
        size = recorded[layer].size
        wrong = mismatches(layer, offsets)
        if not wrong:
            continue
        dv = stored.population(layer).registers.get("dv", np.zeros(1, np.int32))
        if not dv.any() or mismatches(layer, offsets | {layer: 1}):
            found.append(
                f"node '{layer}': {wrong} of {size} recorded spikes differ with its stored vDecay, "
                "and with the next one too"
            )
            continue
        offsets[layer] = 1
        found.append(
            f"node '{layer}': with its stored vDecay {_span(dv)}, {wrong} of {size} recorded spikes "
            f"differ; with {_span(dv + 1)}, which is used, none (--net-decay stored keeps the file's)"
        )
    return offsets, tuple(found)


def _check(
    program: Program, inputs: Mapping[str, NDArray[Any]], recorded: Mapping[str, NDArray[Any]]
) -> None:
    samples, steps = next(iter(inputs.values())).shape[:2]
    for layer, spikes in recorded.items():
        expected = samples, steps, *program.population(layer).shape
        if spikes.shape != expected:
            raise BadInput(f"array '{layer}/s' has shape {spikes.shape}, expected {expected}")


def _span(values: NDArray[Any]) -> str:
    low, high = int(values.min()), int(values.max())
    return str(low) if low == high else f"{low}..{high}"
