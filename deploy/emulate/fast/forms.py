"""`Form`: a population as the compiled updates of `deploy.emulate.fast.neuron_kernels` read it.

Everything here is known without numba: which update a kind has, and what lies in its rows.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from deploy.emulate.fast.layout import Layout, aligned
from deploy.neurons import (
    Delta,
    Graded,
    Integrator,
    Neurons,
    Population,
    Sigma,
    SigmaDelta,
    Ternary,
    Threshold,
)
from deploy.neurons.tracing import Untraceable, trace

# Numbers of a population, at most.
SETTINGS = 8
# Below everything that 64 bits hold.
_ALL = -(2**63)


@dataclass(frozen=True, eq=False)
class Form:
    """A population's update.

    step: the name of a bundled one. source: Python of one that was made of the step which the kind
    states, else empty. why: why there is none, and NumPy takes the step; else empty. states: how many
    rows. u, v: the rows that a trace records under these names, −1 for none. registers: each [*shape].
    settings: numbers of the population. narrow: whether sums that fit 2^18 let all fit 32 bits. still:
    whether a step without a sum changes nothing but u, which becomes 0, and sends nothing.
    """

    step: str = ""
    source: str = ""
    why: str = ""
    states: int = 2
    u: int = -1
    v: int = -1
    registers: tuple[NDArray[Any], ...] = ()
    settings: tuple[int, ...] = ()
    narrow: bool = False
    still: bool = False


def form(p: Neurons) -> Form:
    """The compiled update of a population, or why it has none."""
    if type(p) in _FORMS:
        return _FORMS[type(p)](p)
    try:
        found = trace(p)
    except Untraceable as reason:
        return Form(why=str(reason))
    rows = [p.states.index(p.recorded[q]) if q in p.recorded else -1 for q in ("u", "v")]
    return Form(
        source=found.source, states=len(p.states), u=rows[0], v=rows[1], registers=found.constants
    )


def joined(
    rows: list[tuple[NDArray[Any], ...]], layouts: list[Layout], starts: list[int], size: int,
    dtype: Any,
) -> NDArray[Any]:  # fmt: skip
    """Registers of populations side by side: [most rows, size]; zero between and where one has fewer.

    Those in float32 are held as their bits in 32-bit lanes, and as 4096ths in others.
    """
    found = aligned((max(1, *(len(held) for held in rows)), size), dtype)
    for held, layout, start in zip(rows, layouts, starts, strict=True):
        for i, values in enumerate(held):
            if values.dtype == np.float32:
                values = values.view(np.int32) if dtype == np.int32 else values * 4096
            found[i, start : start + layout.size] = layout.inner(values)
    return found


def _leaky(p: Population | Ternary) -> tuple[NDArray[Any], ...]:
    kept = ((n / 4096).astype(np.float32) for n in (4095 - p.du, 4096 - p.dv))
    return *kept, p.bias, np.left_shift(p.vth, 6)


def _alike(registers: tuple[NDArray[Any], ...]) -> int:
    """1 where all neurons have the same registers, else 0."""
    return int(all((values == values.flat[0]).all() for values in registers))


def _lif(p: Population) -> Form:
    mu, mv, bias, _ = held = _leaky(p)
    both = {"u": 0, "v": 1, "registers": held, "narrow": True}
    if p.refractory or p.reset_interval:
        rules = p.refractory, p.reset_interval, p.reset_offset
        return Form("timed", states=3, settings=rules, **both)  # type: ignore[arg-type]
    still = not mu.any() and bool((mv == 1).all()) and not bias.any()
    return Form("lif", settings=(_alike(held),), still=still, **both)  # type: ignore[arg-type]


def _threshold(p: Threshold) -> Form:
    nothing = np.zeros(p.shape, np.float32)
    held = nothing, nothing, p.bias, np.left_shift(p.vth, 6)
    return Form("lif", u=0, v=1, registers=held, settings=(_alike(held),), narrow=True)


def _ternary(p: Ternary) -> Form:
    held = *_leaky(p), np.left_shift(p.vth_lo, 6)
    return Form("ternary", u=0, v=1, registers=held, narrow=True)


def _graded(p: Graded) -> Form:
    below = _ALL if p.rectified else -p.vth
    return Form("graded", states=0, settings=(p.vth, below), narrow=True)


def _sigma(p: Sigma) -> Form:
    return Form("sigma", states=1, u=0)


def _encoding(p: Delta | SigmaDelta) -> tuple[int, ...]:
    return p.shift, p.state_exp, p.vth << p.shift, int(p.cum_error)


def _delta(p: Delta) -> Form:
    return Form("delta", states=3, u=0, v=1, settings=_encoding(p))


def _sigma_delta(p: SigmaDelta) -> Form:
    settings = *_encoding(p), 0 if p.rectified else _ALL
    bias = p.bias.astype(np.int64) << p.shift
    return Form("sigma_delta", states=4, u=0, v=1, registers=(bias,), settings=settings)


_FORMS: dict[type[Neurons], Callable[[Any], Form]] = {
    Population: _lif,
    Integrator: _lif,
    Threshold: _threshold,
    Ternary: _ternary,
    Graded: _graded,
    Sigma: _sigma,
    Delta: _delta,
    SigmaDelta: _sigma_delta,
}
