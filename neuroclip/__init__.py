"""From PyTorch to neuromorphic chips, compared spike for spike. This module is the one door for Python.

    import neuroclip as nc

    report = nc.export(model, spikes, labels, target="lava", out="runs/mine")
    print(report)                            # the summary; a notebook shows the whole page
    report.ok, report.accuracy, report.energy

    program = nc.load("runs/mine/program.npz")
    trace = nc.emulate(program, {"input": spikes})   # every spike and state
    proof = nc.prove(program, timesteps=10)          # which register edges can be reached at all
    chip = nc.load_chip("loihi2")
    on_chip = nc.lower_to_chip(program, chip)        # a step a layer, with what waiting messages take
    mapping = nc.partition(on_chip.timed.program, chip)

`model` is a torch module, a checkpoint's folder or bundled name, or the path of a `.nir` or `.net` file.
What is wrong with an input raises `deploy.errors.BadInput`, in one line that names file, node and value.
Each name is imported when it is first used: importing this module needs neither torch nor numpy.

Inside: learning, from event data and CLIP over the adapter to its quantization to the chip's arithmetic.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from deploy.compare.parity import compare
    from deploy.emulate.reference import emulate
    from deploy.hardware.chip import load_chip
    from deploy.map.lower import lower_to_chip
    from deploy.map.partition import partition
    from deploy.program.file import load_program as load
    from deploy.program.program import Program
    from deploy.prove.proof import prove
    from export.facade import Report, export

    __version__: str

__all__ = [
    "Program",
    "Report",
    "__version__",
    "compare",
    "emulate",
    "export",
    "load",
    "load_chip",
    "lower_to_chip",
    "partition",
    "prove",
]

_WHERE = {
    "Program": "deploy.program.program:Program",
    "Report": "export.facade:Report",
    "compare": "deploy.compare.parity:compare",
    "emulate": "deploy.emulate.reference:emulate",
    "export": "export.facade:export",
    "load": "deploy.program.file:load_program",
    "load_chip": "deploy.hardware.chip:load_chip",
    "lower_to_chip": "deploy.map.lower:lower_to_chip",
    "partition": "deploy.map.partition:partition",
    "prove": "deploy.prove.proof:prove",
}


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


if not TYPE_CHECKING:  # a checker of types sees the imports above, and no other names

    def __getattr__(name: str) -> Any:
        if name == "__version__":
            from importlib.metadata import version

            return version("neuroclip")
        if name not in _WHERE:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        from importlib import import_module

        module, _, attribute = _WHERE[name].partition(":")
        found = globals()[name] = getattr(import_module(module), attribute)
        return found
