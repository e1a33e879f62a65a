"""The file of a `Program`: one versioned .npz, a JSON header beside the register arrays."""

import hashlib
import json
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from deploy.arithmetic.registers import IntArray, as_register, check_shape
from deploy.connections.connections import KINDS, Connection, Sparse, kind
from deploy.errors import BadInput
from deploy.files import read_npz, write_npz
from deploy.neurons import Neurons, kind_named
from deploy.neurons.base import field_types
from deploy.program.program import (
    Output,
    Program,
    make_input,
)

FORMAT = "neuroclip-program"
# Version 1 knew populations of kind "lif" and "integrator" without rules of their own.
VERSION = 2

# Fields of connections that are arrays of the file; all others are in its header.
_ARRAYS = ("weight", "indices", "indptr")


def save_program(path: Path, program: Program) -> None:
    """Write a program to one versioned .npz file, atomically."""
    write_npz(path, _entries(program))


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
        arrays[f"{c.name}/weight"] = c.weight.astype(np.int16)
        if isinstance(c, Sparse):
            arrays |= {f"{c.name}/indices": c.indices, f"{c.name}/indptr": c.indptr}
    header = {
        "format": FORMAT,
        "version": VERSION,
        "inputs": [{"name": n.name, "shape": n.shape} for n in program.inputs],
        "populations": [
            {"name": p.name, "shape": p.shape, "kind": p.kind} | p.settings
            for p in program.populations
        ],
        "connections": [
            {"kind": kind(c)}
            | {f.name: getattr(c, f.name) for f in fields(c) if f.name not in _ARRAYS}
            for c in program.connections
        ],
        "outputs": [
            {"name": o.name, "source": o.source, "quantity": o.quantity} for o in program.outputs
        ],
    }
    text = json.dumps(header, ensure_ascii=False).encode()
    return {"program.json": np.frombuffer(text, dtype=np.uint8)} | arrays


def load_program(path: Path) -> Program:
    """Read a program file. Raises BadInput naming the file and what is wrong with it."""
    arrays = read_npz(path)
    if "program.json" not in arrays:
        raise BadInput(f"{path}: not a program file (no entry 'program.json')")
    try:
        header = json.loads(arrays["program.json"].tobytes().decode())
        if header.get("format") != FORMAT or header.get("version") not in range(1, VERSION + 1):
            raise BadInput(
                f"{path}: format {header.get('format')!r} version {header.get('version')!r}, "
                f"this tool reads {FORMAT!r} versions 1 to {VERSION}"
            )
        return Program(
            tuple(
                make_input(
                    n["name"],
                    tuple(n["shape"]),
                    arrays[f"{n['name']}/low"],
                    arrays[f"{n['name']}/high"],
                )
                for n in header["inputs"]
            ),
            tuple(_read_population(p, arrays) for p in header["populations"]),
            tuple(_read_connection(c, arrays) for c in header["connections"]),
            tuple(Output(o["name"], o["source"], o["quantity"]) for o in header["outputs"]),
        )
    except KeyError as error:
        raise BadInput(f"{path}: incomplete program file, {error} is missing") from error
    except (TypeError, AttributeError, UnicodeDecodeError, json.JSONDecodeError) as error:
        raise BadInput(f"{path}: damaged program file: {error}") from error
    except BadInput as error:
        raise error if str(path) in str(error) else BadInput(f"{path}: {error}") from error


def _read_population(entry: dict[str, Any], arrays: dict[str, NDArray[Any]]) -> Neurons:
    name, shape = entry["name"], tuple(entry["shape"])
    check_shape(name, shape)
    try:
        of = kind_named(entry["kind"])
    except BadInput as error:
        raise BadInput(f"node '{name}': {error}") from error
    values: dict[str, Any] = {}
    for field, kind_of in field_types(of).items():
        if kind_of is IntArray:
            values[field] = as_register(name, field, arrays[f"{name}/{field}"], shape)
        else:
            # A setting that is off is not in the file; its default may be another.
            value = entry.get(field, 0)
            values[field] = bool(value) if kind_of is bool else value
    return of(name, shape, **values)


def _read_connection(entry: dict[str, Any], arrays: dict[str, NDArray[Any]]) -> Connection:
    of = KINDS.get(entry["kind"])
    if of is None:
        raise BadInput(
            f"node '{entry['name']}': unknown kind of connection {entry['kind']!r}, "
            f"known: {', '.join(KINDS)}"
        )
    values: dict[str, Any] = {}
    for f in fields(of):
        if f.name in _ARRAYS:
            array = arrays[f"{entry['name']}/{f.name}"]
            values[f.name] = as_register(entry["name"], f.name, array, array.shape)
        else:
            value = entry[f.name]
            values[f.name] = tuple(value) if isinstance(value, list) else value
    return of(**values)


def _compact(values: IntArray) -> IntArray:
    """One value for a uniform register: files stay small, and reading broadcasts it again."""
    return (
        values.reshape(-1)[:1].reshape(())
        if values.size and (values == values.flat[0]).all()
        else values
    )
