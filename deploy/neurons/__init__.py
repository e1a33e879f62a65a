"""The kinds of neurons, one a file, and the table of them: `KINDS`, and `register` for one's own.

In: the registers of a population and its synaptic sums. Out: its messages, the edges of its registers
and their bounds; whatever is asked of a kind is asked of its class (`deploy.neurons.base.Neurons`).
"""

from dataclasses import is_dataclass
from typing import TypeVar

import numpy as np

from deploy.arithmetic.registers import IntArray
from deploy.errors import BadInput
from deploy.neurons.base import Neurons, field_types
from deploy.neurons.delta import Delta
from deploy.neurons.graded import Graded
from deploy.neurons.leaky import bias_registers
from deploy.neurons.lif import Integrator, Population, is_lif, is_plain, make_population
from deploy.neurons.sigma import Sigma
from deploy.neurons.sigma_delta import SigmaDelta, make_sigma_delta
from deploy.neurons.ternary import Ternary, make_ternary
from deploy.neurons.threshold import Threshold, make_threshold
from deploy.plugins import enter, find_kind

__all__ = [
    "BUNDLED",
    "ENTRY_POINTS",
    "KINDS",
    "Delta",
    "Graded",
    "Integrator",
    "Neurons",
    "Population",
    "Sigma",
    "SigmaDelta",
    "Ternary",
    "Threshold",
    "bias_registers",
    "check_population",
    "is_lif",
    "is_plain",
    "kind_named",
    "make_population",
    "make_sigma_delta",
    "make_ternary",
    "make_threshold",
    "register",
]

# A distribution names its kinds here: `adaptive = "my_package.adaptive:Adaptive"`.
ENTRY_POINTS = "neuroclip.neurons"

KINDS: dict[str, type[Neurons]] = {
    of.kind: of
    for of in (Population, Integrator, Ternary, Threshold, Graded, Delta, Sigma, SigmaDelta)
}
BUNDLED = frozenset(KINDS)

Kind = TypeVar("Kind", bound=type[Neurons])


def register(of: Kind) -> Kind:
    """Add a kind of one's own, also as a decorator of its class; again is no harm.

    Raises BadInput for a class that is not a kind, and for a name that another kind has.
    """
    if not (isinstance(of, type) and issubclass(of, Neurons) and is_dataclass(of)):
        raise BadInput(f"kind {of!r}: not a dataclass that inherits from deploy.neurons.Neurons")
    name = of.__dict__.get("kind")
    if not isinstance(name, str) or not name:
        raise BadInput(f"kind {of.__name__}: its own `kind`, a name for files, is missing")
    for field, kind in field_types(of).items():
        if kind not in (IntArray, int, bool):
            raise BadInput(f"kind '{name}': field '{field}' is neither IntArray nor int nor bool")
        if hasattr(Neurons, field):
            raise BadInput(f"kind '{name}': '{field}' of all neurons cannot be a field")
    missing = set(of.recorded.values()) - set(of.states) | set(of.recorded) - {"u", "v"}
    if missing:
        raise BadInput(
            f"kind '{name}': it records {sorted(missing)}, which is not among its states"
        )
    if of.is_readout and "v" not in of.recorded:
        raise BadInput(f"kind '{name}': a read-out records a membrane potential v")
    enter(KINDS, name, of)
    return of


def kind_named(name: str) -> type[Neurons]:
    """The kind of this name, registered, bundled, or an entry point of an installed distribution.

    Raises BadInput where there is none, or where it cannot be imported.
    """
    return find_kind(KINDS, name, "population", ENTRY_POINTS, register)


def check_population(p: Neurons) -> None:
    """Refuse a population that no chip holds, or of a kind that is not registered (BadInput)."""
    if KINDS.get(p.kind) is not type(p):
        raise BadInput(
            f"node '{p.name}': {type(p).__name__} is not registered as a kind of population "
            "(deploy.neurons.register)"
        )
    for name, of in field_types(type(p)).items():
        value = getattr(p, name)
        if of != IntArray:  # Python 3.11 makes the type anew
            if not isinstance(value, int):  # a file could not hold it
                raise BadInput(f"node '{p.name}': {name} is {value!r}, expected a whole number")
            continue
        if not isinstance(value, np.ndarray) or value.shape != p.shape or value.dtype != np.int32:
            said = f"{getattr(value, 'dtype', type(value).__name__)} {np.shape(value)}"
            raise BadInput(f"node '{p.name}': {name} is {said}, expected int32 {p.shape}")
    p.check()
