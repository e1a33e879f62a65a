"""A front end in one file: `.toy` files, whose lines are `input SIZE`, then `parity|lif|shift SIZE`."""

from pathlib import Path
from typing import Any

import numpy as np

from deploy import connections as kinds
from deploy.connections import Connection
from deploy.errors import BadInput
from deploy.neurons import kind_named, make_population
from deploy.program.program import Dense, Output, Program, make_input
from export.deployment.deployment import Deployment
from export.frontends.frontend import Frontend, Request
from export.frontends.program import from_program


def read(model: Any, request: Request) -> Deployment:
    """A chain of layers, every neuron of one reading all neurons before, of a shift its neighbour."""
    path = Path(model)
    if not path.is_file():
        raise BadInput(f"{path}: No such file")
    lines = [line.split() for line in path.read_text().splitlines() if line.strip()]
    (kind, size), *layers = lines
    if kind != "input":
        raise BadInput(f"{path}: line 1 is '{kind}', expected 'input'")
    before, width = "input", int(size)
    populations: list[Any] = []
    connections: list[Connection] = []
    for number, (kind, size) in enumerate(layers, start=2):
        name, n = f"{kind}{number}", int(size)
        if kind == "parity":
            populations.append(kind_named("toy-parity")(name, (n,)))
        elif kind in ("lif", "shift"):
            populations.append(make_population(name, (n,), dv=500, vth=4))
        else:
            raise BadInput(f"{path}: line {number}: no layer '{kind}'")
        if kind == "shift":
            each = np.full(n, 6, np.int32)
            connections.append(kinds.kind_named("toy-shift")(f"to_{name}", before, name, each))
        else:
            weight = np.full((n, width), 2, np.int32)
            connections.append(Dense(f"to_{name}", before, name, weight))
        before, width = name, n
    program = Program(
        (make_input("input", (int(lines[0][1]),)),),
        tuple(populations),
        tuple(connections),
        (Output("output", before, "s"),),
    )
    return from_program(program, request.data, request.samples)


toy = Frontend("toy", ".toy file", "a chain of layers in words", read, suffixes=(".toy",))
