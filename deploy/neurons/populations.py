"""Populations of a `Program`: neurons of one model, with their registers.

Every kind has a name, a shape and a `kind`, says in its docstring what one step computes, and states
the messages it may send (`message_range`). Fields that are arrays, int32 [*shape], are registers of
each neuron; other numbers hold for the whole population. What is computed is in `deploy.neurons`.

    T(x) = sign(x)·(|x| >> 12)      a: the integer synaptic sum of this step
    b = bias_mant << bias_exp       all state is 0 when a sample starts
"""

from dataclasses import dataclass, fields
from typing import Any, ClassVar, Literal, TypeGuard

import numpy as np
from numpy.typing import NDArray

from deploy.arithmetic.registers import (
    BIAS_EXP_MAX,
    BIAS_MANT_MAX,
    BIAS_MANT_MIN,
    DECAY_MAX,
    MESSAGE_MAX,
    VTH_MAX,
    IntArray,
    Shape,
    as_register,
    check_shape,
)
from deploy.errors import BadInput

Range = tuple[int, int]


@dataclass(frozen=True, eq=False)
class _Neurons:
    name: str
    shape: Shape

    @property
    def size(self) -> int:
        """Number of neurons."""
        return int(np.prod(self.shape, dtype=np.int64))


class _Biased:
    bias_mant: IntArray
    bias_exp: IntArray

    @property
    def bias(self) -> IntArray:
        """The effective bias bias_mant << bias_exp, int32 [*shape]."""
        return np.left_shift(self.bias_mant, self.bias_exp)


@dataclass(frozen=True, eq=False)
class Population(_Biased, _Neurons):
    """Current-based leaky integrate-and-fire neurons, or integrators of the same recurrence.

        u ← T(u·(4096 − (du + 1))) + (a << 6)
        v ← clip(T(v·(4096 − dv)) + u + b)
        v ← 0 in the `refractory` steps after a spike
        s = v > (vth << 6), then v ← 0 where s

    Registers: du, dv in 0..4095 (du is the decay minus one: 4095 clears the current each step; −1,
    no current decay, is legal in the emulator and in Lava), vth in 0..131071, bias_mant in
    −4096..4095, bias_exp in 0..7. An integrator's vth is 131071: on a chip, a neuron that never
    fires is one that cannot reach its threshold, and the proof says so.

    refractory: 0..62 steps, 0 for none, as on Loihi 1 (register refractory + 1, see nengo-loihi's
    emulator): u goes on, v is held at 0. reset_interval, reset_offset: u and v are also cleared
    before every step t of a sample (from 0) with t % interval == offset; interval 0 for never.
    """

    du: IntArray
    dv: IntArray
    vth: IntArray
    bias_mant: IntArray
    bias_exp: IntArray
    kind: Literal["lif", "integrator"] = "lif"
    refractory: int = 0
    reset_interval: int = 0
    reset_offset: int = 0


@dataclass(frozen=True, eq=False)
class Ternary(_Biased, _Neurons):
    """Leaky integrate-and-fire neurons of two thresholds, Lava's TernaryLIF: messages −1, 0 and 1.

        u ← T(u·(4096 − (du + 1))) + (a << 6)
        v ← clip(T(v·(4096 − dv)) + u + b)
        s = (v > (vth << 6)) − (v < (vth_lo << 6)), then v ← 0 where s

    Registers as of a Population; vth_lo in −131072..vth. A vth_lo of −131072 is never reached.
    """

    kind: ClassVar[Literal["ternary"]] = "ternary"
    du: IntArray
    dv: IntArray
    vth: IntArray
    vth_lo: IntArray
    bias_mant: IntArray
    bias_exp: IntArray


@dataclass(frozen=True, eq=False)
class Threshold(_Biased, _Neurons):
    """A threshold without memory: a leaky integrate-and-fire neuron that is reset before every step.

        u ← a << 6                      wrapped to 24 bits
        v ← clip(u + b)
        s = v > (vth << 6), then v ← 0 where s

    Registers as of a Population. Lava's LIFReset of interval 1 is the same.
    """

    kind: ClassVar[Literal["threshold"]] = "threshold"
    vth: IntArray
    bias_mant: IntArray
    bias_exp: IntArray


@dataclass(frozen=True, eq=False)
class Graded(_Neurons):
    """Graded messages without memory: Lava's GradedReluVec (`rectified`) or GradedVec.

        s = a where a > vth, else 0                 rectified
        s = a where |a| > vth, else 0               not rectified

    vth: 0..2^23 − 1. message_bits: 8..24, what the network was made for: 0..2^bits − 1 rectified,
    else two's complement. Lava clips nothing, so a larger message is sent as it is, and is an edge
    of the proof. Scale sums down with a negative weight exponent.
    """

    kind: ClassVar[Literal["graded"]] = "graded"
    vth: int = 0
    rectified: bool = True
    message_bits: int = 24


@dataclass(frozen=True, eq=False)
class Delta(_Neurons):
    """Delta encoding of a graded signal: Lava's sdn.Delta, fixed point.

        x ← a << (spike_exp + state_exp)
        δ = x − x(t − 1) + residue                  error ← error + δ, with cum_error
        m = δ where |δ| ≥ θ (|error| ≥ θ with cum_error), else 0
        residue ← δ − m                             error ← 0 where m ≠ 0
        s = m >> state_exp

    θ = vth << (spike_exp + state_exp). vth ≥ 0; spike_exp, state_exp: 0..7; θ below 2^23.
    message_bits: 8..24 in two's complement, as for Graded. State recorded: u is x, v the residue.
    """

    kind: ClassVar[Literal["delta"]] = "delta"
    vth: int
    spike_exp: int = 0
    state_exp: int = 0
    cum_error: bool = False
    message_bits: int = 16


@dataclass(frozen=True, eq=False)
class Sigma(_Neurons):
    """Decoding of delta messages: Lava's sdn.Sigma, fixed point.

        σ ← σ + a
        s = σ

    message_bits: 8..24 in two's complement, as for Graded. State recorded: u is σ.
    """

    kind: ClassVar[Literal["sigma"]] = "sigma"
    message_bits: int = 24


@dataclass(frozen=True, eq=False)
class SigmaDelta(_Neurons):
    """Sigma-delta neurons: Lava's sdn.SigmaDelta, fixed point, as lava-dl's PilotNet-SDNN uses it.

        σ ← σ + a
        x ← f(σ + (bias << (spike_exp + state_exp)))        f = max(·, 0) rectified, else identity
        δ, m, residue and error as of a Delta
        s = m >> state_exp

    bias: int32 [*shape] in −32768..32767, scaled below 2^23; the rest as of a Delta. State
    recorded: u is σ, v the residue.
    """

    kind: ClassVar[Literal["sigma-delta"]] = "sigma-delta"
    bias: IntArray
    vth: int
    spike_exp: int = 0
    state_exp: int = 0
    rectified: bool = True
    cum_error: bool = False
    message_bits: int = 16


Spiking = Population | Ternary | Threshold
SigmaDeltaLike = Delta | Sigma | SigmaDelta
AnyPopulation = Spiking | Graded | SigmaDeltaLike

KINDS: dict[str, type[AnyPopulation]] = {
    "lif": Population,
    "integrator": Population,
    "ternary": Ternary,
    "threshold": Threshold,
    "graded": Graded,
    "delta": Delta,
    "sigma": Sigma,
    "sigma-delta": SigmaDelta,
}


def message_range(p: AnyPopulation) -> Range:
    """The smallest and largest message that a population states it sends, silence included."""
    if isinstance(p, Population | Threshold):
        return 0, 1
    if isinstance(p, Ternary):
        return -1, 1
    if isinstance(p, Graded) and p.rectified:
        return 0, min(2**p.message_bits - 1, MESSAGE_MAX)
    return -(2 ** (p.message_bits - 1)), 2 ** (p.message_bits - 1) - 1


def recorded_states(p: AnyPopulation) -> tuple[Literal["u", "v"], ...]:
    """The states that a trace of a population records; a Graded population has none."""
    if isinstance(p, Graded):
        return ()
    return ("u",) if isinstance(p, Sigma) else ("u", "v")


def is_plain(p: AnyPopulation) -> TypeGuard[Population]:
    """Whether p is leaky integrate-and-fire or an integrator, without refractory or reset rules."""
    return isinstance(p, Population) and p.refractory == p.reset_interval == 0


def register_arrays(p: AnyPopulation) -> dict[str, IntArray]:
    """The registers that each neuron has, by name: int32 [*shape]."""
    return {n: x for n, x in _values(p).items() if isinstance(x, np.ndarray)}


def group_registers(p: AnyPopulation) -> dict[str, IntArray]:
    """The registers by which neurons fall into a core's parameter groups: all but the bias."""
    return {n: x for n, x in register_arrays(p).items() if not n.startswith("bias")}


def settings(p: AnyPopulation) -> dict[str, int]:
    """The numbers that hold for a whole population, by name; those that are 0 are off, and left out."""
    return {n: int(x) for n, x in _values(p).items() if isinstance(x, int) and x}


def _values(p: AnyPopulation) -> dict[str, Any]:
    return {f.name: getattr(p, f.name) for f in fields(p) if f.name not in ("name", "shape")}


def make_population(
    name: str,
    shape: Shape,
    *,
    du: Any = DECAY_MAX,
    dv: Any = 0,
    vth: Any = VTH_MAX,
    bias: Any = 0,
    kind: Literal["lif", "integrator"] = "lif",
    refractory: int = 0,
    reset_interval: int = 0,
    reset_offset: int = 0,
) -> Population:
    """A Population with registers broadcast to `shape` and the bias split into its registers.

    bias: the effective integer bias in units of v. Raises BadInput where no mantissa and exponent
    express it exactly.
    """
    registers = _registers(name, shape, {"du": du, "dv": dv, "vth": vth}, bias)
    return Population(
        name,
        tuple(shape),
        **registers,
        kind=kind,
        refractory=refractory,
        reset_interval=reset_interval,
        reset_offset=reset_offset,
    )


def make_ternary(
    name: str,
    shape: Shape,
    *,
    vth_lo: Any,
    vth: Any = VTH_MAX,
    du: Any = DECAY_MAX,
    dv: Any = 0,
    bias: Any = 0,
) -> Ternary:
    """A Ternary population; as `make_population`."""
    registers = {"du": du, "dv": dv, "vth": vth, "vth_lo": vth_lo}
    return Ternary(name, tuple(shape), **_registers(name, shape, registers, bias))


def make_threshold(name: str, shape: Shape, *, vth: Any, bias: Any = 0) -> Threshold:
    """A Threshold population; as `make_population`."""
    return Threshold(name, tuple(shape), **_registers(name, shape, {"vth": vth}, bias))


def make_sigma_delta(
    name: str, shape: Shape, *, vth: int, bias: Any = 0, **numbers: Any
) -> SigmaDelta:
    """A SigmaDelta population with the bias broadcast to `shape`. numbers: its other fields."""
    check_shape(name, shape)
    values = as_register(name, "bias", bias, shape)
    return SigmaDelta(name, tuple(shape), values, vth, **numbers)


def _registers(name: str, shape: Shape, values: dict[str, Any], bias: Any) -> dict[str, IntArray]:
    """The values, and the bias split into mantissa and exponent, broadcast to `shape`."""
    check_shape(name, shape)
    mantissa, exponent = bias_registers(name, bias)
    values = values | {"bias_mant": mantissa, "bias_exp": exponent}
    return {register: as_register(name, register, x, shape) for register, x in values.items()}


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
