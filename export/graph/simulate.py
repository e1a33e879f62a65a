"""The normalised graph simulated in float64: what a quantized program is measured against.

Every step is that of `export.graph.graph.Neuron`, without truncation, registers or edges; the sums are
BLAS's. Samples start from cleared state.
"""

from collections.abc import Callable, Mapping
from graphlib import CycleError
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from deploy.emulate.trace import Trace
from deploy.errors import BadInput
from deploy.program.order import cycle, in_order
from export.graph.graph import Graph
from neuroclip.linear.maps import Convolution, Dense, Operator, apply, geometry

Float = NDArray[np.float64]
Sums = Callable[[Float], Float]

# Elements of the windows of a convolution that are gathered at once.
_BLOCK = 1 << 22


@np.errstate(over="ignore", under="ignore", invalid="ignore")
def simulate(graph: Graph, inputs: Mapping[str, NDArray[Any]]) -> Trace:
    """Run a graph on samples; a trace in sample time whose potentials are float64 and unscaled.

    inputs: {input name: numbers [samples, time, *shape]}. The trace holds the spikes s of every
    neuron that fires, the potential after the last step of every one that does not (readout), and
    no states. Raises BadInput for a missing input or another shape.
    """
    samples, timesteps = _check(graph, inputs)
    state = {n.name: (np.zeros((samples, *n.shape)), np.zeros((samples, *n.shape)))
             for n in graph.neurons}  # fmt: skip
    spikes = {
        n.name: np.zeros((samples, timesteps, *n.shape), np.uint8)
        for n in graph.neurons
        if n.kind == "lif"
    }
    sums = {path.name: operator_sums(path.operator) for path in graph.paths}
    ordered = [graph.neuron(name) for name in zero_delay_order(graph)]
    always = np.ones((samples, 1))

    def messages(source: str | None, t: int) -> Float | None:
        if t < 0:
            return None
        if source is None:
            return always
        sent = spikes.get(source, inputs.get(source))
        if sent is None:  # an integrator, which sends nothing
            return None
        return np.asarray(sent[:, t], np.float64).reshape(samples, -1)

    for t in range(timesteps):
        for n in ordered:
            u, v = state[n.name]
            u = (1 - n.du) * u
            for path in graph.into(n.name):
                sent = messages(path.source, t - path.delay)
                if sent is not None:
                    u += sums[path.name](sent).reshape(u.shape)
            v = (1 - n.dv) * v + u + n.bias
            if n.kind == "lif":
                fired = v > n.threshold
                spikes[n.name][:, t] = fired
                v[fired] = 0
            state[n.name] = u, v
    readout: dict[str, NDArray[Any]] = {
        n.name: state[n.name][1] for n in graph.neurons if n.kind == "integrator"
    }
    return Trace(
        samples,
        timesteps,
        s=spikes,
        u={},
        v={},
        messages={name: s.sum(axis=(0, 1), dtype=np.int64) for name, s in spikes.items()},
        readout=readout,
    )


def operator_sums(op: Operator) -> Sums:
    """The function x [samples, source size] → op(x) [samples, target size] on BLAS."""
    if isinstance(op, Dense):
        weight = np.ascontiguousarray(op.weight.T)
        return lambda x: x @ weight
    if isinstance(op, Convolution):
        return _convolution_sums(op)
    return lambda x: apply(op, x)


def zero_delay_order(graph: Graph) -> tuple[str, ...]:
    """Neurons sorted so that undelayed paths point forward. Raises BadInput for a cycle of them."""
    names = {n.name for n in graph.neurons}
    before = {
        n.name: [p.source for p in graph.into(n.name) if p.delay == 0 and p.source in names]
        for n in graph.neurons
    }
    try:
        return in_order(before)
    except CycleError as error:
        raise BadInput(f"nodes {cycle(error)}: a cycle without any delay") from error


def _convolution_sums(op: Convolution) -> Sums:
    """Windows gathered side by side, then one matrix product for each sample and group."""
    made = geometry(op)
    channels, height, width = made.target_shape
    weight = op.weight.reshape(op.groups, channels // op.groups, -1)
    kernel = op.weight.shape[2:]
    spans = tuple(d * (k - 1) + 1 for d, k in zip(op.dilation, kernel, strict=True))
    (py, px), (sy, sx), (dy, dx) = op.padding, op.stride, op.dilation
    block = max(1, _BLOCK // (op.groups * weight.shape[2] * height * width))

    def sums(x: Float) -> Float:
        images = x.reshape(len(x), *made.source_shape)
        padded = np.pad(images, ((0, 0), (0, 0), (py, py), (px, px)))
        found = []
        for start in range(0, len(x), block):
            part = padded[start : start + block]
            windows = sliding_window_view(part, spans, (2, 3))[:, :, ::sy, ::sx, ::dy, ::dx]  # type: ignore[call-overload]
            # [samples, channels, k_y, k_x, H', W']: what is copied lies side by side.
            columns = windows.transpose(0, 1, 4, 5, 2, 3)
            columns = columns.reshape(len(columns), op.groups, -1, height * width)
            found.append((weight @ columns).reshape(len(columns), -1))
        return np.concatenate(found)

    return sums


def _check(graph: Graph, inputs: Mapping[str, NDArray[Any]]) -> tuple[int, int]:
    """(samples, timesteps) of inputs that fit the graph's shapes."""
    sizes: set[tuple[int, int]] = set()
    for source in graph.inputs:
        if source.name not in inputs:
            raise BadInput(f"data: input '{source.name}' of the graph is missing")
        shape = inputs[source.name].shape
        if shape[2:] != source.shape or 0 in shape:
            raise BadInput(
                f"input '{source.name}': data of shape {shape}, expected [samples, time, "
                f"{', '.join(map(str, source.shape))}]"
            )
        sizes.add((shape[0], shape[1]))
    if len(sizes) != 1:
        raise BadInput(f"data: inputs of different samples and steps {sorted(sizes)}")
    return sizes.pop()
