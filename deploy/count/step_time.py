"""Time of a step and of an inference, from coefficient sets that say how long an operation takes.

All cores work at once and wait for each other at the barrier that ends a step, so that a step lasts
as long as its slowest core:

    neurons_c    updates · neuron_update + spikes · neuron_spike + packets out · message_out
    messages_c   packets in · message_in + synaptic operations · synapse
    step         max over cores c of (neurons_c with messages_c) + barrier

No public coefficients say how far a core overlaps the two parts, so a range is given: `low` takes
the longer of both, an idle update where a neuron does not fire, no operation on zero weights and
the shortest barrier; `high` takes their sum, an active update of every neuron, zero weights, the
longest barrier, and the way of the farthest packet. Congestion on the links is in neither.

In a coefficient file (see `deploy.count.energy`):

    "latency": {"synapse": {"value": 3.8, "unit": "ns", "source": "…", "assumption": false}, …}
"""

from collections import Counter
from collections.abc import Mapping as Dict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from deploy.count.activity import Activity, Fan, activity, sample_blocks
from deploy.count.energy import Coefficients
from deploy.hardware.mesh import Distances

# What a latency says nothing about, whatever the set.
_NEVER_INCLUDED = (
    "congestion on the links",
    "input and output (encoder, host, read-out)",
    "loading the program",
)


@dataclass(frozen=True, eq=False)
class Latency:
    """Seconds of one coefficient set over the recorded samples, each (low, high).

    step: mean over steps and samples. slowest_step: the largest of all. inference: mean over
    samples. per_step: mean over samples, [steps, 2]. slowest_core: the core that most steps wait
    for, and in which share of them.
    """

    coefficients: str
    source: str
    included: tuple[str, ...]
    excluded: tuple[str, ...]
    assumptions: tuple[str, ...]
    step: tuple[float, float]
    slowest_step: tuple[float, float]
    inference: tuple[float, float]
    per_step: NDArray[np.float64]
    slowest_core: tuple[int, float]


def latency(
    found: Sequence[Fan],
    sent: Dict[str, NDArray[Any]],
    coefficients: Coefficients,
    way: Distances | None = None,
) -> Latency | None:
    """The time of recorded samples under one coefficient set; None where it has no latencies, or nothing was
    recorded.

    sent: {source: recorded messages [samples, time, *shape]}. way: between the cores in the order of
    the mapping, where they are placed.
    """
    value = {name: each.seconds for name, each in coefficients.latency.items()}
    samples = len(next(iter(sent.values()))) if sent else 0
    if not value or not found or not samples:
        return None
    neurons = np.array([sum(s.size for s in fan.core.slices) for fan in found])
    farthest = 0.0 if way is None else _farthest(value, way)
    steps: list[NDArray[np.float64]] = []
    slowest: Counter[int] = Counter()
    for block in sample_blocks(sent, samples):
        low, high = _cores(value, neurons, activity(tuple(found), dict(block)))
        slowest.update(high.argmax(axis=-1).reshape(-1).tolist())
        ends = low.max(axis=-1) + value["barrier_min"], high.max(axis=-1) + value["barrier"]
        steps.append(np.stack([ends[0], ends[1] + farthest], axis=-1))
    each = np.concatenate(steps)
    index, times = slowest.most_common(1)[0]
    placed = "the way of the farthest packet (high end)"
    return Latency(
        coefficients.name,
        coefficients.source,
        ("neuron updates", "packets out and in", "synaptic operations", "barrier")
        + ((placed,) if way is not None else ()),
        _NEVER_INCLUDED + (() if way is not None else ("hops (cores are not placed)",)),
        tuple(f"{n}: {c.source}" for n, c in coefficients.latency.items() if c.assumption),
        _ends(each.mean(axis=(0, 1))),
        _ends(each.max(axis=(0, 1))),
        _ends(each.sum(axis=1).mean(axis=0)),
        each.mean(axis=0),
        (found[index].core.index, times / (each.shape[0] * each.shape[1])),
    )


def latency_report(
    found: Sequence[Fan],
    sent: Dict[str, NDArray[Any]],
    sets: Sequence[Coefficients],
    way: Distances | None = None,
) -> dict[str, Any]:
    """The report's `latency` and `latency_range_s`: one entry per set that has latencies.

    {"latency": [{"coefficients", "source", "included", "excluded", "assumptions", "samples",
    "step_s", "slowest_step_s", "inference_s": [low, high] each, "per_step_s": [[low, high]] of each
    step, "slowest_core": {"core", "share"}}], "latency_range_s": [low, high] per inference over all
    of them, null where there is none}.
    """
    entries = [e for each in sets if (e := latency(found, sent, each, way)) is not None]
    samples = len(next(iter(sent.values()))) if sent else 0
    return {
        "latency": [
            {
                "coefficients": e.coefficients,
                "source": e.source,
                "included": list(e.included),
                "excluded": list(e.excluded),
                "assumptions": list(e.assumptions),
                "samples": samples,
                "step_s": list(e.step),
                "slowest_step_s": list(e.slowest_step),
                "inference_s": list(e.inference),
                "per_step_s": e.per_step.tolist(),
                "slowest_core": {"core": e.slowest_core[0], "share": e.slowest_core[1]},
            }
            for e in entries
        ],
        "latency_range_s": [
            min(e.inference[0] for e in entries),
            max(e.inference[1] for e in entries),
        ]
        if entries
        else None,
    }


def _cores(
    value: Dict[str, float], neurons: NDArray[np.int64], done: Activity
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Seconds of each core in each step, [samples, time, cores], at the low and at the high end."""
    idle, active = value["neuron_update_min"], value["neuron_update"]
    out = done.packets_out * value["message_out"] + done.spikes * value["neuron_spike"]
    into = done.packets_in * value["message_in"]
    low = np.maximum(
        neurons * idle + done.spikes * (active - idle) + out,
        into + done.synaptic_ops * value["synapse"],
    )
    high = neurons * active + out + into + done.synaptic_ops_dense * value["synapse"]
    return low, high


def _farthest(value: Dict[str, float], way: Distances) -> float:
    """Seconds that a packet takes between the two cores that are farthest apart."""
    each = way.east_west * value["hop_east_west"] + way.north_south * value["hop_north_south"]
    return float(each.max(initial=0))


def _ends(pair: NDArray[np.float64]) -> tuple[float, float]:
    return float(pair[0]), float(pair[1])
