"""Reading and writing CLIP weight files: safetensors, or torch files, nothing of which is run."""

import hashlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import nn
from torch.overrides import TorchFunctionMode

from deploy.errors import BadInput
from deploy.files import atomic_path
from deploy.output import WRITTEN_BY
from neuroclip.storage.safetensors_file import check_safetensors
from neuroclip.storage.torch_file import torch_tensors


def save_weights(path: Path, module: nn.Module) -> None:
    """Write a module's tensors as safetensors, atomically."""
    save_tensors(path, module.state_dict())


def save_tensors(
    path: Path, tensors: Mapping[str, torch.Tensor], metadata: Mapping[str, str] | None = None
) -> None:
    """Write named tensors, and text about them, as safetensors that are known as ours, atomically."""
    # Copies, since safetensors refuses tensors that share memory.
    held = {name: x.detach().cpu().clone().contiguous() for name, x in tensors.items()}
    with atomic_path(path) as temporary:
        try:
            save_file(held, temporary, WRITTEN_BY | dict(metadata or {}))
        except SafetensorError as error:  # of a full disk, too
            raise BadInput(f"{path}: cannot write: {_line(error)}") from error


def read_weights(path: Path) -> dict[str, torch.Tensor]:
    """Named tensors of a weight file: `.safetensors`, else a file of torch's own (see `torch_file`).

    Raises BadInput naming the file: absent, damaged, or not named tensors.
    """
    path = Path(path)
    if path.suffix == ".safetensors":
        check_safetensors(path)
        try:
            return load_file(path)
        except (SafetensorError, OSError, ValueError) as error:
            raise BadInput(f"{path}: not a readable safetensors file: {_line(error)}") from error
    tensors = torch_tensors(path)
    if not tensors:
        raise BadInput(f"{path}: holds no tensors")
    for name, value in tensors.items():
        if not isinstance(value, torch.Tensor):
            raise BadInput(f"{path}: entry '{name}' is {type(value).__name__}, expected a tensor")
    return tensors


# What fills a tensor with numbers drawn, or with one number.
_DRAWS = frozenset(
    {
        torch.Tensor.uniform_,
        torch.Tensor.normal_,
        nn.init.uniform_,
        nn.init.normal_,
        nn.init.kaiming_uniform_,
    }
)
_FILLED = frozenset({torch.zeros, torch.ones})


class _Unfilled(TorchFunctionMode):
    """Shapes alone: to compute values on the meta device torch imports sympy, for most of a second."""

    def __torch_function__(
        self, called: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        kwargs = kwargs or {}
        if called in _DRAWS:
            return args[0] if args else kwargs["tensor"]
        if called is torch.arange:  # a few numbers, which the host computes with
            kwargs = kwargs | {"device": "cpu"}
        return (torch.empty if called in _FILLED else called)(*args, **kwargs)


@contextmanager
def outlined() -> Iterator[None]:
    """A module made within has its weights on the meta device: their shapes, and no memory."""
    with torch.device("meta"), _Unfilled():
        yield


def check_tensors(module: nn.Module, tensors: Mapping[str, torch.Tensor], path: Path) -> None:
    """Check that tensors are those of a module, which may lie on the meta device.

    Raises BadInput as `check_named` does.
    """
    check_named(module.state_dict(), tensors, path)


def fill_module(module: nn.Module, tensors: Mapping[str, torch.Tensor], path: Path) -> None:
    """Copy tensors into a module. Raises BadInput as `check_named` does."""
    check_tensors(module, tensors, path)
    module.load_state_dict(dict(tensors))


def check_named(
    expected: Mapping[str, torch.Tensor], tensors: Mapping[str, torch.Tensor], path: Path
) -> None:
    """Check that a file's tensors are those of a model; `expected` may hold shapes only ("meta").

    Raises BadInput naming the file, the tensor and the value: a tensor missing or unknown, of
    another shape or kind of number, or holding NaN or infinity.
    """
    for name in expected:
        if name not in tensors:
            raise BadInput(f"{path}: tensor '{name}' is missing: weights of another model")
    for name, tensor in tensors.items():
        if name not in expected:
            raise BadInput(f"{path}: unknown tensor '{name}': weights of another model")
        needed = expected[name]
        if tensor.shape != needed.shape:
            raise BadInput(
                f"{path}: tensor '{name}' has shape {tuple(tensor.shape)}, "
                f"the model needs {tuple(needed.shape)}"
            )
        if tensor.is_floating_point() != needed.is_floating_point() or tensor.is_complex():
            raise BadInput(
                f"{path}: tensor '{name}' holds {tensor.dtype}, the model needs {needed.dtype}"
            )
        # As the model will hold it: what float64 can, float32 may not.
        if not bool(torch.isfinite(tensor.to(needed.dtype)).all()):
            raise BadInput(f"{path}: tensor '{name}' holds NaN or infinity")


def weights_digest(module: nn.Module) -> str:
    """SHA-256 over a module's tensors and their names, as hexadecimal text."""
    digest = hashlib.sha256()
    for name, tensor in sorted(module.state_dict().items()):
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        digest.update(tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy())
    return digest.hexdigest()


def _line(error: Exception) -> str:
    return str(error).splitlines()[0] if str(error) else type(error).__name__
