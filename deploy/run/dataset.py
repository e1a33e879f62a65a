"""A data set through a program, batch by batch: nothing is held but what each batch comes to.

A batch becomes a part: scores, totals, counters. Parts are kept as `deploy.run.stream` keeps them.
"""

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from deploy.emulate.edge_counts import observe
from deploy.emulate.fast import Plan, emulate_fast, prepare
from deploy.emulate.fast.emulate import Kernel
from deploy.emulate.reference import Messages, check_shapes
from deploy.errors import BadInput
from deploy.jobs import Engine
from deploy.program.file import digest
from deploy.program.program import Program
from deploy.progress import track
from deploy.prove.proof import prove
from deploy.run.stream import Kept, grouped, stream

EdgeCounts = dict[str, dict[str, int]]

# Recordings that counting takes at a time.
_COUNT_BYTES = 64 << 20


class Batches(Protocol):
    """A data set in batches that are made when they are asked for.

    key: text that identifies the data and its batches; parts of another key are not used again.
    sizes: samples of each batch. loader(i): a function that gives batch i, {input: integer messages
    [samples, time, *shape]}; with joblib it is pickled, and called in another process.
    """

    @property
    def key(self) -> str: ...

    @property
    def sizes(self) -> tuple[int, ...]: ...

    def loader(self, index: int) -> Callable[[], Messages]: ...


@dataclass(frozen=True, eq=False)
class ArrayBatches:
    """Batches of arrays, which may be memory maps: {input: messages [samples, time, *shape]}."""

    inputs: Messages
    batch: int

    @property
    def key(self) -> str:
        """SHA-256 of the messages and of how they are cut."""
        found = hashlib.sha256(str(self.batch).encode())
        for name, messages in sorted(self.inputs.items()):
            found.update(f"{name} {messages.shape} {messages.dtype}".encode())
            for first in range(0, len(messages), self.batch):
                found.update(np.ascontiguousarray(messages[first : first + self.batch]).data)
        return found.hexdigest()

    @property
    def sizes(self) -> tuple[int, ...]:
        """Samples of each batch."""
        samples = len(next(iter(self.inputs.values())))
        return tuple(min(self.batch, samples - a) for a in range(0, samples, self.batch))

    def loader(self, index: int) -> Callable[[], Messages]:
        """Batch `index`, as views of the arrays."""
        here = slice(index * self.batch, (index + 1) * self.batch)
        return partial(dict, {name: messages[here] for name, messages in self.inputs.items()})


@dataclass(frozen=True, eq=False)
class Part:
    """What the samples of one batch, or of all, came to.

    samples, timesteps: how many. scores: {output: int64 [samples, *shape]}, messages of each neuron
    summed over time for an output "s", the membrane potential after the last step for "v".
    messages: {input or population: int64 [*shape]}, non-zero messages sent, over all samples.
    edges: {population: {edge: times beyond it}}; empty where they were not counted.
    """

    samples: int
    timesteps: int
    scores: Mapping[str, NDArray[np.int64]]
    messages: Mapping[str, NDArray[np.int64]]
    edges: EdgeCounts

    def packed(self) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
        """What JSON holds of it, and its arrays."""
        header = {"samples": self.samples, "timesteps": self.timesteps, "edges": self.edges}
        arrays = {f"scores/{name}": x for name, x in self.scores.items()}
        return header, arrays | {f"messages/{name}": x for name, x in self.messages.items()}

    @staticmethod
    def unpacked(header: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]]) -> "Part":
        """The part of which `packed` gave this."""
        found: dict[str, Any] = grouped(arrays, ("scores", "messages"))
        return Part(**header, **found)

    @property
    def predictions(self) -> NDArray[np.int64]:
        """The neuron of the first output with the highest score, the first among equals: [samples]."""
        first = next(iter(self.scores.values()))
        return first.reshape(self.samples, -1).argmax(axis=1)


def stream_dataset(
    program: Program,
    batches: Batches,
    *,
    folder: Path | None = None,
    jobs: int = 1,
    engine: Engine = "threads",
    count_edges: bool = False,
    kernel: Kernel | None = None,
    progress: bool = True,
) -> Iterator[Part]:
    """The part of each batch, in order. Memory is taken for the batches under way only.

    folder: where parts are kept, each written whole or not at all, under a name that the program,
    the data's key and what is counted give; those that are there are read instead of run again. jobs,
    engine: batches at a time, and how (`deploy.jobs.run_jobs`); at every number and engine the same
    parts. count_edges: count what goes beyond registers, where the proof cannot exclude it, which
    takes recordings. kernel: as for `emulate_fast`. progress: whether it is shown how far
    it is. Raises as `emulate_fast` does, and BadInput for a program without an output.
    """
    if not program.outputs:
        raise BadInput("data set run: the program has no output to score")
    if not batches.sizes:
        raise BadInput("data set run: no batches")
    run = partial(_run_batch, program, count_edges, kernel)
    key = _key(program, batches, count_edges)
    kept = Kept(Part.unpacked, None if folder is None else Path(folder), key, f"part-{key[:16]}-")
    loaders = [batches.loader(i) for i in range(len(batches.sizes))]
    with track(total=sum(batches.sizes), desc="samples", show=progress) as bar:
        for part in stream(run, loaders, lambda _, part: part, kept, jobs=jobs, engine=engine):
            bar.update(part.samples)
            yield part


def join(of: Iterable[Part]) -> Part:
    """Parts of consecutive samples as one."""
    parts = list(of)
    return Part(
        sum(p.samples for p in parts),
        parts[0].timesteps,
        {n: np.concatenate([p.scores[n] for p in parts]) for n in parts[0].scores},
        {n: np.sum([p.messages[n] for p in parts], axis=0) for n in parts[0].messages},
        {
            node: {edge: sum(p.edges[node][edge] for p in parts) for edge in edges}
            for node, edges in parts[0].edges.items()
        },
    )


def _run_batch(
    program: Program, count: bool, kernel: Kernel | None, load: Callable[[], Messages]
) -> Part:
    """One batch, in one thread: others run beside it."""
    inputs = load()
    samples, timesteps = check_shapes(program, inputs)
    plan = planned(program)
    spiking = {o.source for o in program.outputs if o.quantity == "s"}
    trace = emulate_fast(plan, inputs, "spikes", 1, kernel, nodes=spiking)
    scores = {
        o.name: trace.s[o.source].sum(axis=1, dtype=np.int64)
        if o.quantity == "s"
        else _potential(plan, inputs, o.source, trace.readout, kernel)
        for o in program.outputs
    }
    edges = _edges(plan, inputs, timesteps, kernel) if count else {}
    return Part(samples, timesteps, scores, trace.messages, edges)


def _potential(
    plan: Plan, inputs: Messages, source: str, readout: Mapping[str, Any], kernel: Kernel | None
) -> NDArray[np.int64]:
    """The membrane potential of a population after the last step."""
    if source in readout:
        return readout[source].astype(np.int64)
    trace = emulate_fast(plan, inputs, "all", 1, kernel, nodes={source})
    return trace.v[source][:, -1].astype(np.int64)


def _edges(plan: Plan, inputs: Messages, timesteps: int, kernel: Kernel | None) -> EdgeCounts:
    """Counters over all samples, some at a time; edges that are proven out of reach stay at zero."""
    proof = prove(plan.program, timesteps)
    reached = {node for node, _, _ in proof.reachable}
    names = {p.name for p in plan.program.populations}
    # Their states tell of their sums, or else the messages of those before them.
    recorded = {c.source for n in reached for c in plan.program.into(n)} & names
    total = {p.name: dict.fromkeys(p.limits(), 0) for p in plan.program.populations}
    size = sum(plan.program.population(name).size for name in recorded | reached)
    samples = len(next(iter(inputs.values())))
    step = max(1, _COUNT_BYTES // max(1, 40 * timesteps * size)) if reached else samples
    for first in range(0, samples if reached else 0, step):
        here = {name: x[first : first + step] for name, x in inputs.items()}
        trace = emulate_fast(plan, here, "all", 1, kernel, nodes=recorded | reached)
        for node, found in observe(plan.program, here, trace, reached).items():
            for edge, times in found.items():
                total[node][edge] += times
    return total


class _Same:
    """A program as the key of a cache: the same object, or another process's copy of one."""

    def __init__(self, program: Program) -> None:
        self.program, self.digest = program, digest(program)

    def __hash__(self) -> int:
        return hash(self.digest)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Same) and other.digest == self.digest


def planned(program: Program) -> Plan:
    """The plan of a program, made once in a process, a worker of a cluster among them."""
    return _plan(_Same(program))


@lru_cache(maxsize=2)
def _plan(same: _Same) -> Plan:
    return prepare(same.program)


def _key(program: Program, batches: Batches, count: bool) -> str:
    text = json.dumps([digest(program), batches.key, list(batches.sizes), count])
    return hashlib.sha256(text.encode()).hexdigest()
