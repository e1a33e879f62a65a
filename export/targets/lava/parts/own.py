"""Kinds of neurons of one's own in the worker, which is another process: the modules to import there."""

import sys
from pathlib import Path

from deploy.errors import BadInput
from deploy.neurons import BUNDLED
from deploy.program.program import Program
from export.targets.lava.parts.neurons import lava_neurons


def own_modules(program: Program) -> dict[str, Path]:
    """The modules that register the kinds which are not bundled: {import name: what to put on the path}.

    That is the module's file, or the folder of its package. Raises BadInput for one without a file.
    """
    found: dict[str, Path] = {}
    for p in program.populations:
        if p.kind in BUNDLED:
            continue
        for name in filter(None, (type(p).__module__, lava_neurons(p).module)):
            file = getattr(sys.modules.get(name), "__file__", None)
            if file is None:
                raise BadInput(f"node '{p.name}': module '{name}' has no file for the Lava worker")
            path = Path(file).absolute()
            if name == "__main__":
                found[path.stem] = path
            else:
                inside = name.count(".") + (path.name == "__init__.py")
                found[name] = path if inside == 0 else path.parents[inside - 1]
    return found
