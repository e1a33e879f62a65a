"""The program in the steps of a chip, as it is mapped, counted, priced and timed, and its comparison."""

from dataclasses import replace
from typing import Any

from deploy.compare.parity import Parity, compare_recordings, recordings
from deploy.emulate.chip_steps import emulate_timed
from deploy.emulate.trace import Trace
from deploy.errors import BadInput, CheckFailed
from deploy.hardware.chip import Chip
from deploy.map.lower import OnChip, lower_to_chip
from deploy.map.partition import require_fit
from deploy.program.program import Program
from deploy.program.timed import Timed
from export.targets.target import Arrays

NOT_ON_A_CHIP = "not on a chip"
# Neuron updates of the samples that are compared step by step: half a second of NumPy.
_UPDATES = 1 << 23


def on_chip(program: Program, chip: Chip, seed: int) -> tuple[OnChip, list[str]]:
    """The program on a chip that delays one step a layer; the program as it is, and a warning, where
    none can run it. Raises CheckFailed where it does not fit."""
    try:
        return lower_to_chip(program, chip, seed), []
    except BadInput as error:
        require_fit(program, chip)
        as_it_is = Timed(program, program, dict.fromkeys((p.name for p in program.populations), 0))
        why = f"no chip runs this: {error}; cores, operations, energy and time are of the emulator's steps"
        return OnChip(as_it_is, NOT_ON_A_CHIP, {}, {NOT_ON_A_CHIP: str(error)}), [why]


def compared_samples(of: Timed, timesteps: int) -> int:
    """Of how many samples the recordings are held against the program in the chip's steps."""
    steps = (timesteps + of.depth) * sum(p.size for p in of.program.populations)
    return max(1, _UPDATES // steps)


def lowered_json(found: OnChip, inputs: Arrays, trace: Trace, strict: bool) -> dict[str, Any]:
    """The report's `lowered`: how messages wait, and "equal", the comparison of the first samples.

    Where a spike or a state differs, raises CheckFailed if it is `strict`.
    """
    parity = None if found.way == NOT_ON_A_CHIP else _compared(found.timed, inputs, trace)
    if strict and parity is not None and not parity.ok:
        raise CheckFailed(f"lowered to a step a layer: {parity.describe()}")
    equal = None if parity is None else parity.to_json()
    return found.to_json() | {"equal": equal}


def _compared(of: Timed, inputs: Arrays, trace: Trace) -> Parity | None:
    """The emulator's recordings against the timed program's, over the first `compared_samples`."""
    ours = recordings(trace)
    samples = min([compared_samples(of, trace.timesteps), *map(len, ours.values())], default=0)
    if not samples or not ours:
        return None
    found = emulate_timed(of, {name: x[:samples] for name, x in inputs.items()})
    ours = {entry: x[:samples] for entry, x in ours.items()}
    return replace(
        compare_recordings(
            "emulator", ours, "timed", {e: found[e] for e in ours}, silent=trace.readout
        ),
        registers_compared=False,
    )
