"""Kinds of neurons of one's own in the worker, which is another process: the modules to import there."""

import sys
from importlib.util import find_spec
from pathlib import Path

from deploy.errors import BadInput
from deploy.neurons import BUNDLED
from deploy.program.program import Program
from export.targets.lava.parts.neurons import lava_neurons


def own_modules(program: Program) -> dict[str, Path]:
    """The modules behind kinds that are not bundled: {import name: what to put on the path}.

    Those are the modules of the kind, of its registration and of its process; on the path goes the
    module's file, or the folder of its package. Raises BadInput for one without a file.
    """
    found: dict[str, Path] = {}
    for p in program.populations:
        if p.kind in BUNDLED:
            continue
        how = lava_neurons(p)
        process = how.recording(p).partition(":")[0]
        for name in (type(p).__module__, how.arguments.__module__, process):
            path = _file(name)
            if path is None:
                raise BadInput(f"node '{p.name}': module '{name}' has no file for the Lava worker")
            if name == "__main__":
                found[path.stem] = path
            else:
                inside = name.count(".") + (path.name == "__init__.py")
                found[name] = path if inside == 0 else path.parents[inside - 1]
    return found


def _file(name: str) -> Path | None:
    """Where a module is, without importing it: the process's needs Lava."""
    if name in sys.modules:
        file = getattr(sys.modules[name], "__file__", None)
    else:
        spec = find_spec(name)
        file = None if spec is None else spec.origin
    return None if file is None else Path(file).absolute()
