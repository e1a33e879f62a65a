"""The target `netx`: lava-dl's `.net` file, which netx runs on Lava spike for spike."""

from deploy.program.program import Program
from export.targets.target import Job, Target


class Netx(Target):
    """`network.net` beside `model.nir`."""

    name = "netx"
    help = "lava-dl's network.net, which netx runs on Lava spike for spike"
    files = ("network.net",)
    runs = False
    made = "written, read back, and equal register by register"

    def check(self, program: Program, timesteps: int) -> None:
        """Raises BadInput naming the node that netx cannot hold."""
        from export.net_format.chain import netx_layers

        netx_layers(program)

    def write(self, job: Job) -> list[str]:
        """Write `network.net`, read back and compared."""
        from export.net_format.write import write_net

        write_net(job.out / "network.net", job.program)
        return []
