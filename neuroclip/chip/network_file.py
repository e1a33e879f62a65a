"""A chip network as plain values and tensors, for files: what `to_chip` makes can be read back, exactly.

    {"inputs": {name: shape}, "outputs": [name, …], "wires": [{name, source, target, delay}, …],
     "modules": {name: {"kind": "linear" | "conv2d" | "sum-pool" | "neuron", …}}}

Weights, biases and registers are tensors called MODULE.weight, MODULE.bias, MODULE.du, MODULE.dv and
MODULE.vth. Nothing in either is run.
"""

import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from math import isfinite, prod
from typing import Any, Literal

import torch
from msgspec.structs import asdict as plain
from torch import Tensor, nn

from deploy.arithmetic.registers import BIAS_EXP_MAX, VTH_MAX, WEIGHT_MAX, WEIGHT_MIN
from deploy.decode import converted, structure
from deploy.errors import BadInput
from deploy.program.program import DECAY_MAX, Shape
from neuroclip.chip.network import ChipNetwork, Wire
from neuroclip.chip.neurons import ChipNeuron, run
from neuroclip.chip.recurrence import Surrogate
from neuroclip.chip.synapses import ChipConv2d, ChipLinear, ChipSumPool2d

Pair = tuple[int, int]
Tensors = Mapping[str, Tensor]

# Sizes and powers of two beyond these fit no machine and no float32.
_MAX_WINDOW = 1 << 10
_MAX_SIZE = 1 << 24
_MAX_EXPONENT = 64
_REGISTERS = {"du": (-1, DECAY_MAX), "dv": (0, DECAY_MAX + 1), "vth": (0, VTH_MAX)}


@dataclass(frozen=True)
class _Linear:
    exponent: int


@dataclass(frozen=True)
class _Conv2d:
    exponent: int
    stride: Pair
    padding: Pair
    dilation: Pair
    groups: int


@dataclass(frozen=True)
class _SumPool:
    channels: int
    kernel: Pair
    stride: Pair
    padding: Pair
    weight: int


@dataclass(frozen=True)
class _Neuron:
    shape: tuple[int, ...]
    unit: float
    bias_exponent: int
    neurons: Literal["lif", "integrator"]
    surrogate: str
    width: float


_KINDS: dict[str, Any] = {
    "linear": _Linear, "conv2d": _Conv2d, "sum-pool": _SumPool, "neuron": _Neuron,
}  # fmt: skip


@dataclass(frozen=True)
class _Described:
    inputs: dict[str, tuple[int, ...]]
    outputs: tuple[str, ...]
    wires: tuple[Any, ...]
    modules: dict[str, dict[str, Any]]


def described_network(network: ChipNetwork) -> dict[str, Any]:
    """The structure of a network that `to_chip` made, as JSON holds it."""
    return {
        "inputs": {name: list(shape) for name, shape in network.inputs.items()},
        "outputs": list(network.outputs),
        "wires": [asdict(wire) for wire in network.wires],
        "modules": {name: _described(module) for name, module in network.named_children()},
    }


def network_tensors(network: ChipNetwork) -> dict[str, Tensor]:
    """The tensors of a network, by module and name."""
    found: dict[str, Tensor] = {}
    for name, module in network.named_children():
        if isinstance(module, ChipLinear):
            found[f"{name}.weight"] = module.weight.detach()
        if isinstance(module, ChipNeuron):
            found[f"{name}.bias"] = module.bias.detach()
            for register in _REGISTERS:
                held = torch.as_tensor(getattr(module, register))
                found[f"{name}.{register}"] = held.to(torch.int32)
    return found


def network_from(raw: Any, tensors: Tensors) -> ChipNetwork:
    """The network of a structure and its tensors.

    Raises BadInput naming the module and the value: a kind that is not known, a register out of its
    range, tensors that are missing, left over or do not fit each other.
    """
    held = plain(converted(raw, structure(_Described, required=True), "network"))
    wires = tuple(
        Wire(**plain(converted(w, structure(Wire, required=True), f"network.wires[{i}]")))
        for i, w in enumerate(held["wires"])
    )
    for name, shape in held["inputs"].items():
        _require_shape(f"input '{name}'", shape)
    left = dict(tensors)
    modules = {name: _made(name, each, left) for name, each in held["modules"].items()}
    if left:
        raise BadInput(f"tensor '{min(left)}' belongs to no module of the network")
    _require_wired(modules, wires, held["outputs"])
    network = ChipNetwork(held["inputs"], modules, wires, held["outputs"])
    _require_running(network)
    return network.eval()


def _described(module: nn.Module) -> dict[str, Any]:
    if isinstance(module, ChipConv2d):
        window = module.stride, module.padding, module.dilation
        return {"kind": "conv2d", **asdict(_Conv2d(module.exponent, *window, module.groups))}
    if type(module) is ChipLinear:
        return {"kind": "linear", **asdict(_Linear(module.exponent))}
    if isinstance(module, ChipSumPool2d):
        window = module.kernel, module.stride, module.padding
        return {"kind": "sum-pool", **asdict(_SumPool(module.channels, *window, module.weight))}
    assert isinstance(module, ChipNeuron), f"no file holds a {type(module).__name__}"
    surrogate: Any = module.spike_grad
    neuron = _Neuron(
        module.shape, module.unit, module.bias_exponent, module.kind,
        surrogate.kind, surrogate.width / module.unit,
    )  # fmt: skip
    return {"kind": "neuron", **asdict(neuron)}


def _made(name: str, raw: Mapping[str, Any], left: dict[str, Tensor]) -> nn.Module:
    if not re.fullmatch(r"[A-Za-z_0-9]+", name):
        raise BadInput(f"module '{name}': expected a name of letters, digits and _")
    kind = raw.get("kind")
    if not isinstance(kind, str) or kind not in _KINDS:
        raise BadInput(f"module '{name}': kind {kind!r} is none of {', '.join(_KINDS)}")
    rest = {key: value for key, value in raw.items() if key != "kind"}
    of = _KINDS[kind]
    spec = of(**plain(converted(rest, structure(of, required=True), f"network.modules.{name}")))
    try:
        if isinstance(spec, _Neuron):
            return _neuron(name, spec, left)
        if isinstance(spec, _SumPool):
            _require_shape(f"module '{name}'", (spec.channels, *spec.kernel, *spec.stride))
            _require_window(name, spec)
            _require(name, "weight", spec.weight, WEIGHT_MIN, WEIGHT_MAX)
            window = spec.kernel, spec.stride, spec.padding
            return ChipSumPool2d(spec.channels, *window, spec.weight)
        _require(name, "exponent", spec.exponent, -_MAX_EXPONENT, _MAX_EXPONENT)
        weight = _taken(left, f"{name}.weight", torch.float32)
        if isinstance(spec, _Conv2d):
            _require_window(name, spec)
            window = spec.stride, spec.padding, spec.dilation
            _require_dimensions(name, weight, 4)
            return ChipConv2d(weight, spec.exponent, *window, spec.groups)
        _require_dimensions(name, weight, 2)
        return ChipLinear(weight, spec.exponent)
    except (RuntimeError, ValueError, TypeError) as error:
        raise BadInput(f"module '{name}': {_line(error)}") from error


def _neuron(name: str, spec: _Neuron, left: dict[str, Tensor]) -> ChipNeuron:
    _require_shape(f"module '{name}'", spec.shape)
    _require(name, "bias_exponent", spec.bias_exponent, 0, BIAS_EXP_MAX)
    _require(name, "unit", spec.unit, 2.0**-_MAX_EXPONENT, 2.0**_MAX_EXPONENT)
    if not (isfinite(spec.width) and spec.width > 0):
        raise BadInput(f"module '{name}': width {spec.width:g} is not positive")
    registers: dict[str, Any] = {}
    for register, (low, high) in _REGISTERS.items():
        held = _taken(left, f"{name}.{register}", torch.int32)
        for value in (int(held.min()), int(held.max())):
            _require(name, register, value, low, high)
        registers[register] = int(held) if held.ndim == 0 else held.expand(spec.shape)
    bias = _taken(left, f"{name}.bias", torch.float32)
    bias.expand(spec.shape)
    surrogate: Any = spec.surrogate
    return ChipNeuron(
        bias, unit=spec.unit, shape=spec.shape, bias_exponent=spec.bias_exponent,
        kind=spec.neurons, surrogate=Surrogate(surrogate, spec.width), **registers,
    )  # fmt: skip


def _taken(left: dict[str, Tensor], name: str, dtype: torch.dtype) -> Tensor:
    """A tensor that is needed, out of those that are left."""
    if name not in left:
        raise BadInput(f"tensor '{name}' is missing")
    tensor = left.pop(name)
    if tensor.dtype != dtype or not tensor.numel():
        raise BadInput(f"tensor '{name}' holds {tensor.numel()} × {tensor.dtype}, expected {dtype}")
    if not bool(torch.isfinite(tensor).all()):
        raise BadInput(f"tensor '{name}' holds NaN or infinity")
    return tensor


def _require_wired(
    modules: Mapping[str, nn.Module], wires: tuple[Wire, ...], outputs: tuple[str, ...]
) -> None:
    """Each synapse module has one wire, which ends in neurons; outputs are neurons."""
    neurons = {name for name, module in modules.items() if isinstance(module, ChipNeuron)}
    for wire in wires:
        if wire.name not in modules or wire.name in neurons:
            raise BadInput(f"wire '{wire.name}': there are no synapses of that name")
        if wire.target not in neurons or wire.delay not in (0, 1):
            raise BadInput(f"wire '{wire.name}': no neurons '{wire.target}', or delay {wire.delay}")
    if sorted(w.name for w in wires) != sorted(modules.keys() - neurons) or not outputs:
        raise BadInput("network: every synapse module needs one wire, and one output is needed")
    for name in outputs:
        if name not in neurons:
            raise BadInput(f"output '{name}': there are no neurons of that name")
    if reached := neurons - {wire.target for wire in wires}:
        raise BadInput(f"module '{min(reached)}': no wire ends in it")


@torch.no_grad()
def _require_running(network: ChipNetwork) -> None:
    """Sizes fit each other: a step of silence runs."""
    try:
        run(network, {name: torch.zeros(1, 1, *shape) for name, shape in network.inputs.items()})
    except (RuntimeError, AssertionError, ValueError) as error:
        raise BadInput(f"network: its parts do not fit each other: {_line(error)}") from error


def _require_window(name: str, spec: Any) -> None:
    """Steps of a window are at least 1, and what stands around an image is no larger than any image."""
    for key, least in (("stride", 1), ("padding", 0), ("dilation", 1)):
        for value in getattr(spec, key, ()):
            _require(name, key, value, least, _MAX_WINDOW)


def _require_dimensions(name: str, weight: Tensor, count: int) -> None:
    if weight.ndim != count:
        raise BadInput(f"tensor '{name}.weight' has shape {tuple(weight.shape)}")


def _require_shape(what: str, shape: Shape) -> None:
    if not shape or min(shape) < 1 or prod(shape) > _MAX_SIZE:
        raise BadInput(f"{what}: shape {list(shape)}, expected 1 to {_MAX_SIZE} in all")


def _require(name: str, key: str, value: float, low: float, high: float) -> None:
    if not low <= value <= high:
        raise BadInput(f"module '{name}': {key} {value:g}, expected {low:g} to {high:g}")


def _line(error: Exception) -> str:
    return str(error).splitlines()[0] if str(error) else type(error).__name__
