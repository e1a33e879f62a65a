"""`Program`: an integer spiking network, the waist between every front end and every back end.

Time in a `Program` is sample time: connections have zero latency plus an integer delay, state is
cleared at the start of every sample, and step t of a population is its response to input step t.
"""

import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from deploy.errors import BadInput
from deploy.files import read_npz, write_npz

FORMAT = "neuroclip-program"
VERSION = 1

IntArray = NDArray[np.int32]
Shape = tuple[int, ...]

# Register widths of Loihi: Davies et al. 2018, and the docstring of lava.proc.lif's PyLifModelBitAcc.
DECAY_MAX = 4095
VTH_MAX = 2**17 - 1
BIAS_MANT_MIN, BIAS_MANT_MAX = -4096, 4095
BIAS_EXP_MAX = 7
# Mixed-sign 8-bit weights: [-256, 255] with the lowest bit dropped, so even values only.
WEIGHT_MIN, WEIGHT_MAX = -254, 254
WEIGHT_EXP_MIN, WEIGHT_EXP_MAX = -7, 7
# Graded messages carry at most 24 bits; delays at most 62 steps (one of 63 is the layer's own).
MESSAGE_MIN, MESSAGE_MAX = -(2**23), 2**23 - 1
DELAY_MAX = 62
# A program larger than this in one array cannot be for any machine that exists.
_MAX_NEURONS = 1 << 31


@dataclass(frozen=True, eq=False)
class Input:
    """Where messages enter: `low` ≤ message ≤ `high` per channel, a range that the encoder enforces.

    shape: of one step. low, high: int32 [*shape]. Binary spikes are the range 0..1.
    """

    name: str
    shape: Shape
    low: IntArray
    high: IntArray

    @property
    def size(self) -> int:
        """Number of channels."""
        return int(np.prod(self.shape, dtype=np.int64))

    @property
    def binary(self) -> bool:
        """True where every message is 0 or 1."""
        return bool((self.low >= 0).all() and (self.high <= 1).all())


@dataclass(frozen=True, eq=False)
class Population:
    """Current-based leaky integrate-and-fire neurons, or integrators of the same recurrence.

    With a the integer synaptic sum of this step and T(x) = sign(x)·(|x| >> 12):

        u ← T(u·(4096 − (du + 1))) + (a << 6)
        v ← clip(T(v·(4096 − dv)) + u + (bias_mant << bias_exp))
        s = v > (vth << 6), then v ← 0 where s        (kind "lif"; an "integrator" never fires)

    Registers are int32 [*shape]: du, dv in 0..4095 (du is the decay minus one: 4095 clears the
    current each step; −1, no current decay, is legal in the emulator and in Lava), vth in
    0..131071, bias_mant in −4096..4095, bias_exp in 0..7. An integrator's vth is 131071, the value
    it holds on a chip, where a neuron that never fires is one that cannot reach its threshold.
    """

    name: str
    shape: Shape
    du: IntArray
    dv: IntArray
    vth: IntArray
    bias_mant: IntArray
    bias_exp: IntArray
    kind: Literal["lif", "integrator"] = "lif"

    @property
    def size(self) -> int:
        """Number of neurons."""
        return int(np.prod(self.shape, dtype=np.int64))

    @property
    def bias(self) -> IntArray:
        """The effective bias bias_mant << bias_exp, int32 [*shape]."""
        return np.left_shift(self.bias_mant, self.bias_exp)


@dataclass(frozen=True, eq=False)
class Dense:
    """All-to-all synapses: a[target] += (Σ weight[target, source]·message[source]) << exponent.

    weight: int32 [target size, source size], even, in [−254, 254]. exponent: −7..7, a negative one
    shifts the sum right (floor). delay: 0..62 steps.
    """

    name: str
    source: str
    target: str
    weight: IntArray
    exponent: int = 0
    delay: int = 0


@dataclass(frozen=True)
class Output:
    """What a host reads: the spikes ("s") of a population, or its membrane potential ("v")."""

    name: str
    source: str
    quantity: Literal["s", "v"]


@dataclass(frozen=True, eq=False)
class Program:
    """An integer network: inputs, populations, connections, outputs, with names kept from NIR.

    Construction checks every register range, name and shape and raises BadInput naming the node.
    """

    inputs: tuple[Input, ...]
    populations: tuple[Population, ...]
    connections: tuple[Dense, ...]
    outputs: tuple[Output, ...]
    order: tuple[str, ...] = field(init=False, repr=False)
    """Population names, each after every population that reaches it without delay."""

    def __post_init__(self) -> None:
        _check_names(self)
        for node in self.inputs:
            _check_input(node)
        for population in self.populations:
            _check_population(population)
        for connection in self.connections:
            _check_connection(self, connection)
        for output in self.outputs:
            self.population(output.source)
        object.__setattr__(self, "order", _zero_delay_order(self))

    @property
    def sources(self) -> tuple[Input | Population, ...]:
        """Everything that sends messages: the inputs, then the populations."""
        return (*self.inputs, *self.populations)

    def population(self, name: str) -> Population:
        """The population called `name`. Raises BadInput where there is none."""
        for population in self.populations:
            if population.name == name:
                return population
        raise BadInput(f"node '{name}': no population of this name in the program")

    def source(self, name: str) -> Input | Population:
        """The input or population called `name`. Raises BadInput where there is none."""
        return next((n for n in self.inputs if n.name == name), None) or self.population(name)

    def into(self, name: str) -> tuple[Dense, ...]:
        """The connections that end in `name`, in their order of definition."""
        return tuple(c for c in self.connections if c.target == name)

    def out_of(self, name: str) -> tuple[Dense, ...]:
        """The connections that start in `name`, in their order of definition."""
        return tuple(c for c in self.connections if c.source == name)


def make_input(name: str, shape: Shape, low: Any = 0, high: Any = 1) -> Input:
    """An Input with `low` and `high` broadcast to `shape`; by default binary spikes."""
    _check_shape(name, shape)
    return Input(
        name, tuple(shape), _register(name, "low", low, shape), _register(name, "high", high, shape)
    )


def make_population(
    name: str,
    shape: Shape,
    *,
    du: Any = DECAY_MAX,
    dv: Any = 0,
    vth: Any = VTH_MAX,
    bias: Any = 0,
    kind: Literal["lif", "integrator"] = "lif",
) -> Population:
    """A Population with registers broadcast to `shape` and the bias split into its registers.

    bias: the effective integer bias in units of v. Raises BadInput where no mantissa and exponent
    express it exactly.
    """
    _check_shape(name, shape)
    mantissa, exponent = bias_registers(name, bias)
    return Population(
        name,
        tuple(shape),
        _register(name, "du", du, shape),
        _register(name, "dv", dv, shape),
        _register(name, "vth", vth, shape),
        _register(name, "bias_mant", mantissa, shape),
        _register(name, "bias_exp", exponent, shape),
        kind,
    )


def bias_registers(name: str, bias: Any) -> tuple[NDArray[np.int64], int]:
    """Split an effective bias into (mantissa, exponent), with the smallest exponent that is exact.

    One exponent serves the whole population. Raises BadInput naming the node and the bias.
    """
    bias = np.asarray(bias, dtype=np.int64)
    for exponent in range(BIAS_EXP_MAX + 1):
        mantissa = bias >> exponent
        fits = ((mantissa >= BIAS_MANT_MIN) & (mantissa <= BIAS_MANT_MAX)).all()
        if fits and (mantissa << exponent == bias).all():
            return mantissa, exponent
    worst = bias.flat[int(np.abs(bias).argmax())]
    raise BadInput(
        f"node '{name}': bias {worst} has no exact mantissa of 13 bits and exponent of 0..{BIAS_EXP_MAX}"
    )


def registers(program: Program) -> dict[str, IntArray]:
    """Every register of a program by name, "NODE/du", "NODE/vth", "CONNECTION/weight", ….

    These are the values any executor of the program must hold; parity compares them first.
    """
    found: dict[str, IntArray] = {}
    for p in program.populations:
        found |= {
            f"{p.name}/{r}": getattr(p, r) for r in ("du", "dv", "vth", "bias_mant", "bias_exp")
        }
    for c in program.connections:
        found |= {f"{c.name}/weight": c.weight, f"{c.name}/exponent": np.int32(c.exponent)}  # type: ignore[dict-item]
        found[f"{c.name}/delay"] = np.int32(c.delay)  # type: ignore[assignment]
    return found


def save_program(path: Path, program: Program) -> None:
    """Write a program to one versioned .npz file, atomically."""
    arrays: dict[str, NDArray[Any]] = {}
    for node in program.inputs:
        arrays |= {f"{node.name}/low": _compact(node.low), f"{node.name}/high": _compact(node.high)}
    for p in program.populations:
        for register in ("du", "dv", "vth", "bias_mant", "bias_exp"):
            arrays[f"{p.name}/{register}"] = _compact(getattr(p, register))
    for c in program.connections:
        arrays[f"{c.name}/weight"] = c.weight.astype(np.int16)
    header = {
        "format": FORMAT,
        "version": VERSION,
        "inputs": [{"name": n.name, "shape": n.shape} for n in program.inputs],
        "populations": [
            {"name": p.name, "shape": p.shape, "kind": p.kind} for p in program.populations
        ],
        "connections": [
            {
                "kind": "dense",
                "name": c.name,
                "source": c.source,
                "target": c.target,
                "exponent": c.exponent,
                "delay": c.delay,
            }
            for c in program.connections
        ],
        "outputs": [
            {"name": o.name, "source": o.source, "quantity": o.quantity} for o in program.outputs
        ],
    }
    text = json.dumps(header, ensure_ascii=False).encode()
    write_npz(path, {"program.json": np.frombuffer(text, dtype=np.uint8)} | arrays)


def load_program(path: Path) -> Program:
    """Read a program file. Raises BadInput naming the file and what is wrong with it."""
    arrays = read_npz(path)
    if "program.json" not in arrays:
        raise BadInput(f"{path}: not a program file (no entry 'program.json')")
    try:
        header = json.loads(arrays["program.json"].tobytes().decode())
        if header.get("format") != FORMAT or header.get("version") != VERSION:
            raise BadInput(
                f"{path}: format {header.get('format')!r} version {header.get('version')!r}, "
                f"this tool reads {FORMAT!r} version {VERSION}"
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
            tuple(
                Dense(
                    c["name"],
                    c["source"],
                    c["target"],
                    np.ascontiguousarray(arrays[f"{c['name']}/weight"], dtype=np.int32),
                    c["exponent"],
                    c["delay"],
                )
                for c in header["connections"]
            ),
            tuple(Output(o["name"], o["source"], o["quantity"]) for o in header["outputs"]),
        )
    except KeyError as error:
        raise BadInput(f"{path}: incomplete program file, {error} is missing") from error
    except (TypeError, AttributeError, UnicodeDecodeError, json.JSONDecodeError) as error:
        raise BadInput(f"{path}: damaged program file: {error}") from error
    except BadInput as error:
        raise error if str(path) in str(error) else BadInput(f"{path}: {error}") from error


def equal(a: Program, b: Program) -> bool:
    """True where two programs hold the same nodes, registers and names, bit for bit."""
    first, second = registers(a), registers(b)
    return (
        a.outputs == b.outputs
        and [(n.name, n.shape) for n in a.inputs] == [(n.name, n.shape) for n in b.inputs]
        and all(
            np.array_equal(m.low, n.low) and np.array_equal(m.high, n.high)
            for m, n in zip(a.inputs, b.inputs, strict=True)
        )
        and [(p.name, p.shape, p.kind) for p in a.populations]
        == [(p.name, p.shape, p.kind) for p in b.populations]
        and [(c.name, c.source, c.target) for c in a.connections]
        == [(c.name, c.source, c.target) for c in b.connections]
        and first.keys() == second.keys()
        and all(np.array_equal(first[name], second[name]) for name in first)
    )


def _read_population(entry: dict[str, Any], arrays: dict[str, NDArray[Any]]) -> Population:
    name, shape = entry["name"], tuple(entry["shape"])
    _check_shape(name, shape)
    values = {
        r: _register(name, r, arrays[f"{name}/{r}"], shape)
        for r in ("du", "dv", "vth", "bias_mant", "bias_exp")
    }
    return Population(name, shape, **values, kind=entry["kind"])


def _compact(values: IntArray) -> IntArray:
    """One value for a uniform register: files stay small, and reading broadcasts it again."""
    return (
        values.reshape(-1)[:1].reshape(())
        if values.size and (values == values.flat[0]).all()
        else values
    )


def _register(name: str, register: str, values: Any, shape: Shape) -> IntArray:
    """`values` as a read-only int32 array of `shape`, refusing fractions and what does not fit."""
    array = np.asarray(values)
    if array.dtype == object or not np.issubdtype(array.dtype, np.integer):
        raise BadInput(f"node '{name}': {register} has type {array.dtype}, expected integers")
    if array.size and (array.min() < -(2**31) or array.max() >= 2**31):
        raise BadInput(f"node '{name}': {register} does not fit 32 bits")
    try:
        return np.broadcast_to(array.astype(np.int32), shape)
    except ValueError:
        raise BadInput(
            f"node '{name}': {register} of shape {array.shape} does not fit the node's shape {shape}"
        ) from None


def _check_shape(name: str, shape: Iterable[int]) -> None:
    shape = tuple(shape)
    if not shape or any(not isinstance(n, int) or n < 1 for n in shape):
        raise BadInput(f"node '{name}': shape {shape} is not a tuple of positive sizes")
    if int(np.prod([int(n) for n in shape], dtype=object)) > _MAX_NEURONS:
        raise BadInput(f"node '{name}': shape {shape} has more than {_MAX_NEURONS} elements")


def _check_names(program: Program) -> None:
    seen: set[str] = set()
    for name in [node.name for node in program.sources] + [c.name for c in program.connections]:
        if not name or not isinstance(name, str) or "/" in name:
            raise BadInput(f"node '{name}': a name is non-empty text without '/'")
        if name in seen:
            raise BadInput(f"node '{name}': the name is used twice")
        seen.add(name)
    if not program.inputs or not program.populations:
        raise BadInput("a program needs at least one input and one population")


def _check_range(name: str, register: str, values: IntArray, low: int, high: int) -> None:
    bad = (values < low) | (values > high)
    if bad.any():
        index = tuple(int(i) for i in np.argwhere(bad)[0])
        raise BadInput(
            f"node '{name}': {register} {int(values[index])} at index {list(index)} "
            f"is outside {low}..{high}"
        )


def _check_input(node: Input) -> None:
    _check_range(node.name, "low", node.low, MESSAGE_MIN, MESSAGE_MAX)
    _check_range(node.name, "high", node.high, MESSAGE_MIN, MESSAGE_MAX)
    if (node.low > node.high).any():
        raise BadInput(f"node '{node.name}': the input range is empty (low > high)")


def _check_population(p: Population) -> None:
    if p.kind not in ("lif", "integrator"):
        raise BadInput(f"node '{p.name}': unknown kind of population {p.kind!r}")
    _check_range(p.name, "du", p.du, -1, DECAY_MAX)
    _check_range(p.name, "dv", p.dv, 0, DECAY_MAX)
    _check_range(p.name, "vth", p.vth, VTH_MAX if p.kind == "integrator" else 0, VTH_MAX)
    _check_range(p.name, "bias_mant", p.bias_mant, BIAS_MANT_MIN, BIAS_MANT_MAX)
    _check_range(p.name, "bias_exp", p.bias_exp, 0, BIAS_EXP_MAX)


def _check_connection(program: Program, c: Dense) -> None:
    shape = (program.population(c.target).size, program.source(c.source).size)
    if c.weight.shape != shape:
        raise BadInput(
            f"node '{c.name}': weight of shape {c.weight.shape}, '{c.source}' → '{c.target}' needs {shape}"
        )
    if c.weight.dtype != np.int32:
        raise BadInput(f"node '{c.name}': weight has type {c.weight.dtype}, expected int32")
    _check_range(c.name, "weight", c.weight, WEIGHT_MIN, WEIGHT_MAX)
    odd = np.argwhere(c.weight & 1)
    if odd.size:
        index = tuple(int(i) for i in odd[0])
        raise BadInput(
            f"node '{c.name}': weight {int(c.weight[index])} at index {list(index)} is odd; "
            "mixed-sign weights of 8 bits are even"
        )
    if not WEIGHT_EXP_MIN <= c.exponent <= WEIGHT_EXP_MAX:
        raise BadInput(f"node '{c.name}': weight exponent {c.exponent} is outside -7..7")
    if not 0 <= c.delay <= DELAY_MAX:
        raise BadInput(f"node '{c.name}': delay {c.delay} is outside 0..{DELAY_MAX}")


def _zero_delay_order(program: Program) -> tuple[str, ...]:
    """Populations sorted so that undelayed connections point forward; a cycle needs a delay."""
    waiting = {
        p.name: {
            c.source
            for c in program.into(p.name)
            if c.delay == 0 and all(c.source != n.name for n in program.inputs)
        }
        for p in program.populations
    }
    order: list[str] = []
    while waiting:
        ready = [name for name, sources in waiting.items() if not sources - set(order)]
        if not ready:
            raise BadInput(f"nodes {sorted(waiting)}: a cycle of connections without any delay")
        order += ready
        for name in ready:
            del waiting[name]
    return tuple(order)
