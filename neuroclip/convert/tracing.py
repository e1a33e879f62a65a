"""Which module of a torch network feeds which, whether its forward makes one step or all of them.

The forward is traced by torch.fx with the layers as leaves. A forward that loops over time calls
every module once a step: what a module gets from an earlier call of another is a message one step
old, and the calls of one step are the network.
"""

import operator
from dataclasses import dataclass
from typing import Any

import snntorch as snn
import torch
from torch import fx, nn

from deploy.errors import BadInput

INPUT = "input"


@dataclass(frozen=True)
class Feed:
    """What one call of a module reads: the module (or `INPUT`) that sends, and how many steps ago."""

    source: str
    delay: int


@dataclass(frozen=True, eq=False)
class Site:
    """A module's place in the network; several feeds are added up."""

    name: str
    module: nn.Module
    feeds: tuple[Feed, ...]


@dataclass(frozen=True, eq=False)
class TracedModel:
    """The sites of a network, in the order in which they are first called, and those that it returns."""

    sites: tuple[Site, ...]
    outputs: tuple[str, ...]

    def site(self, name: str) -> Site:
        """The site called `name`."""
        return next(s for s in self.sites if s.name == name)


def trace_model(model: nn.Module) -> TracedModel:
    """The sites of a network whose forward takes one tensor, of one step or of all.

    Raises BadInput naming the operation that is no layer.
    """
    try:
        graph = _Tracer().trace(model)
    except (TypeError, ValueError, RuntimeError, fx.proxy.TraceError) as error:
        line = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise BadInput(
            f"model: its forward cannot be traced ({line}); it may not depend on its data"
        ) from error
    return _Reading(model, graph).traced()


class _Tracer(fx.Tracer):
    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        layer = isinstance(m, snn.SpikingNeuron)
        return layer or super().is_leaf_module(m, module_qualified_name)


class _Reading:
    """One pass over an fx graph. Values are sets of (site, call number); what holds no message is None."""

    def __init__(self, model: nn.Module, graph: fx.Graph) -> None:
        self.modules: dict[str, nn.Module] = dict(model.named_modules())
        self.graph = graph
        self.values: dict[fx.Node, frozenset[tuple[str, int]] | None] = {}
        self.calls: dict[str, int] = {}
        self.fed: dict[str, set[Feed]] = {}
        self.made: dict[str, nn.Module] = {}

    def traced(self) -> TracedModel:
        ends: frozenset[tuple[str, int]] = frozenset()
        for node in self.graph.nodes:
            if node.op == "output":
                found = [self.values[n] for n in node.all_input_nodes]
                ends = frozenset().union(*(v for v in found if v is not None))
            else:
                self.values[node] = self._value(node)
        if not ends:
            raise BadInput("model: what its forward returns comes from no layer")
        sites = tuple(
            Site(name, self.made[name], tuple(sorted(feeds, key=lambda f: (f.delay, f.source))))
            for name, feeds in self.fed.items()
        )
        return TracedModel(sites, tuple(sorted({name for name, _ in ends})))

    def _value(self, node: fx.Node) -> frozenset[tuple[str, int]] | None:
        if node.op == "placeholder":
            return frozenset({(INPUT, 0)})
        if node.op == "get_attr":
            return None  # a neuron's cleared state
        if node.op == "call_module":
            return self._call(str(node.target), self.modules[str(node.target)], node)
        return self._operation(node)

    def _call(self, name: str, module: nn.Module, node: fx.Node) -> frozenset[tuple[str, int]]:
        if isinstance(module, nn.Dropout | nn.Dropout1d | nn.Dropout2d | nn.Identity):
            return self._message(name, node.args[0])
        call = self.calls.get(name, 0)
        self.calls[name] = call + 1
        feeds = {
            # Whatever the step, the input is the present one.
            Feed(source, 0 if source == INPUT else call - number)
            for source, number in self._message(name, node.args[0])
        }
        if any(not 0 <= feed.delay <= 1 for feed in feeds):
            raise BadInput(f"module '{name}': it reads a message more than one step old")
        self.made[name] = module
        if call == 0:
            self.fed[name] = feeds
        elif not self.fed[name] <= feeds:
            raise BadInput(f"module '{name}': it is used twice; give each use a module of its own")
        self.fed[name] = feeds
        return frozenset({(name, call)})

    def _operation(self, node: fx.Node) -> frozenset[tuple[str, int]] | None:
        name = getattr(node.target, "__name__", str(node.target))
        held = [self.values[n] for n in node.all_input_nodes]
        messages = [v for v in held if v is not None]
        if name == "getitem" or node.target in (torch.stack, torch.cat) or not messages:
            return frozenset().union(*messages) if messages else None
        if node.target in (operator.add, operator.iadd, torch.add) or name in ("add", "add_"):
            if len(messages) != len(node.args):
                raise BadInput(f"model: operation '{node.name}' adds a constant to a message")
            return frozenset().union(*messages)
        if name in ("size", "getattr", "dim", "len"):
            return None
        if name == "dropout":
            return messages[0]
        made = _as_module(name, node)
        if made is not None:
            # An operation is a layer under the name that fx gives it, without the step's number.
            return self._call(node.name.rstrip("0123456789").rstrip("_"), made, node)
        raise BadInput(
            f"model: operation '{node.name}' ({name}) is no layer of a chip; supported are layers, "
            "additions, flatten, avg_pool2d and max_pool2d"
        )

    def _message(self, name: str, value: Any) -> frozenset[tuple[str, int]]:
        found = self.values.get(value) if isinstance(value, fx.Node) else None
        if found is None:
            raise BadInput(f"module '{name}': its input is no message")
        return found


def _as_module(name: str, node: fx.Node) -> nn.Module | None:
    """The module that does what a traced function or method does, or None."""
    arguments: list[Any] = list(node.args[1:])
    named: dict[str, Any] = {k: v for k, v in node.kwargs.items() if k != "input"}
    if name in ("avg_pool2d", "max_pool2d"):
        kind = nn.AvgPool2d if name == "avg_pool2d" else nn.MaxPool2d
        return kind(*arguments, **named)
    if name == "flatten":
        return nn.Flatten(*arguments, **named)
    if name in ("view", "reshape") and len(arguments) == 2 and arguments[1] == -1:
        return nn.Flatten()
    return None
