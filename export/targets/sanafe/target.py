"""The target `sanafe`: our traffic on SANA-FE, whose counts must be ours."""

from typing import Any

from deploy.program.program import Program
from export.targets.sanafe.files import ARCHITECTURE, NETWORK, require_writable
from export.targets.target import Job, Mapped, Target


class SanaFe(Target):
    """The emulator's run, mapped, its messages routed, counted, charged and timed by SANA-FE."""

    name = "sanafe"
    help = "our emulator, its traffic counted, charged and timed by SANA-FE too"
    files = (ARCHITECTURE, NETWORK)

    def check(self, program: Program, timesteps: int) -> None:
        """Raises BadInput naming the node that SANA-FE cannot hold."""
        require_writable(program)

    def cross_check(self, job: Job, mapped: Mapped) -> dict[str, Any]:
        """`sanafe` of the report, see `export.targets.sanafe.check.cross_check`."""
        from export.targets.sanafe.check import cross_check

        where = job.out, mapped.program, mapped.chip, mapped.mapping, mapped.sent
        return cross_check(*where, timeout=job.timeout)
