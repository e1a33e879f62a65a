"""A snnTorch network from a Python file of one's own, `FILE.py:NAME`, with its weights from a file."""

import importlib.util
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

from torch import nn

from deploy.errors import BadInput
from export.deployment.deployment import Deployment
from export.frontends.frontend import Request
from export.frontends.network import from_module
from neuroclip.storage.weights import check_tensors, read_weights


def from_python(model: str, request: Request) -> Deployment:
    """A deployment of the network that NAME in FILE.py is or makes, on spikes.

    NAME: a module, or a class or function that makes one without arguments. The file is run, as
    Python's own `import` does. Raises BadInput naming the file and what is wrong with it.
    """
    file, _, name = model.rpartition(":")
    if not name.isidentifier():
        raise BadInput(f"{model}: say what in it makes the network, as FILE.py:NAME")
    made = _made(Path(file), name)
    if request.weights is not None:
        path = Path(request.weights)
        weights = read_weights(path)
        check_tensors(made, weights, path)
        made.load_state_dict(weights)
    return replace(from_module(made, request), model=name)


def _made(path: Path, name: str) -> nn.Module:
    if not path.is_file():
        raise BadInput(f"{path}: no such file")
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    # What stands beside it can be imported by it, as it can by a script.
    sys.path.insert(0, str(path.parent.resolve()))
    try:
        spec.loader.exec_module(module)
        found: Any = getattr(module, name, None)
        if found is None:
            raise BadInput(f"{path}: has no '{name}'")
        made = found if isinstance(found, nn.Module) else found()
    except BadInput:
        raise
    except Exception as error:
        line = str(error).splitlines()[0] if str(error) else ""
        raise BadInput(f"{path}: '{name}' stops with {type(error).__name__}: {line}") from error
    finally:
        sys.path.remove(str(path.parent.resolve()))
    if not isinstance(made, nn.Module):
        raise BadInput(f"{path}: '{name}' makes a {type(made).__name__}, expected a torch module")
    return made
