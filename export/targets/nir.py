"""The target `nir`: the network as a NIR graph, for the simulators and chips that read those."""

from deploy.errors import BadInput
from export.targets.target import Job, Target


class Nir(Target):
    """`model.nir`, which every target leaves behind, and nothing else is made."""

    name = "nir"
    help = "a NIR graph of the integers, model.nir, for other simulators and chips"
    files = ("model.nir",)
    runs = False
    made = "written, read back, and equal register by register"

    def write(self, job: Job) -> list[str]:
        """The graph lies there already, unless NIR cannot hold the program: then raises BadInput."""
        if job.no_graph:
            raise BadInput(f"{job.model}: {job.no_graph}")
        return []
