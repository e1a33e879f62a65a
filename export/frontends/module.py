"""A snnTorch network of a person's own and its data, as a `Deployment`: what becomes of it on a chip."""

from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import nn

from deploy.errors import BadInput
from export.deployment.deployment import Deployment, most_active
from export.frontends.calibration import apart
from export.frontends.float_graph import float_graph
from export.frontends.frontend import Request
from export.frontends.network import from_network
from export.nir_format.write.graph import graph_to_nir
from export.quantization.post_training import on_chip
from neuroclip.chip.network import ChipNetwork
from neuroclip.convert.answer import answer_of
from neuroclip.data.spikes import Messages, Spikes, called
from neuroclip.network.frames import Fit, fit_of_module, fit_of_shape
from neuroclip.network.samples import Samples, framing_of, open_samples
from neuroclip.network.train import as_shown, predictions, read_module, tensors

_CPU = torch.device("cpu")


def from_module(model: nn.Module, request: Request) -> Deployment:
    """A deployment of a chip network, or of a snnTorch network that becomes one, on spikes or recordings.

    Of recordings those of the data set's own test part are evaluated, where it has one, otherwise all, in
    an order drawn by the seed. A module is run on all samples as it is, which gives the accuracy in
    floating point. With `calibrate` its float graph is quantized, scales chosen on samples that are not
    evaluated; without, `to_chip` makes integers of it. Raises BadInput where there are no data, for labels
    that no neuron answers, and naming the module that the chip cannot do.
    """
    if request.data is None:
        raise BadInput("a torch module brings no data; give it spikes [samples, time, *shape]")
    data = _Data(model, request)
    samples = data.open(request.data)
    count = request.samples
    if count is None and samples.test is not None:
        count = len(samples.test)
    if request.calibrate is not None:
        return _calibrated(model, request, data, samples, count)
    found = data.messages(samples, count)
    floats: Any = request.float_predictions
    if floats is not None and samples.frame is not None:
        raise BadInput("float_predictions: of recordings the order is drawn; give them with spikes")
    floats = None if floats is None else np.asarray(floats)[: request.samples]
    if isinstance(model, ChipNetwork):
        network = model
    else:
        seen = read_module(model, found, request.layout, request.output, request.seed)
        found, network = as_shown(found, seen), seen.network()
        if floats is None:
            answer = answer_of(seen)
            floats = predictions(partial(answer.scores, model.eval()), tensors(found), _CPU)
    output = network.outputs[0]
    _require_labels(found, output, int(np.prod(network.neuron(output).shape)))
    made = from_network(
        network,
        found.inputs if len(found.inputs) > 1 else next(iter(found.inputs.values())),
        found.labels,
        data=called(request.data),
        class_names=tuple(request.class_names) or found.class_names,
        float_predictions=floats,
        dt=request.dt,
    )
    return replace(
        made, host=(*data.host(samples), *made.host), notes=(*made.notes, *samples.notes)
    )


def _calibrated(
    model: nn.Module, request: Request, data: "_Data", samples: Samples, count: int | None
) -> Deployment:
    """The float graph of a module, its scales chosen on samples that are not evaluated."""
    if isinstance(model, ChipNetwork):
        raise BadInput("--calibrate: a chip network holds integers; its scales are chosen")
    if request.float_predictions is not None:
        raise BadInput("--calibrate: the float graph predicts, so float_predictions are not taken")
    assert request.data is not None and request.calibrate is not None

    def read(source: str | Spikes, wanted: int | None) -> Messages:
        return data.messages(data.open(source), wanted)

    found, chosen = apart(read, request.data, request.calibrate, count)
    seen = read_module(model, found, request.layout, request.output, request.seed)
    found, few = as_shown(found, seen), as_shown(Messages(dict(chosen.inputs), None), seen)
    graph = float_graph(seen)
    names = [source.name for source in graph.inputs]
    output = graph.readouts[0].source
    _require_labels(found, output, int(np.prod(graph.shapes[output])))
    inputs, calibration = (_renamed(each, names) for each in (found, few))
    deployment = Deployment(
        model="network",
        data=called(request.data),
        graph=graph_to_nir(graph, request.dt),
        network=None,
        inputs=inputs.inputs,
        input_ranges=inputs.ranges,
        labels=found.labels,
        class_names=tuple(request.class_names) or found.class_names,
        predict=lambda trace, _: most_active(trace, output),
        float_predictions=None,
        host=(*data.host(samples), "reading the output"),
        chip=("the whole network",),
        notes=(*seen.notes, *samples.notes, *chosen.notes),
    )
    return on_chip(
        deployment, graph, calibration.inputs, chosen.name, chosen.positions, dt=request.dt
    )


@dataclass(eq=False)
class _Data:
    """How the data of a request are read for a model: in what order, and how frames are made to fit."""

    model: nn.Module
    request: Request
    fit: Fit | None = None

    def open(self, source: str | Spikes) -> Samples:
        """The samples of data."""
        r = self.request
        return open_samples(
            source,
            framing_of(r.frame_ms, r.steps),
            root=r.data_root,
            skip_bad=r.skip_bad,
            seed=r.seed,
            sensor=r.sensor,
        )

    def messages(self, samples: Samples, count: int | None) -> Messages:
        """So many samples, or all, those of a test part of the data set's own first."""
        order = np.arange(samples.size)
        if samples.frame is not None:
            draw = np.random.default_rng(self.request.seed).permutation
            first = order[:0] if samples.test is None else samples.test
            order = np.concatenate([draw(first), draw(np.setdiff1d(order, first))])
        order = order[:count]
        if self.fit is None:
            self.fit = self._fit(samples)
        return samples.messages(order, self.fit)

    def host(self, samples: Samples) -> tuple[str, ...]:
        """What is done with recordings before they are sent, in words."""
        r = self.request
        if samples.frame is None:
            return ()
        return (f"event frames ({r.steps} of {r.frame_ms:g} ms, counts, {self.fit})",)

    def _fit(self, samples: Samples) -> Fit:
        if samples.frame is None:
            return Fit()
        if isinstance(self.model, ChipNetwork):
            shape = next(iter(self.model.inputs.values()))
            return fit_of_shape(samples.name, samples.frame, shape)
        return fit_of_module(
            samples.name, self.model, samples.frame, samples.steps, self.request.layout
        )


def _renamed(messages: Messages, names: list[str]) -> Messages:
    inputs = dict(zip(names, messages.inputs.values(), strict=True))
    return replace(messages, inputs=inputs)


def _require_labels(messages: Messages, output: str, size: int) -> None:
    """Raise BadInput for a label that no neuron of the output stands for."""
    if messages.labels is None:
        return
    for label in (int(messages.labels.min()), int(messages.labels.max())):
        if not 0 <= label < size:
            raise BadInput(
                f"labels: {label} of sample {int(np.flatnonzero(messages.labels == label)[0])}, and "
                f"the {size} neurons of '{output}' that answer stand for 0 to {size - 1}"
            )
