"""`Trace`: what an executor of a program saw, in sample time, and its file."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import reduce
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from deploy.errors import BadInput
from deploy.files import read_npz, write_npz
from deploy.neurons import Neurons

Record = Literal["none", "spikes", "all"]
QUANTITIES = ("s", "u", "v")

Observed = Mapping[str, Mapping[str, int]]

# `trace.npz` holds at most this much before compression; more samples are compared, not recorded.
MAX_RECORD_BYTES = 2 << 30


@dataclass(frozen=True, eq=False)
class Trace:
    """Spikes and states of every recorded population, and what is always kept.

    s: {name: uint8 [samples, time, *shape]}, int32 where messages are other than 0 or 1; empty for
    record "none".
    u, v: {name: int32 [samples, time, *shape]}, only for record "all" and populations that have
    them (see `deploy.neurons`); raw register values.
    messages: {input or population: int64 [*shape]}, non-zero messages sent, over all samples.
    readout: {integrator: int32 [samples, *shape]}, the membrane potential after the last step.
    observed: {population: {edge: values beyond it}}, where the emulator was asked to count them.
    per_step: {input or population: int64 [time, *shape]}, `messages` of each step, where asked for; in a
    part of a run, a type that holds as many as it has samples.
    """

    samples: int
    timesteps: int
    s: Mapping[str, NDArray[np.uint8 | np.int32]]
    u: Mapping[str, NDArray[np.int32]]
    v: Mapping[str, NDArray[np.int32]]
    messages: Mapping[str, NDArray[np.int64]]
    readout: Mapping[str, NDArray[np.int32]]
    observed: Observed = field(default_factory=dict)
    per_step: Mapping[str, NDArray[Any]] = field(default_factory=dict)

    def recorded(self) -> Iterator[tuple[str, str, NDArray[Any]]]:
        """Every recorded array as (population, quantity, array), spikes first."""
        for quantity in QUANTITIES:
            for name, array in getattr(self, quantity).items():
                yield name, quantity, array


def first_samples(trace: Trace, count: int, states: int | None = None) -> Trace:
    """The trace with its recordings cut to the first `count` samples; totals stay those of all.

    states: of so many of them the states are kept too, by default of all; read-outs are not cut further.
    """
    states = count if states is None else min(states, count)

    def cut(name: str, quantity: str, array: NDArray[Any]) -> NDArray[Any]:
        kept = count if quantity == "s" or name in trace.readout else states
        # A part is copied: a view would keep the whole recording in memory.
        return array if kept >= len(array) else array[:kept].copy()

    each = {q: {n: cut(n, q, a) for n, a in getattr(trace, q).items()} for q in QUANTITIES}
    return replace(trace, s=each["s"], u=each["u"], v=each["v"])


def concatenate(traces: list[Trace]) -> Trace:
    """Traces of consecutive samples of one program as one trace.

    Recordings of a node that later traces lack end with the last that has them.
    """

    def joined(attribute: str) -> dict[str, NDArray[Any]]:
        return {
            name: np.concatenate(
                [part[name] for t in traces if name in (part := getattr(t, attribute))]
            )
            for name in getattr(traces[0], attribute)
        }

    def summed(attribute: str) -> dict[str, NDArray[np.int64]]:
        found = {n: first.astype(np.int64) for n, first in getattr(traces[0], attribute).items()}
        for trace in traces[1:]:
            for name, total in found.items():
                total += getattr(trace, attribute)[name]
        return found

    return Trace(
        sum(t.samples for t in traces),
        traces[0].timesteps,
        joined("s"),
        joined("u"),
        joined("v"),
        summed("messages"),
        joined("readout"),
        reduce(_added, [t.observed for t in traces]),
        summed("per_step"),
    )


def _added(a: Observed, b: Observed) -> Observed:
    """What two runs of the same populations went beyond, together."""
    return {
        name: {edge: n + b[name][edge] for edge, n in edges.items()} for name, edges in a.items()
    }


def record_bytes(
    populations: Iterable[Neurons], samples: int, timesteps: int, record: Record
) -> int:
    """Bytes that a recording of these populations takes in memory."""

    def per_neuron(p: Neurons) -> int:
        message = np.dtype(message_type(p)).itemsize
        states = 4 * len(p.recorded)
        return {"none": 0, "spikes": message, "all": message + states}[record]

    return samples * timesteps * sum(p.size * per_neuron(p) for p in populations)


def message_type(p: Neurons) -> type[np.uint8] | type[np.int32]:
    """The type in which a trace records the messages of a population."""
    return np.uint8 if p.binary else np.int32


def save_trace(path: str | Path, trace: Trace) -> None:
    """Write the recorded arrays as NAME/s, NAME/u and NAME/v to one .npz file, atomically."""
    path = Path(path)
    write_npz(path, {f"{name}/{quantity}": array for name, quantity, array in trace.recorded()})


def load_trace(path: str | Path) -> dict[str, NDArray[Any]]:
    """Read a trace file: {"NAME/s": array [samples, time, *shape], ...}.

    Raises BadInput naming the file and the entry that is not a recording.
    """
    path = Path(path)
    arrays = read_npz(path)
    for entry, array in arrays.items():
        _, _, quantity = entry.rpartition("/")
        if quantity not in QUANTITIES or array.ndim < 3 or not array.size:
            raise BadInput(
                f"{path}: entry '{entry}' of shape {array.shape} is not a recording NAME/s|u|v"
            )
        if array.dtype.kind not in "biu":
            raise BadInput(f"{path}: entry '{entry}' holds {array.dtype}, expected integers")
    if not arrays:
        raise BadInput(f"{path}: the trace is empty")
    return arrays
