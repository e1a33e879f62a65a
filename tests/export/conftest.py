"""What tests beside other simulators share: a comparison with Lava, and sweeps that add up."""

import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from deploy.emulate.reference import emulate
from deploy.emulate.trace import Record, Trace
from deploy.program.program import Program, registers
from export.targets.lava.client import run_lava


@pytest.fixture(scope="session")
def lava() -> None:
    """Skips where Lava is not installed."""
    if find_spec("lava") is None:
        pytest.skip("Lava is not installed (Python 3.10 only)")


@pytest.fixture(scope="session")
def equal_on_lava(lava: None) -> Callable[..., tuple[Trace, Any]]:
    """A function that runs a program on Lava and on the emulator: (the emulator's trace, Lava's run).

    Every register that Lava held, and every array of the trace with its type, must be equal.
    """

    def compare(
        program: Program,
        inputs: dict[str, np.ndarray],
        record: Record = "all",
        stock: bool = False,
    ) -> tuple[Trace, Any]:
        expected = emulate(program, inputs, record, observe=True)
        run = run_lava(program, inputs, record, progress=False, stock=stock)
        held = registers(program)
        assert run.registers.keys() == held.keys()
        for name, register in held.items():
            np.testing.assert_array_equal(run.registers[name], register, name)
        assert (run.trace.samples, run.trace.timesteps) == (expected.samples, expected.timesteps)
        for quantity in ("s", "u", "v", "messages", "readout"):
            found, wanted = getattr(run.trace, quantity), getattr(expected, quantity)
            assert found.keys() == wanted.keys()
            for name, array in wanted.items():
                assert found[name].dtype == array.dtype, (quantity, name)
                np.testing.assert_array_equal(found[name], array, f"{quantity} of {name}")
        return expected, run

    return compare


@pytest.fixture
def once() -> Callable[[str, range], AbstractContextManager[None]]:
    """`with once("lava", range(1000, 1008)):` runs one part of a sweep, unless it was done before.

    The environment variable NEUROCLIP_SWEEP names the file of what is done, a line for each part
    that passed: "lava 1000 1008". A part listed there is skipped, one that fails is not listed, and
    several processes may write it at a time. Without the variable every part runs.
    """
    file = os.environ.get("NEUROCLIP_SWEEP")

    @contextmanager
    def part(name: str, seeds: range) -> Iterator[None]:
        line = f"{name} {seeds.start} {seeds.stop}"
        if file and Path(file).exists() and line in Path(file).read_text().splitlines():
            pytest.skip(f"done before: {line}")
        yield
        if file:
            # One short write to the end of a file is never mixed with another's.
            with open(file, "a") as done:
                done.write(line + "\n")

    return part
