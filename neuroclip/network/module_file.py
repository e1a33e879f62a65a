"""A torch module from a Python file of a person's own, `FILE.py:NAME`, with its weights from a file."""

import importlib.util
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

from torch import nn

from deploy.errors import BadInput
from neuroclip.convert.watch.where import where
from neuroclip.storage.weights import check_tensors, read_weights


def module_of(model: str, weights: str | None = None) -> nn.Module:
    """The module that NAME in FILE.py is or makes, with the tensors of a weight file.

    model: "FILE.py:NAME"; NAME is a module, or a class or function that makes one without arguments.
    The file is run, as Python's own `import` does. Raises BadInput naming the file and what is wrong
    with it, with the line of it that stops.
    """
    file, _, name = model.rpartition(":")
    if not name.isidentifier():
        raise BadInput(f"{model}: say what in it makes the network, as FILE.py:NAME")
    made = _made(Path(file), name)
    if weights is not None:
        tensors = read_weights(Path(weights))
        check_tensors(made, tensors, Path(weights))
        made.load_state_dict(tensors)
    return made


def _made(path: Path, name: str) -> nn.Module:
    if not path.is_file():
        raise BadInput(f"{path}: no such file")
    spec = importlib.util.spec_from_file_location(path.stem, path)
    if spec is None or spec.loader is None:
        raise BadInput(f"{path}: not a Python file; its name ends in .py")
    module = importlib.util.module_from_spec(spec)
    # What stands beside it can be imported by it, as it can by a script.
    sys.path.insert(0, str(path.parent.resolve()))
    try:
        spec.loader.exec_module(module)
        found: Any = getattr(module, name, None)
        if found is None:
            raise BadInput(
                f"{path}: has no '{name}'; it has {', '.join(_names(module)) or 'nothing'}"
            )
        made = found if isinstance(found, nn.Module) else found()
    except BadInput:
        raise
    except Exception as error:
        raise BadInput(f"{path}: '{name}' stops {where(error)}") from error
    finally:
        sys.path.remove(str(path.parent.resolve()))
    if not isinstance(made, nn.Module):
        raise BadInput(f"{path}: '{name}' makes a {type(made).__name__}, expected a torch module")
    return made


def _names(module: ModuleType) -> list[str]:
    """What the file itself defines that may make a network."""
    return [
        name
        for name, value in vars(module).items()
        if isinstance(value, nn.Module) or getattr(value, "__module__", None) == module.__name__
    ]
