"""From the labels of what a neuron reads to the populations that send it, and by which layers.

A way is a source, the step at which it sent, and links from there: layers, choices of elements and
factors. `Reader.ways` follows the numbers back to the sources and gives, for neurons [N, F], all ways
whose sum they read, and what is added whatever the sources send.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from deploy.errors import BadInput
from deploy.program.program import Shape
from neuroclip.convert.watch.labels import (
    Constant,
    Foreign,
    Labels,
    Layered,
    Origin,
    Sent,
    Summed,
    Watch,
)
from neuroclip.convert.watch.observe import OtherLayout
from neuroclip.linear.affine import (
    Affine,
    average,
    channelwise,
    chosen,
    convolution,
    followed,
    matrix,
    pair,
)
from neuroclip.linear.batch_norm import affine
from neuroclip.linear.maps import Convolution, Dense, apply, diagonal, gathered, rows_of

Values = NDArray[np.float64]


@dataclass(frozen=True)
class Source:
    """What sends messages: an input, neurons, or the OR of windows of another source's spikes."""

    name: str
    shape: Shape
    pooled: "Way | None" = None
    arguments: tuple[Any, ...] = ()


@dataclass(frozen=True, eq=False)
class Link:
    """One map on the way; key: two of the same key do the same. weighted: it has weights of its own."""

    key: tuple[Any, ...]
    affine: Affine
    name: str = ""
    weighted: bool = False


@dataclass(frozen=True)
class Way:
    """Links from a source's messages of one step (None: of every step) to sums."""

    source: Source
    step: int | None
    links: tuple[Link, ...] = ()

    @property
    def key(self) -> tuple[Any, ...]:
        """The same for two ways that do the same, whatever the step."""
        return (self.source, *(link.key for link in self.links))

    def shape(self) -> Shape:
        """Of what arrives."""
        return self.links[-1].affine.target if self.links else self.source.shape

    def then(self, link: Link | None) -> "Way":
        """With one link more."""
        return self if link is None else Way(self.source, self.step, (*self.links, link))

    def whole(self, name: str) -> Affine:
        """All links as one map."""
        made = Affine(self.source.shape, self.source.shape)
        for link in self.links:
            made = followed(link.name or name, made, link.affine)
        return made


Found = tuple[tuple[Way, ...], Values]


@dataclass(eq=False)
class Reader:
    """Reads the labels of one watched forward pass of `batch` samples."""

    watch: Watch
    batch: int
    _layers: dict[tuple[Any, ...], Link] = field(default_factory=dict)

    def origin(self, label: int) -> Origin:
        """What made the element of this number."""
        return self.watch.origins[int(np.searchsorted(self.watch.firsts, label, side="right")) - 1]

    def ways(self, reader: str, labels: Labels) -> Found:
        """All ways into neurons numbered [N, F], and the constant [F] that they read beside.

        Raises BadInput naming `reader` and what it reads that nothing sends.
        """
        if len(labels) != self.batch:
            raise OtherLayout(
                f"module '{reader}': its input has {len(labels)} rows for {self.batch} samples; "
                "the samples' axis comes first"
            )
        found: list[Way] = []
        constant = np.zeros(labels.shape[1])
        for origin, places in self._parts(reader, labels):
            ways, added = self._from(reader, origin, labels[:, places] - origin.first)
            constant[places] += added
            for way in ways:
                found.append(way.then(_choice(way.shape(), labels.shape[1], places)))
        return _merged(found), constant

    def _parts(self, reader: str, labels: Labels) -> Iterator[tuple[Origin, NDArray[np.int64]]]:
        """Each origin of the neurons' inputs, with the neurons that read it."""
        made = np.searchsorted(self.watch.firsts, labels, side="right") - 1
        if (made != made[:1]).any():
            raise self._mixed(reader)
        for index in np.unique(made[0]):
            if index >= 0:
                yield self.watch.origins[index], np.flatnonzero(made[0] == index)

    def _mixed(self, reader: str) -> BadInput:
        return OtherLayout(
            f"module '{reader}': what it reads of one sample depends on the samples beside it; the "
            "samples' axis comes first, and each sample goes its own way"
        )

    def _from(self, reader: str, origin: Origin, places: Labels) -> Found:
        """Ways and constant of elements [N, f] of what one origin made."""
        if isinstance(origin, Sent):
            return self._sent(reader, origin, places), np.zeros(places.shape[1])
        if isinstance(origin, Constant):
            values = origin.values.reshape(-1)[places]
            if (values != values[:1]).any():
                raise OtherLayout(
                    f"module '{reader}': it reads values that do not come from the input and differ from "
                    "sample to sample, as noise does; a chip adds the same to each"
                )
            return (), values[0]
        if isinstance(origin, Summed):
            return self._sum(reader, origin, places)
        if isinstance(origin, Layered):
            return self._layer(reader, origin, places)
        assert isinstance(origin, Foreign)
        raise foreign(reader, origin)

    def _sent(self, reader: str, origin: Sent, places: Labels) -> tuple[Way, ...]:
        if origin.quantity in ("mem", "syn"):
            word = "membrane potential" if origin.quantity == "mem" else "synaptic current"
            raise BadInput(
                f"module '{reader}': it reads the {word} of '{origin.name}'; a chip's neurons send "
                "spikes only"
            )
        samples, steps, features = decoded(origin, places)
        shape = origin.shape[len(origin.axes) - 1 :]
        if (samples != np.arange(self.batch)[:, None]).any() or (features != features[:1]).any():
            raise self._mixed(reader)
        if (steps != steps[:1]).any():
            raise self._mixed(reader)
        source, size, found = Source(origin.name, shape), places.shape[1], []
        for step in np.unique(steps[0]):
            here = np.flatnonzero(steps[0] == step)
            way = Way(source, None if step < 0 else int(step))
            way = way.then(_choice_of(shape, features[0, here]))
            found.append(way.then(_choice(way.shape(), size, here)))
        return tuple(found)

    def _sum(self, reader: str, origin: Summed, places: Labels) -> Found:
        found: list[Way] = []
        constant = np.zeros(places.shape[1])
        for labels, factors in origin.terms:
            factor = factors.reshape(-1)[places]
            if (factor != factor[:1]).any():
                raise self._mixed(reader)
            ways, added = self.ways(reader, labels.reshape(-1)[places])
            constant += added * factor[0]
            link = None
            if (factor[0] != 1).any():
                key = ("factor", factor[0].tobytes())
                shape = (places.shape[1],)
                link = Link(key, channelwise(reader, factor[0], None, shape))
            found += [way.then(link) for way in ways]
        return _merged(found), constant

    def _layer(self, reader: str, origin: Layered, places: Labels) -> Found:
        rows, outputs = np.divmod(places, prod(origin.target))
        if (outputs != outputs[:1]).any():
            raise self._mixed(reader)
        found: list[Way] = []
        constant = np.zeros(places.shape[1])
        inputs = origin.inputs.reshape(-1, prod(origin.source))
        # Neurons that read the same rows of the layer; more than one where steps are joined.
        kinds, kind = np.unique(rows, axis=1, return_inverse=True)
        link = self._link(origin)
        for k in range(kinds.shape[1]):
            here = np.flatnonzero(kind.reshape(-1) == k)
            ways, added = self.ways(origin.name, inputs[kinds[:, k]])
            chosen_here = outputs[0, here]
            if origin.kind == "max_pool2d":
                ways = (self._pooled(origin, ways, added, link),)
            else:
                whole = added if link.affine.map is None else apply(link.affine.map, added)
                whole = whole if link.affine.bias is None else whole + link.affine.bias
                constant[here] += whole[chosen_here]
                ways = tuple(way.then(link) for way in ways)
            for way in ways:
                way = way.then(_choice_of(origin.target, chosen_here))
                found.append(way.then(_choice(way.shape(), places.shape[1], here)))
        return tuple(found), constant

    def _pooled(self, origin: Layered, ways: tuple[Way, ...], added: Values, link: Link) -> Way:
        """A window of spikes fires where any of it does: a source of its own."""
        simple = len(ways) == 1 and not added.any()
        if not simple or any(not x.key[0] == "chosen" for x in ways[0].links):
            raise BadInput(
                f"module '{origin.name}': MaxPool2d of real values does not exist on the chip; put it "
                "after a neuron, or use AvgPool2d"
            )
        if not origin.arguments["plain"]:
            raise BadInput(
                f"module '{origin.name}': dilation, ceil_mode and indices are not supported"
            )
        way = ways[0]
        before = Way(way.source, 0, way.links)
        kernel, stride, padding = (
            pair(origin.arguments[n]) for n in ("kernel", "stride", "padding")
        )
        pooled = Source(origin.name, origin.target, before, (kernel, stride, padding))
        return Way(pooled, way.step)

    def _link(self, origin: Layered) -> Link:
        key = (*origin.key, origin.source)
        if key not in self._layers:
            made = _layer(origin)
            weighted = origin.kind in ("linear", "conv2d")
            self._layers[key] = Link(key, made, origin.name, weighted)
        return self._layers[key]


def decoded(origin: Sent, places: Labels) -> tuple[Labels, Labels, Labels]:
    """(sample, step or −1, place in the population) of elements of what was sent."""
    size = prod(origin.shape[len(origin.axes) - 1 :])
    if origin.axes == "NF":
        samples, features = np.divmod(places, size)
        return samples, np.full_like(places, origin.call), features
    outer, rest = np.divmod(places, origin.shape[1] * size)
    inner, features = np.divmod(rest, size)
    return (outer, inner, features) if origin.axes == "NTF" else (inner, outer, features)


def foreign(reader: str, origin: Foreign) -> BadInput:
    """The refusal of what no layer of a chip does."""
    if origin.layer.startswith("BatchNorm"):
        return BadInput(
            f"module '{origin.where}': without running statistics it norms by what is in the batch; "
            "train it with track_running_stats=True"
        )
    if origin.layer:
        return BadInput(
            f"module '{origin.where}': {origin.layer} is not supported; expected Linear, Conv2d, "
            "AvgPool2d, MaxPool2d after a neuron, BatchNorm, Flatten, Dropout, Identity or a neuron"
        )
    operation = origin.where.rpartition(".")[2]
    if reader == "output":
        return BadInput(
            f"output: what is returned is made by operation '{origin.where}', which is no layer of a chip; "
            + _HINTS.get(operation, "return what goes into it")
        )
    return BadInput(
        f"module '{reader}': it reads what operation '{origin.where}' makes, which is no layer of a chip; "
        + _HINTS.get(
            operation,
            "supported are layers, sums, factors, moves of elements, avg_pool2d and max_pool2d",
        )
    )


_HINTS = {
    "dropout": "it stays on in evaluation: pass training=self.training",
    "batch_norm": "it norms by what is in the batch: pass training=self.training",
    "bernoulli": "draw the spikes before, and give them as the sample",
    "gt": "neurons written out in tensors are not read; use snn.Leaky",
}


def _choice_of(shape: Shape, features: NDArray[np.int64]) -> Link | None:
    """The choice of these elements of a shape; None where it is all of them in order."""
    if len(features) == prod(shape) and (features == np.arange(len(features))).all():
        return None
    made = chosen(shape, (len(features),), features)
    return Link(("chosen", features.tobytes(), shape), made)


def _choice(shape: Shape, size: int, places: NDArray[np.int64]) -> Link | None:
    """What arrives in order goes to these places of `size`."""
    if len(places) == size:
        return None
    indices = np.full(size, -1, np.int64)
    indices[places] = np.arange(len(places))
    return Link(("chosen", indices.tobytes(), shape), chosen(shape, (size,), indices))


def _merged(ways: list[Way]) -> tuple[Way, ...]:
    """Ways that differ only in choices and factors after the last layer, summed into one."""
    groups: dict[tuple[Any, ...], list[Way]] = {}
    for way in ways:
        last = _layers_of(way)
        key = (way.source, way.step, *(link.key for link in way.links[:last]))
        groups.setdefault(key, []).append(way)
    return tuple(group[0] if len(group) == 1 else _summed(group) for group in groups.values())


def _layers_of(way: Way) -> int:
    """How many links there are up to the last layer."""
    return max((i + 1 for i, link in enumerate(way.links) if link.name), default=0)


def _summed(ways: list[Way]) -> Way:
    last = _layers_of(ways[0])
    before = Way(ways[0].source, ways[0].step, ways[0].links[:last])
    lists = []
    for way in ways:
        made = Affine(before.shape(), before.shape())
        for link in way.links[last:]:
            made = followed("", made, link.affine)
        assert not isinstance(made.map, Dense | Convolution)
        lists.append(diagonal(np.ones(prod(made.source))) if made.map is None else made.map)
    size = ways[0].shape()
    total = gathered(
        np.concatenate([rows_of(x) for x in lists]),
        np.concatenate([x.indices for x in lists]),
        np.concatenate([x.weight for x in lists]),
        prod(size),
        prod(before.shape()),
    )
    key = ("summed", total.weight.tobytes(), total.indices.tobytes(), total.indptr.tobytes())
    return before.then(Link(key, Affine(before.shape(), size, total)))


def _layer(origin: Layered) -> Affine:
    """The map of a layer's call."""
    name, source, given = origin.name, origin.source, origin.arguments
    if origin.kind == "linear":
        weight, bias = given["weights"]
        return matrix(name, weight, bias, source)
    if origin.kind == "conv2d":
        weight, bias = given["weights"]
        dilation = pair(given["dilation"])
        padding = given["padding"]
        if padding == "valid":
            padding = (0, 0)
        elif isinstance(padding, str):
            extra = [d * (k - 1) for d, k in zip(dilation, weight.shape[2:], strict=True)]
            if any(n % 2 for n in extra):
                raise BadInput(f"module '{name}': padding 'same' differs between the two sides")
            padding = (extra[0] // 2, extra[1] // 2)
        return convolution(
            name, weight, bias, source, pair(given["stride"]), pair(padding), dilation,
            given["groups"],
        )  # fmt: skip
    if origin.kind == "batch_norm":
        weight, bias, mean, variance = given["weights"]
        weight = np.ones_like(mean) if weight is None else weight
        bias = np.zeros_like(mean) if bias is None else bias
        gain, shift = affine(weight, bias, mean, variance, given["eps"])
        return channelwise(name, gain, shift, source)
    if not given["plain"]:
        raise BadInput(
            f"module '{name}': ceil_mode, divisor_override and count_include_pad=False are not "
            "supported"
        )
    return average(
        name, source, pair(given["kernel"]), pair(given["stride"]), pair(given["padding"])
    )
