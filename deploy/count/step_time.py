"""Time of a step and of an inference, from coefficient sets that say how long an operation takes.

All cores work at once and wait for each other at the barrier that ends a step, so that a step lasts
as long as its slowest core:

    neurons_c    updates · neuron_update + spikes · neuron_spike + packets out · message_out
    messages_c   packets in · message_in + synaptic operations · synapse
    step         max over cores c of (neurons_c with messages_c) + barrier

A population of latency k works on step t of a sample at chip step t + k (`deploy.program.timed`), so
that an inference takes longer than its samples' T steps where it is alone, and in a stream cores at
different depths work on different samples:

    alone     T + fill steps, from the first message of the sample to the end of the last output
    stream    N samples, the next one behind the last without a gap: N · T + fill steps

Every neuron is updated at every step, also where its sample has not come yet or is over.

No public coefficients say how far a core overlaps the two parts, so a range is given: `low` takes
the longer of both, an idle update where a neuron does not fire, no operation on zero weights and
the shortest barrier; `high` takes their sum, an active update of every neuron, zero weights, the
longest barrier, and the way of the farthest packet. Congestion on the links is in neither.

In a coefficient file (see `deploy.count.energy`):

    "latency": {"synapse": {"value": 3.8, "unit": "ns", "source": "…", "assumption": false}, …}
"""

from collections.abc import Iterable, Sequence
from collections.abc import Mapping as Dict
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from deploy.count.activity import QUANTITIES, Fan, activity, sample_blocks
from deploy.count.energy import Coefficients
from deploy.hardware.mesh import Distances

Floats = NDArray[np.float64]

# What a latency says nothing about, whatever the set.
_NEVER_INCLUDED = (
    "congestion on the links",
    "input and output (encoder, host, read-out)",
    "loading the program",
)


@dataclass(frozen=True)
class Pipeline:
    """How far behind the input each node works, in chip steps (0 where it is not named), and how many
    steps the last output ends after the input: `deploy.program.timed.Timed.fill`."""

    lag: Dict[str, int] = field(default_factory=dict)
    fill: int = 0


@dataclass(frozen=True, eq=False)
class Latency:
    """Seconds of one coefficient set over samples in a row, each (low, high).

    alone: of one inference by itself, mean over samples. inference: of one in the stream of them all,
    its filling and draining shared out. step: mean over the steps of the stream. slowest_step: the
    largest of all. per_step: of one inference alone, mean over samples, [steps, 2]. slowest_core: the
    core that most steps of the stream wait for, and in which share of them.
    """

    coefficients: str
    source: str
    included: tuple[str, ...]
    excluded: tuple[str, ...]
    assumptions: tuple[str, ...]
    samples: int
    step: tuple[float, float]
    slowest_step: tuple[float, float]
    inference: tuple[float, float]
    alone: tuple[float, float]
    per_step: Floats
    slowest_core: tuple[int, float]


class Clock:
    """Times samples as they come, in their order: `add` them, then ask for `latencies`.

    found: the tables of the cores (`deploy.count.activity.fans`). sets: those without latencies are
    left out. way: between the cores in the order of the mapping, where they are placed.
    """

    def __init__(
        self,
        found: Sequence[Fan],
        sets: Iterable[Coefficients],
        way: Distances | None = None,
        pipeline: Pipeline | None = None,
    ) -> None:
        self._found, self._way = tuple(found), way
        self._pipeline = pipeline or Pipeline()
        self._sets = [each for each in sets if each.latency and found]
        self._neurons = np.array([sum(s.size for s in fan.core.slices) for fan in found])
        self._levels: dict[int, tuple[Fan, ...]] = {}
        # Of each level the last rows, which the steps to come still work on.
        self._tails: dict[int, Floats] = {}
        self.samples = 0
        self._totals = {each.name: _Total(len(self._neurons)) for each in self._sets}

    def add(self, sent: Dict[str, NDArray[Any]]) -> None:
        """Time more samples: {source: messages [samples, time, *shape]}, those of every source."""
        samples = len(next(iter(sent.values()))) if sent else 0
        if not self._sets or not samples:
            return
        if not self._levels:
            lags = {name: self._pipeline.lag.get(name, 0) for name in sent}
            for lag in sorted(set(lags.values())):
                names = {name for name, of in lags.items() if of == lag}
                self._levels[lag] = tuple(_heard_from(fan, names) for fan in self._found)
                self._tails[lag] = np.zeros((lag, len(self._found), len(QUANTITIES)))
        for block in sample_blocks(sent, samples):
            self._add(dict(block))

    def latencies(self) -> list[Latency]:
        """What was timed so far, a set each; nothing where no sample was."""
        if not self.samples:
            return []
        drained = sum(
            np.concatenate([tail, self._silence(max(0, self._pipeline.fill - lag))])[
                : self._pipeline.fill
            ]
            for lag, tail in self._tails.items()
        )
        return [self._latency(each, drained) for each in self._sets]

    def _add(self, sent: dict[str, NDArray[np.bool_]]) -> None:
        samples, timesteps = next(iter(sent.values())).shape[:2]
        shape = (len(self._neurons), len(QUANTITIES))
        stream = np.zeros((samples * timesteps, *shape))
        alone = np.zeros((samples, timesteps + self._pipeline.fill, *shape))
        for lag, tables in self._levels.items():
            done = activity(tables, sent)
            each = np.stack([getattr(done, name) for name in QUANTITIES], axis=-1).astype(float)
            in_time = alone[:, lag : lag + timesteps]
            in_time += each[:, : in_time.shape[1]]
            rows = np.concatenate([self._tails[lag], each.reshape(-1, *shape)])
            stream += rows[: len(stream)]
            self._tails[lag] = rows[len(stream) :]
        self.samples += samples
        for each_set in self._sets:
            total = self._totals[each_set.name]
            total.stream(*self._steps(each_set, stream))
            low, high, _ = self._steps(each_set, alone)
            total.alone(np.stack([low, high], axis=-1))

    def _silence(self, steps: int) -> Floats:
        return np.zeros((steps, len(self._neurons), len(QUANTITIES)))

    def _steps(self, each: Coefficients, done: Floats) -> tuple[Floats, Floats, NDArray[np.int64]]:
        """(low, high, slowest core) of each step: done [*steps, cores, quantities] → [*steps]."""
        value = {name: d.seconds for name, d in each.latency.items()}
        low, high = _cores(
            value, self._neurons, dict(zip(QUANTITIES, np.moveaxis(done, -1, 0), strict=True))
        )
        farthest = 0.0 if self._way is None else _farthest(value, self._way)
        return (
            low.max(axis=-1) + value["barrier_min"],
            high.max(axis=-1) + value["barrier"] + farthest,
            high.argmax(axis=-1),
        )

    def _latency(self, each: Coefficients, drained: Any) -> Latency:
        total = self._totals[each.name].copy()
        if self._pipeline.fill:
            total.stream(*self._steps(each, drained))
        index = int(total.slowest.argmax())
        placed = "the way of the farthest packet (high end)"
        way = self._way
        return Latency(
            each.name,
            each.source,
            ("neuron updates", "packets out and in", "synaptic operations", "barrier")
            + ((placed,) if way is not None else ()),
            _NEVER_INCLUDED + (() if way is not None else ("hops (cores are not placed)",)),
            tuple(f"{n}: {c.source}" for n, c in each.latency.items() if c.assumption),
            self.samples,
            _ends(total.streamed / total.steps),
            _ends(total.largest),
            _ends(total.streamed / self.samples),
            _ends(total.per_step.sum(axis=0) / self.samples),
            total.per_step / self.samples,
            (self._found[index].core.index, int(total.slowest[index]) / total.steps),
        )


class _Total:
    """Sums over steps of one coefficient set."""

    def __init__(self, cores: int) -> None:
        self.steps = 0
        self.streamed, self.largest = np.zeros(2), np.zeros(2)
        self.per_step: Any = 0.0
        self.slowest = np.zeros(cores, np.int64)

    def copy(self) -> "_Total":
        made = _Total(len(self.slowest))
        made.steps, made.per_step = self.steps, self.per_step
        made.streamed, made.largest = self.streamed.copy(), self.largest.copy()
        made.slowest = self.slowest.copy()
        return made

    def stream(self, low: Floats, high: Floats, slowest: NDArray[np.int64]) -> None:
        self.steps += len(low)
        self.streamed += low.sum(), high.sum()
        self.largest = np.maximum(self.largest, [low.max(), high.max()])
        self.slowest += np.bincount(slowest, minlength=len(self.slowest))

    def alone(self, each: Floats) -> None:
        self.largest = np.maximum(self.largest, each.max(axis=(0, 1)))
        self.per_step = self.per_step + each.sum(axis=0)


def latency(
    found: Sequence[Fan],
    sent: Dict[str, NDArray[Any]],
    coefficients: Coefficients,
    way: Distances | None = None,
) -> Latency | None:
    """The time of recorded samples under one coefficient set; None where it has no latencies, or nothing was
    recorded.

    sent: {source: recorded messages [samples, time, *shape]}.
    """
    clock = Clock(found, [coefficients], way)
    clock.add(sent)
    return next(iter(clock.latencies()), None)


def latency_report(clock: Clock, timesteps: int, fill: int) -> dict[str, Any]:
    """The report's `latency`, `latency_range_s` and `alone_range_s`: one entry per set that has latencies.

    {"latency": [{"coefficients", "source", "included", "excluded", "assumptions", "samples",
    "step_s", "slowest_step_s", "inference_s", "alone_s": [low, high] each, "alone_steps",
    "stream_steps", "per_step_s": [[low, high]] of each step of one alone, "slowest_core": {"core",
    "share"}}], "latency_range_s", "alone_range_s": [low, high] of one inference in the stream and of
    one alone, over all of them, null where there is none}.
    """
    entries = clock.latencies()
    return {
        "latency": [
            {
                "coefficients": e.coefficients,
                "source": e.source,
                "included": list(e.included),
                "excluded": list(e.excluded),
                "assumptions": list(e.assumptions),
                "samples": e.samples,
                "step_s": list(e.step),
                "slowest_step_s": list(e.slowest_step),
                "inference_s": list(e.inference),
                "alone_s": list(e.alone),
                "alone_steps": timesteps + fill,
                "stream_steps": e.samples * timesteps + fill,
                "per_step_s": e.per_step.tolist(),
                "slowest_core": {"core": e.slowest_core[0], "share": e.slowest_core[1]},
            }
            for e in entries
        ],
        "latency_range_s": _over([e.inference for e in entries]),
        "alone_range_s": _over([e.alone for e in entries]),
    }


def _over(ranges: list[tuple[float, float]]) -> list[float] | None:
    return [min(low for low, _ in ranges), max(high for _, high in ranges)] if ranges else None


def _heard_from(fan: Fan, names: set[str]) -> Fan:
    """A core's tables of what these nodes send alone."""
    heard = {name: of for name, of in fan.listening.operations.items() if name in names}
    return Fan(
        replace(fan.core, slices=tuple(s for s in fan.core.slices if s.population in names)),
        replace(fan.listening, operations=heard),
        {name: of for name, of in fan.arriving.items() if name in names},
        {name: of for name, of in fan.leaving.items() if name in names},
    )


def _cores(
    value: Dict[str, float], neurons: NDArray[np.int64], done: Dict[str, Floats]
) -> tuple[Floats, Floats]:
    """Seconds of each core in each step, [*steps, cores], at the low and at the high end."""
    idle, active = value["neuron_update_min"], value["neuron_update"]
    out = done["packets_out"] * value["message_out"] + done["spikes"] * value["neuron_spike"]
    into = done["packets_in"] * value["message_in"]
    low = np.maximum(
        neurons * idle + done["spikes"] * (active - idle) + out,
        into + done["synaptic_ops"] * value["synapse"],
    )
    high = neurons * active + out + into + done["synaptic_ops_dense"] * value["synapse"]
    return low, high


def _farthest(value: Dict[str, float], way: Distances) -> float:
    """Seconds that a packet takes between the two cores that are farthest apart."""
    each = way.east_west * value["hop_east_west"] + way.north_south * value["hop_north_south"]
    return float(each.max(initial=0))


def _ends(pair: Floats) -> tuple[float, float]:
    return float(pair[0]), float(pair[1])
