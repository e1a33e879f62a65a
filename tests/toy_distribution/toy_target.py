"""A target in one file: a chip of at most eight neurons a layer, its simulator in plain Python."""

from typing import Any

import numpy as np

from deploy.emulate.reference import emulate
from deploy.errors import BadInput
from deploy.files import write_text
from deploy.program.program import Program, registers
from export.targets.target import Executor, Job, Mapped, Target

LARGEST = 8


class Toy(Target):
    """Holds layers of up to eight neurons, and writes `toy.txt`, a line for each."""

    name = "toy"
    help = "a chip of at most eight neurons a layer"
    files = ("toy.txt",)

    def check(self, program: Program, timesteps: int) -> None:
        """Raises BadInput naming the layer that is too large."""
        for p in program.populations:
            if p.size > LARGEST:
                raise BadInput(
                    f"node '{p.name}': {p.size} neurons, a layer of the toy holds {LARGEST}"
                )

    def latency(self, program: Program) -> dict[str, int]:
        """A step a layer."""
        return {name: i + 1 for i, name in enumerate(program.order)}

    def write(self, job: Job) -> list[str]:
        """The layers, one a line."""
        lines = [f"{p.name} {p.kind} {p.size}" for p in job.program.populations]
        write_text(job.out / "toy.txt", "\n".join([*lines, ""]))
        return ["the toy has no power switch"]

    def executor(self, job: Job) -> Executor:
        """Its simulator, whose registers are those that it was given."""
        return Executor("toy", lambda x: emulate(job.program, x), lambda: registers(job.program))

    def cross_check(self, job: Job, mapped: Mapped) -> dict[str, Any]:
        """How many messages went by, of the samples that were recorded."""
        sent = {name: int(np.count_nonzero(x)) for name, x in mapped.sent.items()}
        return {"ok": True, "messages": sent, "cores": len(mapped.mapping.cores)}
