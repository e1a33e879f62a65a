"""The target `lava`: Lava's fixed-point simulation, every spike, state and register compared."""

from typing import Any

from numpy.typing import NDArray

from deploy.emulate.trace import Trace
from deploy.errors import BadInput
from deploy.program.pipeline_latency import latency_steps
from deploy.program.program import Program
from export.targets.target import Arrays, Executor, Job, Mapped, Target


class Lava(Target):
    """Lava in its worker process, and `lava_network.py`, which rebuilds the network there."""

    name = "lava"
    help = "Lava's fixed-point simulation, in a Python 3.10 that has it (--lava-python)"
    files = ("lava_network.py",)
    has_stock = True

    def check(self, program: Program, timesteps: int) -> None:
        """Raises BadInput naming the node that Lava cannot run exactly."""
        from export.targets.lava.client import check_program

        check_program(program)

    def latency(self, program: Program) -> dict[str, int]:
        """One step a layer."""
        return latency_steps(program)

    def write(self, job: Job) -> list[str]:
        """Write `lava_network.py`, or say why stock processes, unlike our worker's, cannot do it."""
        from export.targets.lava.script import write_lava_script

        try:
            write_lava_script(job.out / "lava_network.py", job.program, job.timesteps)
        except BadInput as error:
            return [f"lava_network.py is not written: {error}"]
        return []

    def executor(self, job: Job) -> Executor:
        """Lava's simulation in its worker process; its registers are those its models reported."""
        from export.targets.lava.client import run_lava

        held: dict[str, NDArray[Any]] = {}
        checked: dict[str, int] = {}

        def execute(inputs: Arrays) -> Trace:
            result = run_lava(
                job.program, inputs, python=job.python, timeout=job.timeout, stock=job.stock
            )
            checked.clear()
            checked.update(result.checked)
            held.update(result.registers)
            for stage, seconds in result.timings.items():
                name = f"lava {stage.removesuffix('_s')}"
                job.seconds[name] = job.seconds.get(name, 0.0) + seconds
            return result.trace

        return Executor("lava", execute, lambda: held, checked=lambda: checked)

    def cross_check(self, job: Job, mapped: Mapped) -> dict[str, Any]:
        """Whose arithmetic summed each connection: {"stock", "arithmetic": {connection: {"by",
        "synapses", "sums_checked"}}, "own_share": of the synapses, "sums_checked"}."""
        from export.targets.lava.parts.synapses import recorded

        each: dict[str, dict[str, Any]] = {
            c.name: {
                "by": recorded(c, job.stock).by,
                "synapses": c.synapse_count(),
                "sums_checked": mapped.checked.get(c.name, 0),
            }
            for c in job.program.connections
        }
        own = sum(e["synapses"] for e in each.values() if e["by"].startswith("our"))
        return {
            "ok": True,
            "stock": job.stock,
            "arithmetic": each,
            "own_share": own / max(1, sum(e["synapses"] for e in each.values())),
            "sums_checked": sum(e["sums_checked"] for e in each.values()),
        }
