"""The file of a `Program`: one versioned .npz, a JSON header beside the register arrays."""

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import fields
from functools import cache, partial
from math import prod
from pathlib import Path
from typing import Any, Literal, get_type_hints

import numpy as np
from msgspec import Raw, Struct, defstruct
from msgspec.structs import asdict
from numpy.typing import NDArray

from deploy.arithmetic.registers import IntArray, Shape, array_fields, as_register, check_shape
from deploy.connections import kind_named as connection_named
from deploy.decode import decoded
from deploy.errors import BadInput
from deploy.files import MAX_JSON_BYTES, read_npz, write_npz
from deploy.neurons import Neurons, kind_named
from deploy.program.program import (
    Output,
    Program,
    make_input,
)

FORMAT = "neuroclip-program"
# Version 1 knew populations of kind "lif" and "integrator" without rules of their own.
VERSION = 2

# Weights that a connection may have beyond one a pair of neurons: a kernel can be larger than an image.
_MAX_KERNEL = 1 << 24


def save_program(path: str | Path, program: Program) -> None:
    """Write a program to one versioned .npz file, atomically."""
    path = Path(path)
    write_npz(Path(path), _entries(program))


def digest(program: Program) -> str:
    """SHA-256 of all that a program's file holds, as hexadecimal text."""
    found = hashlib.sha256()
    for name, array in _entries(program).items():
        found.update(f"{name} {array.dtype} {array.shape}".encode())
        found.update(np.ascontiguousarray(array).data)
    return found.hexdigest()


def _entries(program: Program) -> dict[str, NDArray[Any]]:
    arrays: dict[str, NDArray[Any]] = {}
    for node in program.inputs:
        arrays |= {f"{node.name}/low": _compact(node.low), f"{node.name}/high": _compact(node.high)}
    for p in program.populations:
        arrays |= {f"{p.name}/{r}": _compact(x) for r, x in p.registers.items()}
    for c in program.connections:
        for field in array_fields(type(c)):
            values = getattr(c, field)
            arrays[f"{c.name}/{field}"] = values.astype(np.int16) if field == "weight" else values
    header = {
        "format": FORMAT,
        "version": VERSION,
        "inputs": [{"name": n.name, "shape": n.shape} for n in program.inputs],
        "populations": [
            {"name": p.name, "shape": p.shape, "kind": p.kind} | p.settings
            for p in program.populations
        ],
        "connections": [
            {"kind": c.kind}
            | {f.name: getattr(c, f.name) for f in fields(c) if f.name not in array_fields(type(c))}
            for c in program.connections
        ],
        "outputs": [
            {"name": o.name, "source": o.source, "quantity": o.quantity} for o in program.outputs
        ],
    }
    text = json.dumps(header, ensure_ascii=False).encode()
    return {"program.json": np.frombuffer(text, dtype=np.uint8)} | arrays


class _Node(Struct):
    name: str
    kind: str


class _Input(Struct):
    name: str
    shape: Shape


class _Output(Struct):
    name: str
    source: str
    quantity: Literal["s", "v"]


class _Head(Struct):
    format: Any = None
    version: Any = None


class _Header(Struct):
    """Populations and connections are read in a second step, by what their kinds hold."""

    inputs: tuple[_Input, ...]
    populations: tuple[Raw, ...]
    connections: tuple[Raw, ...]
    outputs: tuple[_Output, ...]


def load_program(path: str | Path) -> Program:
    """Read a program file. Raises BadInput naming the file and what is wrong with it.

    Only the arrays that the header names are read, and none that is larger than its node.

        >>> from deploy.program.file import load_program, save_program
        >>> save_program("program.npz", program)  # that of `Program`'s example
        >>> load_program("program.npz").order
        ('lif',)
    """
    path = Path(path)
    found = read_npz(path, MAX_JSON_BYTES, lambda name, *_: name == "program.json")
    if "program.json" not in found:
        raise BadInput(f"{path}: not a program file (no entry 'program.json')")
    text = found["program.json"].tobytes()
    try:
        head = decoded(text, _Head)
        if head.format != FORMAT or head.version not in range(1, VERSION + 1):
            raise BadInput(
                f"format {head.format!r} version {head.version!r}, "
                f"this tool reads {FORMAT!r} versions 1 to {VERSION}"
            )
        header = decoded(text, _Header)
        populations = _nodes("populations", header.populations, kind_named)
        connections = _nodes("connections", header.connections, connection_named)
        most = _most_elements(header.inputs, populations, connections)
        arrays = read_npz(path, wanted=partial(_wanted, most))
        for name in most:
            if name not in arrays:
                raise BadInput(f"incomplete program file, '{name}' is missing")
        return Program(
            tuple(
                make_input(n.name, n.shape, arrays[f"{n.name}/low"], arrays[f"{n.name}/high"])
                for n in header.inputs
            ),
            tuple(_made(of, values, arrays) for of, values in populations),
            tuple(_made(of, values, arrays) for of, values in connections),
            tuple(Output(o.name, o.source, o.quantity) for o in header.outputs),
        )
    except BadInput as error:
        raise error if str(path) in str(error) else BadInput(f"{path}: {error}") from error


def _nodes(
    where: str, entries: tuple[Raw, ...], named: Callable[[str], type]
) -> list[tuple[type, dict[str, Any]]]:
    """(class, the fields that the header holds) of each node."""
    found = []
    for i, raw in enumerate(entries):
        text = bytes(raw)
        node = decoded(text, _Node, f"{where}[{i}]")
        try:
            of = named(node.kind)
            found.append((of, asdict(decoded(text, _structure(of)))))
        except BadInput as error:
            raise BadInput(f"node '{node.name}': {error}") from error
    return found


@cache
def _structure(of: type) -> type[Struct]:
    """What the header holds of a node: every field that is no array."""
    keys: list[Any] = []
    for name, kind_of in get_type_hints(of).items():
        if name not in _names(of) or kind_of == IntArray:
            continue
        if not issubclass(of, Neurons) or kind_of not in (int, bool):
            keys.append((name, kind_of))
        else:
            # A setting that is off is not in the file; its default may be another.
            keys.append((name, int if kind_of is int else bool | Literal[0, 1], 0))
    return defstruct(of.__name__, keys, kw_only=True)


def _names(of: type) -> tuple[str, ...]:
    return tuple(f.name for f in fields(of))


def _most_elements(
    inputs: tuple[_Input, ...],
    populations: list[tuple[type, dict[str, Any]]],
    connections: list[tuple[type, dict[str, Any]]],
) -> dict[str, int]:
    """The arrays that the file must have, by name, and how many elements each can have at most."""
    most: dict[str, int] = {}
    sizes: dict[str, int] = {}
    nodes: list[Any] = [(("low", "high"), n.name, n.shape) for n in inputs]
    nodes += [(array_fields(of), values["name"], values["shape"]) for of, values in populations]
    for registers, name, shape in nodes:
        check_shape(name, shape)
        sizes[name] = prod(shape)
        most |= {f"{name}/{register}": sizes[name] for register in registers}
    for of, c in connections:
        pairs = sizes.get(c["source"], 0) * sizes.get(c["target"], 0)
        size = max(pairs, sizes.get(c["target"], 0) + 1, _MAX_KERNEL)
        most |= {f"{c['name']}/{field}": size for field in array_fields(of)}
    return most


def _wanted(
    most: Mapping[str, int], name: str, shape: tuple[int, ...], dtype: np.dtype[Any]
) -> bool:
    if name not in most:
        return False
    if dtype.kind not in "iu":
        raise BadInput(f"array '{name}' has type {dtype}, expected integers")
    if prod(shape) > most[name]:
        raise BadInput(f"array '{name}' of shape {shape} is larger than its node ({most[name]})")
    return True


def _made(of: type, values: dict[str, Any], arrays: Mapping[str, NDArray[Any]]) -> Any:
    """A node of the header's values and the file's arrays, registers broadcast to its shape."""
    name = values["name"]
    held = {field: arrays[f"{name}/{field}"] for field in array_fields(of)}
    registers = {
        field: as_register(name, field, array, values.get("shape", array.shape))
        for field, array in held.items()
    }
    flags = {n: bool(values[n]) for n, kind_of in get_type_hints(of).items() if kind_of is bool}
    return of(**(values | flags | registers))


def _compact(values: IntArray) -> IntArray:
    """One value for a uniform register: files stay small, and reading broadcasts it again."""
    return (
        values.reshape(-1)[:1].reshape(())
        if values.size and (values == values.flat[0]).all()
        else values
    )
