"""Where every value of a forward pass comes from: each element of a tensor is labelled with its origin.

A tensor that something makes, the input, a neuron's spikes or a layer's sums, is an `Origin`, and its
elements are numbered. Whatever only moves elements (views, indices, permutations, `cat`, `stack`, writes
into a buffer) is done to the numbers as well as to the values, so that nothing has to be known about it:

    x [2, 3], numbered 1 … 6;   x[:, [2, 0]]  →  numbers [[3, 1], [6, 4]]

Number 0 is a zero, which sends nothing. The forward pass runs as it is; it is only watched.
"""

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

Labels = NDArray[np.int64]

# What `Tensor` inherits, and has none of its own.
_INDEXING = ("__getitem__", "__setitem__")


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


# What only moves elements, whatever its arguments.
MOVES = _words(
    """
    T mT view reshape view_as reshape_as flatten unflatten permute transpose t movedim moveaxis
    swapaxes swapdims squeeze unsqueeze expand expand_as broadcast_to broadcast_tensors repeat
    repeat_interleave tile contiguous clone detach data requires_grad_ __getitem__ getitem select
    narrow index_select take take_along_dim gather chunk split split_with_sizes tensor_split hsplit
    vsplit dsplit unbind cat concat concatenate stack hstack vstack dstack column_stack flip fliplr
    flipud roll rot90 pad diagonal alias atleast_1d atleast_2d atleast_3d unfold as_strided
    masked_select ravel positive unsqueeze_ squeeze_ transpose_ t_ detach_ swapaxes_ swapdims_
    select_scatter slice_scatter index_put index_copy meshgrid adjoint
    """
)
# Writes of the second kind of argument into the first.
WRITES = _words(
    """
    __setitem__ copy_ index_put_ index_copy_ masked_scatter_ fill_ zero_
    """
)
JOINS = _words(
    """
    cat concat concatenate stack hstack vstack dstack column_stack
    """
)
# Another type of the same numbers; the device is the same.
CASTS = _words(
    """
    to float double half type type_as bfloat16 cpu cuda
    """
)
# What tells nothing of the values.
BLIND = _words(
    """
    zeros_like ones_like empty_like full_like rand_like randn_like new_zeros new_ones new_empty
    new_full new_tensor size stride dim ndimension numel nelement
    """
)
READS = _words(
    """
    item tolist numpy __bool__ __float__ __int__ __index__ __array__ __contains__ equal allclose
    is_nonzero
    """
)


@dataclass(frozen=True, eq=False)
class Origin:
    """What made a tensor; `first` is the number of its first element, the others follow in C order."""

    first: int
    shape: tuple[int, ...]
    name: str


@dataclass(frozen=True, eq=False)
class Sent(Origin):
    """An input, or what a neuron gave at one call: quantity is "input", "spk", "mem" or "syn".

    name: of the input, or of the neurons. call: the step, −1 for every step. axes: of samples,
    steps and the rest, in order: "NF", "NTF" or "TNF".
    """

    quantity: str = "input"
    call: int = 0
    axes: str = "NF"


@dataclass(frozen=True, eq=False)
class Layered(Origin):
    """Sums of a layer: `kind` with its arguments, on rows [..., *source]; more rows than a batch may be."""

    kind: str
    source: tuple[int, ...]
    target: tuple[int, ...]
    inputs: Labels
    arguments: Mapping[str, Any]
    key: tuple[Any, ...]


@dataclass(frozen=True, eq=False)
class Summed(Origin):
    """Element by element the sum of (labels, factor) of the tensor's shape."""

    terms: tuple[tuple[Labels, NDArray[np.float64]], ...]


@dataclass(frozen=True, eq=False)
class Constant(Origin):
    """Values that do not come from the input."""

    values: NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Foreign(Origin):
    """What no layer of a chip does: operation `name` at `where`, or the module of the class `layer`."""

    where: str
    layer: str = ""


class Watch(TorchFunctionMode):
    """Labels the tensors of a forward pass while it is active.

    rules(watch, function, args, kwargs) runs an operation and labels what it gives.
    """

    def __init__(self, model: nn.Module, rules: Callable[..., Any]) -> None:
        super().__init__()
        self.rules = rules
        self.names = {id(module): plain(name) for name, module in model.named_modules()}
        self.modules: list[nn.Module] = []
        self.origins: list[Origin] = []
        self.firsts: list[int] = []
        self.next = 1
        self.paused = False
        self.decided: str | None = None
        """The first operation that turned values into a decision of Python's."""
        self._labels: dict[int, tuple[Tensor, Tensor]] = {}
        self._digests: dict[int, tuple[Tensor, int, bytes]] = {}

    # Labels of tensors

    def labels(self, tensor: Any) -> Tensor | None:
        """The numbers of a tensor's elements, int64 of its shape, or None where nothing is known."""
        found = self._labels.get(id(tensor))
        return found[1] if found is not None else None

    def set_labels(self, tensor: Tensor, labels: Tensor) -> None:
        """Number the elements of a tensor."""
        assert labels.shape == tensor.shape, (labels.shape, tensor.shape)
        self._labels[id(tensor)] = (tensor, labels)

    def made(self, tensor: Tensor, what: type[Origin], name: str, /, **fields: Any) -> None:
        """Number the elements of a tensor that something new made."""
        origin = what(self.next, tuple(tensor.shape), name, **fields)
        self.origins.append(origin)
        self.firsts.append(self.next)
        self.next += max(1, tensor.numel())
        labels = torch.arange(origin.first, origin.first + tensor.numel())
        self.set_labels(tensor, labels.reshape(tensor.shape))

    def known(self, tensor: Tensor) -> Tensor:
        """A tensor's numbers; of one that does not come from the input, those of its constants."""
        found = self.labels(tensor)
        if found is None:
            with self.pause():
                values = tensor.detach().cpu().to(torch.float64)
                if bool((values == 0).all()):
                    return torch.zeros(tensor.shape, dtype=torch.int64)
                self.made(tensor, Constant, "constant", values=values.numpy().copy())
                found = self._labels.pop(id(tensor))[1]
        return found

    @contextmanager
    def pause(self) -> Iterator[None]:
        """Within: what runs is not watched."""
        before, self.paused = self.paused, True
        try:
            yield
        finally:
            self.paused = before

    # Names

    def place(self, function: str) -> str:
        """The module that runs, with the function where it is no layer of torch's."""
        named = [m for m in self.modules if id(m) in self.names]
        path = self.names[id(named[-1])] if named else ""
        return path if self.layer() and path else f"{path}.{function}" if path else function

    def layer(self) -> str:
        """The class of the layer of torch's that runs, or nothing."""
        named = [m for m in self.modules if id(m) in self.names]
        if not named:
            return ""
        kind = type(named[-1])
        own = kind.__module__.startswith("torch.nn") or isinstance(named[-1], nn.Linear | nn.Conv2d)
        return kind.__name__ if own else ""

    def foreign(self, tensor: Tensor, function: str) -> None:
        """Label what no layer of a chip makes."""
        self.made(tensor, Foreign, function, where=self.place(function), layer=self.layer())

    def digest(self, tensor: Tensor | None) -> bytes:
        """The contents of a weight, hashed once."""
        if tensor is None:
            return b""
        held = self._digests.get(id(tensor))
        if held is None or held[1] != tensor._version:
            data = np.ascontiguousarray(tensor.detach().cpu().numpy()).tobytes()
            held = (tensor, tensor._version, hashlib.sha256(data).digest())
            self._digests[id(tensor)] = held
        return held[2]

    # Operations

    def __torch_function__(
        self,
        func: Any,
        types: Any,
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        return self._seen(func, tuple(args), dict(kwargs or {}))

    def __enter__(self) -> "Watch":
        # Torch's modes do not see `x[0]`; both ways of indexing go through here.
        for name in _INDEXING:
            self._replace(name, getattr(torch.Tensor, name))
        super().__enter__()
        return self

    def __exit__(self, *error: Any) -> None:
        super().__exit__(*error)
        for name in _INDEXING:
            delattr(torch.Tensor, name)

    def _replace(self, name: str, func: Any) -> None:
        setattr(torch.Tensor, name, lambda *args: self._seen(func, args, {}))

    def _seen(self, func: Any, args: tuple[Any, ...], named: dict[str, Any]) -> Any:
        if self.paused:
            return func(*args, **named)
        with self.pause():
            return self.rules(self, func, args, named)


def plain(path: str) -> str:
    """A module's path without what torch.compile puts around it."""
    return ".".join(part for part in path.split(".") if part != "_orig_mod")


def tensors_in(value: Any) -> Iterator[Tensor]:
    """Every tensor of nested tuples, lists and dicts."""
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, tuple | list):
        for part in value:
            yield from tensors_in(part)
    elif isinstance(value, dict):
        for part in value.values():
            yield from tensors_in(part)
