"""Time of a step by hand, its range, and the latencies of coefficient files."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from deploy.count.activity import fans
from deploy.count.energy import LATENCIES, bundled_coefficients, energy, load_coefficients
from deploy.count.operations import count
from deploy.count.step_time import Clock, Pipeline, latency, latency_report
from deploy.errors import BadInput
from deploy.hardware.chip import load_chip
from deploy.hardware.mapping import Core, Mapping, Slice
from deploy.hardware.mesh import distances
from deploy.program.program import Dense, Program, make_input, make_population

PROGRAM = Program(
    (make_input("x", (2,)),),
    (make_population("a", (2,)), make_population("b", (1,))),
    (
        Dense("xa", "x", "a", np.array([[2, 0], [4, 6]], np.int32)),
        Dense("ab", "a", "b", np.array([[2, 0]], np.int32)),
    ),
    (),
)
# Four cores a router: core 0 at (0, 0), core 36 at (1, 1).
MAPPING = Mapping("loihi2", (Core(0, (Slice("a", 0, 2),)), Core(36, (Slice("b", 0, 1),))))
# Two samples of two steps.
SENT = {
    "x": np.array([[[1, 1], [0, 0]], [[1, 0], [0, 0]]]),
    "a": np.array([[[1, 1], [0, 0]], [[0, 0], [0, 1]]]),
    "b": np.zeros((2, 2, 1), np.int64),
}
SET = "loihi1-sanafe"


def test_time_by_hand() -> None:
    found = latency(fans(PROGRAM, MAPPING), SENT, load_coefficients(SET))
    assert found is not None
    # Sample 0, step 0, core 0: 2 neurons that fire, 2 packets out; 2 packets in, 3 operations, 4
    # with zero weights. Core 36: 2 packets in, 1 operation, 2 with zero weights.
    low = [
        max(2 * 9.7 + 2 * 30 + 2 * 5.1, 2 * 16 + 3 * 3.8) + 600,
        max(2 * 6.0, 0) + 600,
        # Sample 1, step 0: 1 packet in, 2 operations; step 1: a fires once, its weight is zero.
        max(2 * 6.0, 16 + 2 * 3.8) + 600,
        max(6.0 + 9.7 + 30 + 5.1, 0) + 600,
    ]
    high = [
        2 * 9.7 + 2 * 30 + 2 * 5.1 + 2 * 16 + 4 * 3.8 + 1800,
        2 * 9.7 + 1800,
        2 * 9.7 + 16 + 2 * 3.8 + 1800,
        2 * 9.7 + 30 + 5.1 + 1800,
    ]

    def ns(value: float) -> Any:
        return pytest.approx(value * 1e-9, rel=1e-12)

    assert found.inference == (ns(sum(low) / 2), ns(sum(high) / 2))
    assert found.step == (ns(sum(low) / 4), ns(sum(high) / 4))
    assert found.slowest_step == (ns(max(low)), ns(max(high)))
    assert found.per_step[1].tolist() == [ns((low[1] + low[3]) / 2), ns((high[1] + high[3]) / 2)]
    assert found.slowest_core == (0, 1.0)
    assert "hops (cores are not placed)" in found.excluded
    # One hop to the east and one to the south, at the high end alone.
    way = distances(load_chip("loihi2"), [0, 36])
    placed = latency(fans(PROGRAM, MAPPING), SENT, load_coefficients(SET), way)
    assert placed is not None and placed.step == (found.step[0], ns(sum(high) / 4 + 4.1 + 6.5))
    assert "hops (cores are not placed)" not in placed.excluded


def test_a_report_has_every_set_with_latencies_and_the_range_over_them() -> None:
    report = reported(bundled_coefficients())
    assert [entry["coefficients"] for entry in report["latency"]] == [SET]
    assert report["latency"][0]["samples"] == 2
    assert report["latency_range_s"] == report["latency"][0]["inference_s"]
    json.dumps(report, allow_nan=False)
    none = reported([load_coefficients("horowitz45nm")])
    assert none == {"latency": [], "latency_range_s": None, "alone_range_s": None}


def reported(sets: Any) -> dict[str, Any]:
    clock = Clock(fans(PROGRAM, MAPPING), sets)
    clock.add(SENT)
    return latency_report(clock, 2, 0)


@pytest.mark.parametrize("chunk", [1, 2, 3, 7])
@pytest.mark.parametrize("fill", [1, 3])
def test_a_stream_and_an_inference_alone_step_by_step(chunk: int, fill: int) -> None:
    """Every source shifted by its lag, by hand: what is shifted is timed as it stands."""
    rng = np.random.default_rng(fill)
    samples, timesteps, lag = 7, 3, {"x": 0, "a": 1, "b": 2}
    sent = {
        "x": rng.integers(0, 2, (samples, timesteps, 2)),
        "a": rng.integers(0, 2, (samples, timesteps, 2)),
        "b": rng.integers(0, 2, (samples, timesteps, 1)),
    }
    tables, coefficients = fans(PROGRAM, MAPPING), load_coefficients(SET)
    clock = Clock(tables, [coefficients], pipeline=Pipeline(lag, fill))
    for start in range(0, samples, chunk):
        clock.add({name: x[start : start + chunk] for name, x in sent.items()})
    (found,) = clock.latencies()
    assert clock.latencies()[0].inference == found.inference  # asking changes nothing

    def shifted(values: np.ndarray, steps: int, lag: int) -> np.ndarray:
        late = np.zeros((1, steps, values.shape[-1]), np.int64)
        rows = values.reshape(-1, values.shape[-1])[: max(0, steps - lag)]
        late[0, lag : lag + len(rows)] = rows
        return late

    def whole(part: slice, steps: int) -> Any:
        late = {name: shifted(x[part], steps, lag[name]) for name, x in sent.items()}
        timed = latency(tables, late, coefficients)
        assert timed is not None
        return timed

    stream = whole(slice(None), samples * timesteps + fill)
    assert found.inference == pytest.approx([x / samples for x in stream.inference], rel=1e-12)
    assert found.step == pytest.approx(stream.step, rel=1e-12)
    assert found.slowest_core == stream.slowest_core
    each = [whole(slice(i, i + 1), timesteps + fill) for i in range(samples)]
    alone = [np.mean([e.inference[i] for e in each]) for i in (0, 1)]
    assert found.alone == pytest.approx(alone, rel=1e-12)
    slowest = [max(e.slowest_step[i] for e in (*each, stream)) for i in (0, 1)]
    assert found.slowest_step == pytest.approx(slowest, rel=1e-12)
    assert len(found.per_step) == timesteps + fill
    report = latency_report(clock, timesteps, fill)
    assert report["alone_range_s"] == list(found.alone)
    assert report["latency"][0]["stream_steps"] == samples * timesteps + fill


def test_hops_cost_energy_once_cores_are_placed() -> None:
    messages = {"x": np.array([3, 1]), "a": np.array([3, 1]), "b": np.array([0])}
    counts = count(PROGRAM, messages, 2, 2, MAPPING, load_chip("loihi2"))
    e = energy(counts, load_coefficients(SET))
    assert e.joules["hops"] == pytest.approx(4 * (3.0 + 4.2) * 1e-12 / 2)
    assert not any(text.startswith("hops on the mesh") for text in e.excluded)
    assert any("from the host" in text for text in e.excluded)
    parts = sum(j for j in e.joules.values() if j is not None)
    assert e.total_j == pytest.approx(parts) == pytest.approx(sum(e.per_node.values()))
    horowitz = energy(counts, load_coefficients("horowitz45nm"))
    assert "hops on the mesh (the set has no coefficient)" in horowitz.excluded


def own(**latency: Any) -> dict[str, Any]:
    def each(value: float, unit: str) -> dict[str, Any]:
        return {"value": value, "unit": unit, "source": "measured", "assumption": False}

    pj = each(2, "pJ")
    return {
        "format": "neuroclip-coefficients",
        "version": 1,
        "name": "mine",
        "source": "a test",
        "zero_weights": False,
        "coefficients": {"synapse_ac": pj, "synapse_mac": pj, "synapse_sparse": each(1, "pJ")},
        "latency": {name: each(2, "us") for name in LATENCIES} | latency,
    }


def test_a_users_latencies_and_their_unit(tmp_path: Path) -> None:
    path = tmp_path / "mine.json"
    path.write_text(json.dumps(own()))
    found = load_coefficients(path)
    assert found.latency["barrier"].seconds == pytest.approx(2e-6)


@pytest.mark.parametrize(
    ("change", "key"),
    [
        ({"synapse": {"value": 1, "unit": "pJ", "source": "s", "assumption": False}}, "unit"),
        ({"synapse": {"value": -1, "unit": "ns", "source": "s", "assumption": False}}, "value"),
        ({"synapse": {"value": 1, "unit": "ns", "source": " ", "assumption": False}}, "source"),
        (
            {"barrier_min": {"value": 1, "unit": "s", "source": "s", "assumption": False}},
            "barrier_min",
        ),
        ({"hops": {}}, "latency.hops"),
    ],
)
def test_damaged_latencies_are_refused_naming_file_and_key(
    tmp_path: Path, change: dict[str, Any], key: str
) -> None:
    path = tmp_path / "mine.json"
    path.write_text(json.dumps(own(**change)))
    with pytest.raises(BadInput) as error:
        load_coefficients(path)
    assert str(path) in str(error.value) and key in str(error.value)


def test_a_missing_latency_or_partner_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "mine.json"
    for part, gone, says in (
        ("latency", "message_in", "latency.message_in"),
        ("coefficients", "synapse_ac", "synapse_ac"),
    ):
        entry = own()
        del entry[part][gone]
        path.write_text(json.dumps(entry))
        with pytest.raises(BadInput, match=says):
            load_coefficients(path)
