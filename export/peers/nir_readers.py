"""A NIR graph in snnTorch, Norse and Sinabs: read by each one's own reader, run over time, recorded.

None of them truncates as the chip does, so that with leak their spikes agree nearly, not exactly, unless
nothing is left over to truncate: integrate-and-fire networks without leak, and networks with a leak of a
half whose weights and biases are multiples of 2^(T − 1) in the chip's unit of v, T being the steps of a
sample (`neuroclip.spikeclip.chip`). Their spikes are equal in all of them, branches and joins included.
"""

import contextlib
import io
import logging
import warnings
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import nir
import numpy as np
from numpy.typing import NDArray

from deploy.errors import BadInput
from export.nir_format.normal.neurons import DEFAULT_DT
from export.nir_format.upstream_bugs import in_order
from export.nir_format.write.dialects import DIALECTS
from export.peers.common import required

Spikes = dict[str, NDArray[np.uint8]]
READERS = tuple(DIALECTS)


def run_graph(
    reader: str,
    graph: nir.NIRGraph,
    spikes: NDArray[Any],
    dt: float = DEFAULT_DT,
    *,
    dialect: bool = True,
) -> Spikes:
    """Read a graph of one input by `reader` and run it; returns {node: spikes [samples, time, *shape]}.

    reader: one of READERS. spikes: [samples, time, *shape]. dt: seconds of a step. dialect: rewrite the
    graph for the reader first (`export.nir_format.write.dialects`); without, it is given as it is.
    Spikes of every neuron that fires; several in one step, as Sinabs makes without its dialect, count.
    Raises BadInput for an unknown reader, one that is not installed, and a graph that it cannot read.
    """
    if reader not in DIALECTS:
        raise BadInput(f"{reader}: not one of the readers {', '.join(READERS)}")
    torch = required("torch", "learn")
    firing = (nir.IF, nir.LIF, nir.CubaLIF)
    names = [name for name, node in graph.nodes.items() if isinstance(node, firing)]
    given = DIALECTS[reader](graph, dt) if dialect else graph
    data = torch.as_tensor(np.asarray(spikes), dtype=torch.float32)
    run = _all_at_once if reader == "sinabs" else _step_by_step
    with _quiet(), torch.no_grad(), _refusing(reader):
        # Readers sort nodes by name and make attributes of the names.
        safe = {name: f"node{i}" for i, name in enumerate(given.nodes)}
        renamed = nir.NIRGraph(
            {safe[name]: node for name, node in given.nodes.items()},
            [(safe[a], safe[b]) for a, b in given.edges],
            type_check=False,
        )
        module = _LOADERS[reader](renamed, dt, len(data), dialect)
        recorded = run(module, data, {safe[name]: name for name in names})
    missing = [name for name in names if name not in recorded]
    if missing:
        raise BadInput(f"node '{missing[0]}': {reader} left it out")
    return {
        name: np.stack(recorded[name], axis=1).reshape(
            *spikes.shape[:2], *np.shape(graph.nodes[name].v_threshold)
        )
        for name in names
    }


def load(reader: str, path: str | Path, dt: float = DEFAULT_DT, samples: int = 1) -> Any:
    """The torch module that a reader makes of a file in its dialect (`--target nir --for READER`).

    samples: of a batch, which Sinabs asks for. Raises BadInput for a reader that is not installed and
    for what it cannot read.
    """
    path = Path(path)
    with _quiet(), _refusing(reader):
        return _LOADERS[reader](nir.read(path, type_check=False), dt, samples, True)


@contextlib.contextmanager
def _refusing(reader: str) -> Iterator[None]:
    """Readers say what they cannot read by assertions and KeyErrors: within, by BadInput."""
    try:
        yield
    except BadInput:
        raise
    except Exception as error:
        text = " ".join(str(error).split()) or type(error).__name__
        raise BadInput(f"{reader} cannot read the graph: {type(error).__name__}: {text}") from error


def _snntorch(graph: nir.NIRGraph, dt: float, samples: int, dialect: bool) -> Any:
    return required("snntorch.import_nir", "learn").import_from_nir(graph)


def _norse(graph: nir.NIRGraph, dt: float, samples: int, dialect: bool) -> Any:
    module = required("norse.torch").from_nir(graph, dt=dt)
    return in_order(module) if dialect else module


def _sinabs(graph: nir.NIRGraph, dt: float, samples: int, dialect: bool) -> Any:
    module = required("sinabs.nir").from_nir(graph, batch_size=samples)
    if dialect:
        activation = required("sinabs.activation")
        for layer in module.modules():
            if hasattr(layer, "spike_fn"):
                layer.spike_fn = activation.SingleSpike
                layer.reset_fn = activation.MembraneReset()
                layer.min_v_mem = None
        module = in_order(module)
    return module


_LOADERS: Mapping[str, Callable[[nir.NIRGraph, float, int, bool], Any]] = {
    "snntorch": _snntorch,
    "norse": _norse,
    "sinabs": _sinabs,
}


def _recording(module: Any, names: Mapping[str, str]) -> dict[str, list[NDArray[np.uint8]]]:
    """Lists that fill with what the named submodules send, while the module runs."""
    recorded: dict[str, list[NDArray[np.uint8]]] = {}

    def hook(name: str) -> Callable[..., None]:
        def write(_: Any, __: Any, output: Any) -> None:
            sent = output[0] if isinstance(output, tuple) else output
            recorded.setdefault(name, []).append(sent.numpy().astype(np.uint8))

        return write

    for attribute, name in names.items():
        found = dict(module.named_modules()).get(attribute)
        if found is not None:
            found.register_forward_hook(hook(name))
    return recorded


def _step_by_step(
    module: Any, data: Any, names: Mapping[str, str]
) -> dict[str, list[NDArray[np.uint8]]]:
    recorded, state = _recording(module, names), None
    for t in range(data.shape[1]):
        _, state = module(data[:, t], state)
    return recorded


def _all_at_once(
    module: Any, data: Any, names: Mapping[str, str]
) -> dict[str, list[NDArray[np.uint8]]]:
    recorded = _recording(module, names)
    module(data.flatten(0, 1))
    return {
        name: list(np.moveaxis(sent[0].reshape(*data.shape[:2], *sent[0].shape[1:]), 1, 0))
        for name, sent in recorded.items()
    }


@contextlib.contextmanager
def _quiet() -> Any:
    """Without what readers print about every node."""
    level = logging.root.level
    logging.root.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.root.setLevel(level)
