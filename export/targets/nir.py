"""The target `nir`: the network as a NIR graph, for the simulators and chips that read those."""

from importlib.util import find_spec

from deploy.errors import BadInput
from export.targets.target import Job, Target


class Nir(Target):
    """`model.nir`, which every target leaves behind, and with `--for` the same in a reader's dialect."""

    name = "nir"
    help = "a NIR graph of the integers, model.nir, for other simulators and chips"
    readers = ("snntorch", "norse", "sinabs")
    files = ("model.nir", *(f"model-{reader}.nir" for reader in readers))
    runs = False
    made = "written, read back, and equal register by register"

    def write(self, job: Job) -> list[str]:
        """The graph lies there already, unless NIR cannot hold the program: then raises BadInput.

        A reader's own file is written beside it, and loaded where that reader is installed: raises
        BadInput for what it cannot hold.
        """
        if job.no_graph:
            raise BadInput(f"{job.model}: {job.no_graph}")
        if job.reader is None:
            return []
        from export.nir_format.read.file import read_nir
        from export.nir_format.write.for_reader import write_for

        file = job.out / f"model-{job.reader}.nir"
        try:
            write_for(file, read_nir(job.out / self.files[0]), job.reader, job.dt)
            if find_spec(job.reader) is not None:
                from export.peers.nir_readers import load

                load(job.reader, file, job.dt, samples=1)
        except BadInput as error:
            raise BadInput(f"{job.model}: {error}") from error
        return []

    def told(self, job: Job) -> tuple[str, str]:
        """Of a reader's own file, how it is read there."""
        if job.reader is None:
            return super().told(job)
        from export.nir_format.write.for_reader import call_for

        file = job.out / f"model-{job.reader}.nir"
        untried = "" if find_spec(job.reader) else ", not tried here, where it is not installed"
        call = call_for(file, job.reader, job.dt)
        return file.name, f"in the dialect of {job.reader}{untried}; loaded by {call}"
