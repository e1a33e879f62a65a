"""Parity: where two runs of one program first differ, registers first, then every spike and state."""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from deploy.emulate.trace import QUANTITIES, Trace
from deploy.errors import BadInput

Arrays = Mapping[str, NDArray[Any]]

# Within a step a wrong current moves the membrane potential, and that moves the spike.
_CAUSAL = ("u", "v", "s")


@dataclass(frozen=True)
class RegisterDifference:
    """The first register that two executors hold differently."""

    register: str
    index: tuple[int, ...]
    a: int | None
    b: int | None

    def __str__(self) -> str:
        return f"register {self.register} at index {list(self.index)}: {self.a} against {self.b}"


@dataclass(frozen=True)
class Divergence:
    """The first value that differs: earliest step, then sample, node in network order, u, v, s."""

    quantity: str
    node: str
    sample: int
    step: int
    index: tuple[int, ...]
    a: int
    b: int

    def __str__(self) -> str:
        name = {"s": "spike", "u": "current u", "v": "membrane potential v"}[self.quantity]
        return (
            f"{name} of node '{self.node}', sample {self.sample}, step {self.step}, "
            f"neuron {list(self.index)}: {self.a} against {self.b}"
        )


@dataclass(frozen=True)
class Parity:
    """The comparison of executors a and b; it holds only where nothing at all differs.

    registers_compared: False where one of them holds no registers of its own to read back.
    """

    a: str
    b: str
    samples: int
    first_register: RegisterDifference | None
    spikes_compared: int
    spike_mismatches: int
    states_compared: int
    state_mismatches: int
    first_divergence: Divergence | None
    registers_compared: bool = True

    @property
    def ok(self) -> bool:
        """True where every register, spike and state is equal, and some were compared."""
        return (
            self.first_register is None
            and self.first_divergence is None
            and self.spike_mismatches == self.state_mismatches == 0
            and self.spikes_compared + self.states_compared > 0
        )

    def to_json(self) -> dict[str, Any]:
        """The pair as `report.json` holds it."""
        found = asdict(self) | {"ok": self.ok}
        equal = self.first_register is None if found.pop("registers_compared") else None
        return found | {"registers_equal": equal}

    def describe(self) -> str:
        """One line: what was compared, and what differs first."""
        head = f"{self.a} = {self.b}" if self.ok else f"{self.a} ≠ {self.b}"
        first = self.first_register or self.first_divergence
        compared = f"{self.spikes_compared} spikes and {self.states_compared} states compared"
        return f"{head}: {compared}" + (f", first difference: {first}" if first else "")


def compare_registers(a: Arrays, b: Arrays) -> RegisterDifference | None:
    """The first register, in a's order, that a and b do not hold alike; None where all are equal."""
    return next((first for first, _, _ in register_differences(a, b)), None)


def register_differences(a: Arrays, b: Arrays) -> Iterator[tuple[RegisterDifference, int, int]]:
    """Every register that a and b do not hold alike: the first value, how many differ, of how many.

    Raises BadInput for a register of two shapes.
    """
    for name in [*a, *(n for n in b if n not in a)]:
        if name not in a or name not in b:
            values = [int(np.ravel(held[name])[0]) if name in held else None for held in (a, b)]
            size = int(np.size(a[name] if name in a else b[name]))
            yield RegisterDifference(name, (0,), *values), size, size
            continue
        first, second = np.asarray(a[name]), np.asarray(b[name])
        if first.shape != second.shape:
            raise BadInput(f"register '{name}': shapes {first.shape} and {second.shape} differ")
        unequal = np.argwhere(first != second)
        if len(unequal):
            index = tuple(int(i) for i in unequal[0])
            found = RegisterDifference(name, index, int(first[index]), int(second[index]))
            yield found, len(unequal), first.size


def compare(
    a: str, registers_a: Arrays, trace_a: Trace, b: str, registers_b: Arrays, trace_b: Trace
) -> Parity:
    """Compare two runs by name: the registers each really held, then every spike and state.

    >>> from deploy.emulate.fast import emulate_fast
    >>> from deploy.program.program import registers
    >>> inputs = {"in": np.ones((1, 4, 2), int)}  # and `Program`'s example
    >>> plain, fast = emulate(program, inputs), emulate_fast(program, inputs)
    >>> compare("plain", registers(program), plain, "fast", registers(program), fast).describe()
    'plain = fast: 4 spikes and 8 states compared'
    """
    chunk = compare_recordings(
        a, recordings(trace_a), b, recordings(trace_b), silent=trace_a.readout
    )
    return merge([chunk], compare_registers(registers_a, registers_b))


def recordings(trace: Trace) -> dict[str, NDArray[Any]]:
    """A trace as the arrays of its file: {"NAME/s": [samples, time, *shape], ...}."""
    return {f"{name}/{quantity}": array for name, quantity, array in trace.recorded()}


def compare_recordings(
    a: str,
    first: Arrays,
    b: str,
    second: Arrays,
    offset: int = 0,
    silent: Collection[str] = (),
) -> Parity:
    """Compare recordings {"NAME/s": [samples, time, *shape], ...}; `offset` is the first sample's number.

    silent: read-outs, which are not to fire: where neither side does, their spike values tell nothing and
    are not counted as compared. Raises BadInput where the two do not hold the same entries of the same
    shapes.
    """
    if first.keys() != second.keys():
        odd = sorted(first.keys() ^ second.keys())
        raise BadInput(f"traces of {a} and {b}: entry '{odd[0]}' is in one of them only")
    found = entry_differences(a, first, b, second, offset, silent)
    compared, mismatches = (
        {q: sum(getattr(e, key) for e in found if e.quantity == q) for q in QUANTITIES}
        for key in ("compared", "differ")
    )
    nodes = list(dict.fromkeys(e.node for e in found))
    # The sample with the earliest differing step leads to the cause, not to a consequence.
    earliest = min(
        (e.first for e in found if e.first is not None),
        key=lambda x: (x.step, x.sample, nodes.index(x.node), _CAUSAL.index(x.quantity)),
        default=None,
    )
    return Parity(
        a,
        b,
        max((len(x) for x in first.values()), default=0),
        None,
        compared["s"],
        mismatches["s"],
        compared["u"] + compared["v"],
        mismatches["u"] + mismatches["v"],
        earliest,
    )


@dataclass(frozen=True)
class EntryDifference:
    """One quantity of one node in two recordings: values compared, those that differ, the first of them."""

    node: str
    quantity: str
    compared: int
    differ: int
    first: Divergence | None


def entry_differences(
    a: str,
    first: Arrays,
    b: str,
    second: Arrays,
    offset: int = 0,
    silent: Collection[str] = (),
) -> list[EntryDifference]:
    """`compare_recordings` entry by entry, in the order of `first`."""
    found = []
    for entry in first:
        node, _, quantity = entry.rpartition("/")
        x, y = first[entry], second[entry]
        if x.shape != y.shape:
            raise BadInput(f"entry '{entry}': shapes {x.shape} in {a} and {y.shape} in {b} differ")
        unequal = x != y
        differ, where = int(np.count_nonzero(unequal)), None
        if differ:
            sample, step = _earliest(unequal)
            position = tuple(int(i) for i in np.argwhere(unequal[sample, step])[0])
            place = (sample, step, *position)
            where = Divergence(
                quantity, node, sample + offset, step, position, int(x[place]), int(y[place])
            )
        told = node not in silent or quantity != "s" or x.any() or y.any()
        found.append(EntryDifference(node, quantity, x.size if told else 0, differ, where))
    return found


def merge(
    chunks: list[Parity],
    first_register: RegisterDifference | None,
    registers_compared: bool = True,
) -> Parity:
    """One comparison from those of consecutive chunks of samples, with that of the registers."""
    return Parity(
        chunks[0].a,
        chunks[0].b,
        sum(c.samples for c in chunks),
        first_register,
        sum(c.spikes_compared for c in chunks),
        sum(c.spike_mismatches for c in chunks),
        sum(c.states_compared for c in chunks),
        sum(c.state_mismatches for c in chunks),
        min(
            (c.first_divergence for c in chunks if c.first_divergence),
            key=lambda found: (found.step, found.sample),
            default=None,
        ),
        registers_compared,
    )


def _earliest(unequal: NDArray[np.bool_]) -> tuple[int, int]:
    """(sample, step) of the earliest differing step, the lowest sample number first among equals."""
    steps = unequal.reshape(*unequal.shape[:2], -1).any(axis=2)
    step = int(steps.any(axis=0).argmax())
    return int(steps[:, step].argmax()), step
