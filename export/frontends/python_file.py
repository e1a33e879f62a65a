"""A snnTorch network from a Python file of one's own, `FILE.py:NAME`, with its weights from a file."""

from dataclasses import replace

from export.deployment.deployment import Deployment
from export.frontends.frontend import Request
from export.frontends.module import from_module
from neuroclip.network.module_file import module_of


def from_python(model: str, request: Request) -> Deployment:
    """A deployment of the network that NAME in FILE.py is or makes; see `module_of` and `from_module`."""
    made = module_of(model, request.weights)
    return replace(from_module(made, request), model=model.rpartition(":")[2])
