"""What plain values a pickle holds, read from its instructions without running one of them.

CIFAR's own files are pickles, and so is the index of torch's weight files; a pickle of a stranger's is
never loaded, since it may call any function. `pickletools` only tells the instructions apart. Those that
build text, numbers, tuples, lists and dicts are followed here; one that would call a function leaves a
note of what it would call. Of those only numpy's arrays of bytes are made, by `numpy.frombuffer`.
"""

import math
import pickletools
from collections.abc import Callable
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from deploy.errors import BadInput
from deploy.reading import read_content

# CIFAR-100's training part, the largest, has 155 MB.
_MAX_BYTES = 1 << 29
_MAX_DIMENSIONS = 32
# Names of functions, of which there are some tens in a file; values may be named again, not joined again.
_MAX_NAME = 200


@dataclass(eq=False)
class Called:
    """A call that was not made: of which function, with what; and the state that it would be given."""

    name: str
    arguments: Any
    state: Any = None


@dataclass(frozen=True, eq=False)
class Persistent:
    """What a pickle only names, for its reader to look up: in torch's files, a storage."""

    name: Any


def plain_values(path: Path) -> Any:
    """The value of a pickle: dicts, lists, tuples, text, bytes, numbers, and `Called` for the rest.

    Text of Python 2 is bytes. Raises BadInput naming the file: none, too large, no pickle, or one whose
    instructions are not among those that make such values.
    """
    # Of a file, `pickletools` would take as much memory as an instruction declares.
    content = read_content(path, _MAX_BYTES, "a pickle")
    try:
        return value_of(content)
    except (ValueError, IndexError, KeyError, TypeError, AttributeError) as error:
        raise BadInput(f"{path}: not a pickle of plain values: {error}") from error


def bytes_array(value: Any) -> NDArray[np.uint8]:
    """The array of uint8 that a value of `plain_values` stands for.

    Raises BadInput where it stands for anything else.
    """
    makers = ("numpy.core.multiarray _reconstruct", "numpy._core.multiarray _reconstruct")
    if not isinstance(value, Called) or value.name not in makers:
        raise BadInput(f"{_said(value)} stands where an array of bytes was expected")
    try:
        _, shape, dtype, fortran, raw = value.state
        kind = dtype.arguments[0]
        # What is wrong is not shown: of values that hold each other many times, text has no end.
        fits = are_sizes(shape) and isinstance(raw, bytes) and math.prod(shape) == len(raw)
    except (TypeError, ValueError, AttributeError, IndexError) as error:
        raise BadInput(f"an array without shape, type and content: {error}") from error
    if dtype.name != "numpy dtype" or kind not in ("u1", b"u1") or not fits:
        told = f" of type {kind!r}" if isinstance(kind, str | bytes) and len(kind) < 9 else ""
        raise BadInput(f"an array{told}, expected 'u1' and as many bytes as its shape says")
    return np.frombuffer(raw, np.uint8).reshape(shape, order="F" if fortran else "C")


def are_sizes(value: Any) -> bool:
    """Whether a value is a tuple of a few sizes that an array may have."""
    return (
        isinstance(value, tuple)
        and len(value) <= _MAX_DIMENSIONS
        and all(type(n) is int and 0 <= n < 1 << 40 for n in value)
    )


def _said(value: Any) -> str:
    return value.name if isinstance(value, Called) else type(value).__name__


_SAME = {
    "BINSTRING", "SHORT_BINSTRING", "STRING", "BINBYTES", "SHORT_BINBYTES", "BINBYTES8", "BINUNICODE",
    "SHORT_BINUNICODE", "UNICODE", "INT", "BININT", "BININT1", "BININT2", "LONG", "LONG1", "FLOAT",
    "BINFLOAT",
}  # fmt: skip
_CONSTANTS: dict[str, Callable[[], Any]] = {
    "NONE": lambda: None, "NEWTRUE": lambda: True, "NEWFALSE": lambda: False, "EMPTY_DICT": dict,
    "EMPTY_LIST": list, "EMPTY_TUPLE": tuple,
}  # fmt: skip
_TUPLES = {"TUPLE1": 1, "TUPLE2": 2, "TUPLE3": 3}


def value_of(content: bytes | BytesIO) -> Any:
    """The value that a pickle's instructions build (Python's pickletools names and explains them).

    A stream is read up to the end of its first pickle. In time proportional to them. Raises ValueError,
    IndexError, KeyError, TypeError or AttributeError where they build none, or hold others than the plain
    ones.
    """
    stack: list[Any] = []
    # Of text that becomes bytes.
    room = len(content) if isinstance(content, bytes) else content.getbuffer().nbytes
    marks: list[int] = []  # where in the stack
    memo: dict[int, Any] = {}

    def popped(count: int) -> list[Any]:
        if count > len(stack) - (marks[-1] if marks else 0):
            raise ValueError("its stack is empty")
        taken = stack[len(stack) - count :]
        del stack[len(stack) - count :]
        return taken

    def since_mark() -> list[Any]:
        at = marks.pop()
        taken = stack[at:]
        del stack[at:]
        return taken

    for code, given, _ in pickletools.genops(content):
        name, argument = code.name, cast(Any, given)
        if name in _SAME:
            text = name.endswith("STRING") and isinstance(argument, str)
            stack.append(argument.encode("latin-1") if text else argument)
        elif name in _CONSTANTS:
            stack.append(_CONSTANTS[name]())
        elif name == "MARK":
            marks.append(len(stack))
        elif name in ("PROTO", "FRAME"):
            continue
        elif name in ("PUT", "BINPUT", "LONG_BINPUT"):
            memo[int(argument)] = stack[-1]
        elif name == "MEMOIZE":
            memo[len(memo)] = stack[-1]
        elif name in ("GET", "BINGET", "LONG_BINGET"):
            stack.append(memo[int(argument)])
        elif name in _TUPLES:
            stack.append(tuple(popped(_TUPLES[name])))
        elif name == "TUPLE":
            stack.append(tuple(since_mark()))
        elif name == "LIST":
            stack.append(since_mark())
        elif name in ("APPEND", "APPENDS"):
            more = popped(1) if name == "APPEND" else since_mark()
            _of(stack, list).extend(more)
        elif name in ("SETITEM", "SETITEMS", "DICT"):
            pairs = popped(2) if name == "SETITEM" else since_mark()
            if name == "DICT":
                stack.append({})
            # The hash of tuples nested a million deep would overflow the interpreter's own stack.
            if not all(isinstance(key, str | bytes | int) for key in pairs[::2]):
                raise ValueError("it has a key that is no text or number")
            _of(stack, dict).update(zip(pairs[::2], pairs[1::2], strict=True))
        elif name == "GLOBAL":
            stack.append(Called(argument, None))
        elif name == "STACK_GLOBAL":
            names = popped(2)
            if not all(isinstance(name, str) and len(name) <= _MAX_NAME for name in names):
                raise ValueError("it names a function by no name")
            stack.append(Called(" ".join(names), None))
        elif name == "BINPERSID":
            stack.append(Persistent(popped(1)[0]))
        elif name in ("REDUCE", "NEWOBJ"):
            function, arguments = popped(2)
            stack.append(_call(function, arguments))
            room -= len(stack[-1]) if isinstance(stack[-1], bytes) else 0
            if room < 0:
                raise ValueError("it holds more bytes than it is long")
        elif name == "BUILD":
            state = popped(1)[0]
            if isinstance(stack[-1], dict):
                continue  # an OrderedDict's attributes, such as the versions in a state dict
            _of(stack, Called).state = state
        elif name == "STOP":
            (value,) = stack
            return value
        else:
            raise ValueError(f"it holds the instruction {name}")
    raise ValueError("it has no end")


def _of(stack: list[Any], kind: type) -> Any:
    if not isinstance(stack[-1], kind):
        raise ValueError(f"{type(stack[-1]).__name__} stands where a {kind.__name__} was expected")
    return stack[-1]


def _call(function: Any, arguments: Any) -> Any:
    if not isinstance(function, Called) or function.arguments is not None:
        raise ValueError(f"it calls {_said(function)}")
    # How Python 3 writes bytes for readers of Python 2.
    if function.name == "_codecs encode" and arguments[1:] == ("latin1",):
        return arguments[0].encode("latin-1")
    if function.name == "collections OrderedDict" and arguments == ():
        return {}
    return Called(function.name, arguments)
