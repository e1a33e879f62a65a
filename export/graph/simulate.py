"""The normalised graph simulated in float64: what a quantized program is measured against.

Every step is that of `export.graph.graph.Neuron`, without truncation, registers or edges. Samples start
from cleared state. Sums are BLAS's, step by step; in long runs of what seldom fires, and where numba is
installed, they are those of the synapses of what is sent, one population after another.
"""

import sys
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from graphlib import CycleError
from importlib.util import find_spec
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from deploy.emulate.fast.spikes import count_messages
from deploy.emulate.trace import Trace
from deploy.errors import BadInput
from deploy.program.order import cycle, in_order
from export.graph.graph import Graph
from neuroclip.linear.maps import Convolution, Dense, Operator, apply, geometry, listed, rows_of

Float = NDArray[np.float64]
Sums = Callable[[Float], Float]
# Spikes and, of integrators, the potential after the last step, by neuron.
Ran = tuple[dict[str, NDArray[np.uint8]], dict[str, NDArray[Any]]]

# Elements of the windows of a convolution that are gathered at once.
_BLOCK = 1 << 22
_KERNEL = "export.graph.simulate_kernel"
# Neuron updates below which loading what is compiled takes longer than NumPy.
_SMALL = 1 << 22
# Synapses that are listed one by one, and the share of an input's messages above which BLAS is faster.
_SYNAPSES, _ACTIVE = 1 << 23, 0.1
# Sums of so many bytes are held at a time, for the next loop to find them in the cache.
_SUMS = 1 << 19


@np.errstate(over="ignore", under="ignore", invalid="ignore")
def simulate(graph: Graph, inputs: Mapping[str, NDArray[Any]], threads: int = 1) -> Trace:
    """Run a graph on samples; a trace in sample time whose potentials are float64 and unscaled.

    inputs: {input name: numbers [samples, time, *shape]}. The trace holds the spikes s of every
    neuron that fires, the potential after the last step of every one that does not (readout), and
    no states. threads: that share the samples of what is compiled; the result is the same. Raises
    BadInput for a missing input or another shape.
    """
    samples, timesteps = _check(graph, inputs)
    order = _feed_forward(graph) if _pays(graph, inputs, samples * timesteps) else None
    spikes, readout = (
        _stepped(graph, inputs) if order is None else _shared(graph, inputs, order, threads)
    )
    return Trace(
        samples,
        timesteps,
        s=spikes,
        u={},
        v={},
        messages={
            name: count_messages(s.reshape(samples, timesteps, -1)).reshape(s.shape[2:])
            for name, s in spikes.items()
        },
        readout=readout,
    )


def _stepped(graph: Graph, inputs: Mapping[str, NDArray[Any]]) -> Ran:
    """The spikes and the last potentials of integrators: all samples step by step, in NumPy."""
    samples, timesteps = next(iter(inputs.values())).shape[:2]
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
    return spikes, {n.name: state[n.name][1] for n in graph.neurons if n.kind == "integrator"}


def _shared(
    graph: Graph, inputs: Mapping[str, NDArray[Any]], order: tuple[str, ...], threads: int
) -> Ran:
    """What `_compiled` gives, the samples shared among threads: its loops leave them to run."""
    samples = len(next(iter(inputs.values())))
    threads = min(threads, samples)
    if threads < 2:
        return _compiled(graph, inputs, order)
    cuts = [samples * i // threads for i in range(threads + 1)]
    parts = [{name: x[a:b] for name, x in inputs.items()} for a, b in pairwise(cuts)]
    with ThreadPoolExecutor(threads) as pool:
        each = list(pool.map(lambda part: _compiled(graph, part, order), parts))
    spikes, readout = zip(*each, strict=True)
    return (
        {name: np.concatenate([part[name] for part in spikes]) for name in spikes[0]},
        {name: np.concatenate([part[name] for part in readout]) for name in readout[0]},
    )


def _compiled(graph: Graph, inputs: Mapping[str, NDArray[Any]], order: tuple[str, ...]) -> Ran:
    """What `_stepped` gives, up to the order of its sums; order: each neuron after its sources."""
    from export.graph.simulate_kernel import add_sums, take_steps

    samples, timesteps = next(iter(inputs.values())).shape[:2]
    sent = {name: _sendable(x.reshape(samples, timesteps, -1)) for name, x in inputs.items()}
    always = np.ones((samples, timesteps, 1), np.uint8)
    spikes: dict[str, NDArray[np.uint8]] = {}
    readout: dict[str, NDArray[Any]] = {}
    for n in map(graph.neuron, order):
        size = n.bias.size
        # An integrator sends nothing.
        paths = [p for p in graph.into(n.name) if p.source is None or p.source in sent]
        each = [
            (always if p.source is None else sent[p.source], p.delay, _by_source(p.operator))
            for p in paths
        ]
        flat = [x.reshape(-1) for x in (1 - n.du, 1 - n.dv, n.bias, n.threshold)]
        fired = np.zeros((samples, timesteps, size), np.uint8)
        last = np.zeros((samples, size))
        block = min(timesteps, max(1, _SUMS // (8 * size * max(1, len(paths)))))
        sums = np.zeros((len(paths), block, size))
        for sample in range(samples):
            u, v = np.zeros(size), last[sample]
            for first in range(0, timesteps, block):
                here = fired[sample, first : first + block]
                for (messages, delay, synapses), of in zip(each, sums, strict=True):
                    add_sums(messages[sample], first - delay, *synapses, of[: len(here)])
                take_steps(sums[:, : len(here)], *flat, u, v, here)  # type: ignore[call-arg]
        if n.kind == "lif":
            sent[n.name] = fired
            spikes[n.name] = fired.reshape(samples, timesteps, *n.shape)
        else:
            readout[n.name] = last.reshape(samples, *n.shape)
    return {n.name: spikes[n.name] for n in graph.neurons if n.name in spikes}, readout


def _pays(graph: Graph, inputs: Mapping[str, NDArray[Any]], steps: int) -> bool:
    """Whether a graph is compiled: a long run of messages few enough to be taken one by one."""
    small = steps * sum(n.bias.size for n in graph.neurons) < _SMALL
    if find_spec("numba") is None or (small and _KERNEL not in sys.modules):
        return False
    of = (geometry(o).synapse_count() if isinstance(o, Convolution) else o.weight.size
          for o in (p.operator for p in graph.paths))  # fmt: skip
    return sum(of) <= _SYNAPSES and all(
        np.count_nonzero(inputs[s.name]) <= _ACTIVE * inputs[s.name].size for s in graph.inputs
    )


def _feed_forward(graph: Graph) -> tuple[str, ...] | None:
    """Neurons, each after all that it hears; None where there is a cycle."""
    names = {n.name for n in graph.neurons}
    before = {n.name: [p.source for p in graph.into(n.name) if p.source in names]
              for n in graph.neurons}  # fmt: skip
    try:
        return in_order(before)
    except CycleError:
        return None


def _sendable(messages: NDArray[Any]) -> NDArray[Any]:
    """Messages in one of the two types that are compiled."""
    if messages.dtype == np.bool_:
        return messages.view(np.uint8)
    return messages if messages.dtype == np.uint8 else messages.astype(np.float64)


@lru_cache(maxsize=32)
def _by_source(op: Operator) -> tuple[NDArray[np.int64], NDArray[np.int32], Float]:
    """(indptr, targets, weights) of the synapses of each source of an operator, which is one by identity."""
    found = listed(op)
    order = np.argsort(found.indices, kind="stable")
    ends = np.cumsum(np.bincount(found.indices, minlength=found.source_size))
    targets = rows_of(found)[order].astype(np.int32)
    return np.concatenate([[0], ends]), targets, found.weight[order]


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
