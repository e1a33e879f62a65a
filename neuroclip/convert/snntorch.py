"""A trained snnTorch network as a chip network: what the chip does alike is kept, the rest refused.

    chip = to_chip(model, (2, 34, 34))

The network is traced (`neuroclip.convert.tracing`), what lies between two populations becomes one set of
synapses (`neuroclip.convert.layers`), and weights, thresholds, biases and decays become integers.
"""

from dataclasses import dataclass, field

import snntorch as snn
import torch
from torch import nn

from deploy.errors import BadInput
from deploy.program.program import Shape
from neuroclip.chip.network import INPUT, ChipNetwork, Wire
from neuroclip.chip.neurons import ChipNeuron
from neuroclip.chip.synapses import V_UNIT, ChipSumPool2d
from neuroclip.convert.layers import applied, array
from neuroclip.convert.parts import (
    Incoming,
    chip_map,
    chip_neuron,
    exponent_of,
    population_bias,
    shares,
    synapses,
)
from neuroclip.convert.resets import require_chip_resets
from neuroclip.convert.tracing import Site, TracedModel, trace_model
from neuroclip.linear.affine import Affine, average, identity, pair
from neuroclip.linear.maps import diagonal

_NEURONS = (snn.Leaky, snn.Synaptic, snn.RLeaky, snn.RSynaptic)
_RECURRENT = (snn.RLeaky, snn.RSynaptic)


@torch.no_grad()
def to_chip(model: nn.Module, shape: Shape | None = None, message_max: int = 1) -> ChipNetwork:
    """The chip network of an snnTorch network, whose forward makes one step or all of them.

    Linear, Conv2d, AvgPool2d, BatchNorm, Flatten, Dropout and Identity between neurons become one
    set of synapses with even integer weights under a power-of-two scale per population; Leaky,
    Synaptic, RLeaky and RSynaptic keep threshold and decays in registers of 17 and 12 bits; MaxPool2d
    after neurons is a population that fires where any of its inputs does. A neuron that never resets
    is an integrator, whose membrane potential is read. The result can be trained on, exported and
    run; learned weights are the model's own until then.

    shape: of one step's input, without the batch; may be left out where a Linear comes first.
    message_max: the largest |input|, integers; 1 for spikes. Raises BadInput naming the module that
    the chip cannot do as it is: a reset by subtraction or with delay (see `neuroclip.convert.resets`), a
    graded output, two layers without a neuron between, a bias that passes a synaptic filter.
    """
    require_chip_resets(model)
    return _Conversion(trace_model(model), shape, message_max).network()


@dataclass(eq=False)
class _Conversion:
    """Populations by name, each with what comes in, in the order in which they are met."""

    traced: TracedModel
    shape: Shape | None
    message_max: int
    modules: dict[str, nn.Module] = field(default_factory=dict)
    wires: list[Wire] = field(default_factory=list)
    shapes: dict[str, Shape] = field(default_factory=dict)

    def network(self) -> ChipNetwork:
        self.shapes[INPUT] = self._input_shape()
        for site in self.traced.sites:
            if isinstance(site.module, snn.SpikingNeuron):
                self._neurons(site)
            elif isinstance(site.module, nn.MaxPool2d):
                self._any_of(site)
        outputs = self.traced.outputs
        for name in outputs:
            if _plain(name) not in self.shapes:
                raise BadInput(
                    f"module '{name}': its last layer is no neuron, so nothing of it can be read"
                )
        for name, module in self.modules.items():
            integrates = isinstance(module, ChipNeuron) and module.kind == "integrator"
            if integrates and any(wire.source == name for wire in self.wires):
                raise BadInput(
                    f"module '{name}': it never resets, so it can only be read, and others read it"
                )
        return ChipNetwork(
            self.shapes[INPUT], self.modules, tuple(self.wires), tuple(map(_plain, outputs))
        )

    def _input_shape(self) -> Shape:
        if self.shape is not None:
            return tuple(self.shape)
        first = next((s for s in self.traced.sites if s.feeds[0].source == INPUT), None)
        if first is None or not isinstance(first.module, nn.Linear):
            raise BadInput("model: give the shape of its input, for example shape=(2, 34, 34)")
        return (first.module.in_features,)

    def _neurons(self, site: Site) -> None:
        """A population of the user's neurons, and the synapses into it."""
        name, neuron = site.name, site.module
        _check(name, neuron)
        incoming = self._incoming(site)
        shape = incoming[0].affine.target
        if any(one.affine.target != shape for one in incoming):
            shapes = sorted({one.affine.target for one in incoming})
            raise BadInput(f"module '{name}': inputs of the shapes {shapes} are added")
        if isinstance(neuron, _RECURRENT):
            loop = _recurrent(name, neuron, shape)
            incoming.append(Incoming(f"{name}.recurrent", name, loop, 1))
        self.shapes[_plain(name)] = shape
        exponent = exponent_of(neuron, incoming)
        self._synapses(incoming, _plain(name), exponent)
        bias = population_bias(name, shape, incoming)
        self.modules[_plain(name)] = chip_neuron(name, neuron, shape, bias, exponent)

    def _incoming(self, site: Site) -> list[Incoming]:
        """Each way from a population to a neuron."""
        found = []
        for feed in site.feeds:
            for layers, source, delay in self._ways(feed.source, feed.delay):
                operator = identity(self._shape(source, site.name))
                for layer in layers:
                    operator = applied(layer, operator, self.traced.site(layer).module)
                weighted = [x for x in layers if hasattr(self.traced.site(x).module, "weight")]
                named = weighted or layers or [f"{source}_to_{site.name}"]
                found.append(Incoming(named[0], source, operator, delay, self._max(source)))
        return found

    def _ways(self, name: str, delay: int) -> list[tuple[list[str], str, int]]:
        """(linear layers in order, population or input before them, delay) of each way to `name`."""
        if name == INPUT or _fires(self.traced.site(name)):
            return [([], name, delay)]
        return [
            ([*layers, name], source, total)
            for feed in self.traced.site(name).feeds
            for layers, source, total in self._ways(feed.source, delay + feed.delay)
        ]

    def _shape(self, source: str, reader: str) -> Shape:
        if _plain(source) not in self.shapes:
            raise BadInput(
                f"module '{reader}': it reads '{source}' of the step before, which is not known yet; "
                "use RLeaky or RSynaptic for loops"
            )
        return self.shapes[_plain(source)]

    def _any_of(self, site: Site) -> None:
        """Max pooling of spikes: a population that fires where any in the window does."""
        name, pool = site.name, site.module
        assert isinstance(pool, nn.MaxPool2d)
        (feed,) = site.feeds
        if (feed.source == INPUT and self.message_max > 1) or not self._is_spikes(feed.source):
            raise BadInput(
                f"module '{name}': MaxPool2d of real values does not exist on the chip; put it after "
                "a neuron, or use AvgPool2d"
            )
        if pair(pool.dilation) != (1, 1) or pool.ceil_mode or pool.return_indices:
            raise BadInput(f"module '{name}': dilation, ceil_mode and indices are not supported")
        kernel = pair(pool.kernel_size)
        stride = pair(pool.stride if pool.stride is not None else kernel)
        source = self.shapes[_plain(feed.source)]
        shape = average(name, source, kernel, stride, pair(pool.padding)).target
        plain = _plain(name)
        self.shapes[plain] = shape
        self.modules[f"{plain}_sum"] = ChipSumPool2d(shape[0], kernel, stride, pair(pool.padding))
        # Both registers clear what was there: the sum alone decides, and one spike is enough.
        self.modules[plain] = ChipNeuron(
            torch.zeros(1, 1, 1), unit=2.0 * V_UNIT, shape=shape, du=4095, dv=4095, vth=0
        )
        self.wires.append(Wire(f"{plain}_sum", _plain(feed.source), plain, feed.delay))

    def _is_spikes(self, name: str) -> bool:
        return name == INPUT or _fires(self.traced.site(name))

    def _max(self, source: str) -> int:
        return self.message_max if source == INPUT else 1

    def _synapses(self, incoming: list[Incoming], target: str, exponent: int) -> None:
        for one, sum_max in zip(incoming, shares(incoming), strict=True):
            name = _plain(one.name)
            if name in self.modules:
                raise BadInput(
                    f"module '{one.name}': it is used twice; give each use a module of its own"
                )
            self.modules[name] = synapses(chip_map(one.name, one.affine), exponent, sum_max)
            self.wires.append(Wire(name, _plain(one.source), target, one.delay))


def _plain(name: str) -> str:
    """A module path as the name of a torch attribute."""
    return name.replace(".", "_")


def _fires(site: Site) -> bool:
    return isinstance(site.module, snn.SpikingNeuron | nn.MaxPool2d)


def _recurrent(name: str, neuron: nn.Module, shape: Shape) -> Affine:
    """The loop of an RLeaky or RSynaptic."""
    recurrent = neuron.recurrent
    if isinstance(recurrent, nn.Linear | nn.Conv2d):
        return applied(f"{name}.recurrent", identity(shape), recurrent)
    weight = torch.as_tensor(recurrent.V, dtype=torch.float32).expand(shape)
    return Affine(shape, shape, diagonal(array(weight)))


def _check(name: str, neuron: nn.Module) -> None:
    """What changes the spikes of a neuron on the chip is named, never dropped."""
    if type(neuron) not in _NEURONS:
        raise BadInput(
            f"module '{name}': {type(neuron).__name__} does not exist on the chip; "
            "expected Leaky, Synaptic, RLeaky or RSynaptic"
        )
    if neuron.inhibition or neuron.state_quant:
        raise BadInput(f"module '{name}': inhibition and state_quant do not exist on the chip")
    factor = float(torch.as_tensor(neuron.graded_spikes_factor).reshape(-1)[0])
    if factor != 1:
        raise BadInput(
            f"module '{name}': graded_spikes_factor {factor:g}; "
            "multiply the next layer's weights by it instead"
        )
