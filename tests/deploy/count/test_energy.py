"""Energy by hand on a tiny network, and coefficient files."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from deploy.count.energy import bundled_coefficients, energy, energy_report, load_coefficients
from deploy.count.operations import Counts, count
from deploy.errors import BadInput
from deploy.hardware.mapping import Core, Mapping, Slice
from deploy.program.program import Dense, Program, make_input, make_population


def counted(mapped: bool = True, spikes: tuple[int, int] = (3, 1)) -> Counts:
    """2 samples of 4 steps: graded x [2] sends 5 and 1 messages to a [2], a to b [1].

    Operations xa: non-zero 5·2 + 1·1 = 11, dense 6·2 = 12 (graded). ab: non-zero 3·1 + 1·0 = 3,
    dense 4·1 = 4 (binary). Updates: a 2·4·2 = 16, b 2·4·1 = 8. Messages: x 6·1, a 4·1.
    """
    program = Program(
        (make_input("x", (2,), 0, 9),),
        (make_population("a", (2,)), make_population("b", (1,))),
        (
            Dense("xa", "x", "a", np.array([[2, 0], [4, 6]], np.int32)),
            Dense("ab", "a", "b", np.array([[2, 0]], np.int32)),
        ),
        (),
    )
    mapping = Mapping("loihi2", (Core(0, (Slice("a", 0, 2),)), Core(1, (Slice("b", 0, 1),))))
    messages = {"x": np.array([5, 1]), "a": np.array(spikes), "b": np.array([0])}
    return count(program, messages, 2, 4, mapping if mapped else None)


def pj(value: float) -> Any:
    return pytest.approx(value * 1e-12, rel=1e-12)


def test_davies_by_hand() -> None:
    e = energy(counted(), load_coefficients("loihi1-davies2018"))
    # Per inference: half of the totals over two samples.
    assert e.joules["synapses"] == pj(16 * 23.6 / 2)
    assert e.joules["neurons"] == pj(24 * 81 / 2)
    assert e.joules["messages"] == pj(10 * 1.7 / 2)
    assert e.joules["hops"] is None
    assert e.total_j == pj((16 * 23.6 + 24 * 81 + 10 * 1.7) / 2)
    # The low end: no zero weights, and of the 24 updates only the 4 that fire are active.
    assert e.low_j == pj((14 * 23.6 + 20 * 52 + 4 * 81 + 10 * 1.7) / 2)
    assert e.per_node == {
        "xa": pj(12 * 23.6 / 2),
        "ab": pj(4 * 23.6 / 2),
        "x": pj(6 * 1.7 / 2),
        "a": pj((16 * 81 + 4 * 1.7) / 2),
        "b": pj(8 * 81 / 2),
    }


def test_sanafe_by_hand() -> None:
    e = energy(counted(), load_coefficients("loihi1-sanafe"))
    assert e.joules["synapses"] == pj(16 * 35.5 / 2)
    assert e.joules["neurons"] == pj((24 * (51.2 + 21.6) + 4 * 69.3) / 2)
    assert e.joules["messages"] == pj(10 * 111 / 2)
    assert e.low_j == pj((14 * 35.5 + 24 * 51.2 + 4 * 21.6 + 4 * 69.3 + 10 * 111) / 2)


def test_horowitz_by_hand() -> None:
    e = energy(counted(), load_coefficients("horowitz45nm"))
    assert e.joules["synapses"] == pj((11 * 4.6 + 3 * 0.9) / 2)  # zero weights excluded
    assert e.joules["neurons"] is e.joules["messages"] is None
    assert e.total_j == e.low_j == pj((11 * 4.6 + 3 * 0.9) / 2)
    assert "neuron updates (the set has no coefficient)" in e.excluded
    assert "messages (the set has no coefficient)" in e.excluded


def test_what_is_not_covered_is_always_said() -> None:
    for coefficients in bundled_coefficients():
        e = energy(counted(mapped=False), coefficients)
        for excluded in ("static power", "input and output", "host (encoder, read-out)"):
            assert excluded in e.excluded
        assert any(text.startswith("hops") for text in e.excluded)
        assert any(text.startswith("messages") for text in e.excluded)
        assert e.joules["messages"] is None and e.source
    assert (
        "messages (not mapped)"
        in energy(counted(mapped=False), load_coefficients("loihi1-davies2018")).excluded
    )


def test_graded_messages_on_loihi_1_are_marked_as_an_assumption() -> None:
    e = energy(counted(), load_coefficients("loihi1-davies2018"))
    assert len(e.assumptions) == 1 and e.assumptions[0].startswith("synapse_mac")


def test_report_shows_every_set_and_the_range_over_all() -> None:
    report = energy_report(counted(), bundled_coefficients())
    names = [entry["coefficients"] for entry in report["energy"]]
    assert names == ["horowitz45nm", "loihi1-davies2018", "loihi1-sanafe"]
    assert [entry["whole"] for entry in report["energy"]] == [False, True, True]
    low, high = report["energy_range_j"]
    # The arithmetic alone is no figure of a chip: it is beside the range.
    assert low == energy(counted(), load_coefficients("loihi1-davies2018")).low_j
    alone = energy_report(counted(), [load_coefficients("horowitz45nm")])
    assert alone["energy_range_j"] == [pj((11 * 4.6 + 3 * 0.9) / 2)] * 2
    assert high == pj((16 * 35.5 + 24 * 72.8 + 4 * 69.3 + 10 * 111) / 2)
    json.dumps(report, allow_nan=False)
    with pytest.raises(BadInput, match="no coefficient set"):
        energy_report(counted(), [])


@given(spikes=st.tuples(st.integers(0, 8), st.integers(0, 8)))
def test_categories_and_nodes_add_up_and_low_is_below_total(spikes: tuple[int, int]) -> None:
    for coefficients in bundled_coefficients():
        e = energy(counted(spikes=spikes), coefficients)
        parts = sum(j for j in e.joules.values() if j is not None)
        assert e.total_j == pytest.approx(parts) == pytest.approx(sum(e.per_node.values()))
        assert e.low_j <= e.total_j * (1 + 1e-12)


def test_every_bundled_coefficient_has_a_source() -> None:
    for coefficients in bundled_coefficients():
        assert coefficients.values and len(coefficients.source) > 20
        assert all(len(c.source) > 5 and c.joules > 0 for c in coefficients.values.values())


def own() -> dict[str, Any]:
    each = {"value": 2, "unit": "nJ", "source": "measured", "assumption": False}
    return {
        "format": "neuroclip-coefficients",
        "version": 1,
        "name": "mine",
        "source": "a test",
        "zero_weights": False,
        "coefficients": {"synapse_ac": dict(each), "synapse_mac": dict(each)},
    }


def test_a_users_own_set_and_its_unit(tmp_path: Path) -> None:
    path = tmp_path / "mine.json"
    path.write_text(json.dumps(own()))
    assert energy(counted(), load_coefficients(path)).total_j == pytest.approx(14 * 2e-9 / 2)


@pytest.mark.parametrize(
    ("where", "value", "key"),
    [
        (("coefficients", "synapse_ac", "unit"), "kWh", "coefficients.synapse_ac.unit"),
        (("coefficients", "synapse_ac", "value"), -1, "coefficients.synapse_ac.value"),
        (("coefficients", "synapse_ac", "value"), float("nan"), "not valid JSON"),
        (("coefficients", "synapse_ac", "value"), 10**400, "coefficients.synapse_ac.value"),
        (("coefficients", "synapse_ac", "value"), "2", "coefficients.synapse_ac.value"),
        (("coefficients", "synapse_ac", "source"), "", "coefficients.synapse_ac.source"),
        (("coefficients", "synapse_mac"), None, "coefficients.synapse_mac"),
        (("coefficients", "synops"), {}, "coefficients.synops"),
        (("coefficients", "transfer_min"), own()["coefficients"]["synapse_ac"], "transfer_min"),
        (("coefficients", "neuron_spike"), own()["coefficients"]["synapse_ac"], "neuron_update"),
        (("zero_weights",), 1, "zero_weights"),
        (("version",), 9, "version"),
    ],
)
def test_a_damaged_set_is_refused_naming_file_and_key(
    tmp_path: Path, where: tuple[str, ...], value: Any, key: str
) -> None:
    entry = own()
    target = entry
    for step in where[:-1]:
        target = target[step]
    target[where[-1]] = value
    path = tmp_path / "mine.json"
    path.write_text(json.dumps(entry))
    with pytest.raises(BadInput) as error:
        load_coefficients(path)
    assert str(path) in str(error.value) and key in str(error.value)


def test_an_unknown_set_lists_the_known_ones() -> None:
    with pytest.raises(BadInput, match=r"'loihi7'.*horowitz45nm, loihi1-davies2018, loihi1-sanafe"):
        load_coefficients("loihi7")


@pytest.mark.parametrize("seed", range(12))
def test_a_zero_is_charged_where_it_takes_synapse_memory(random_program: Any, seed: int) -> None:
    """One rule a kind: what is stored is performed, by the counts, the energy and the mapping alike."""
    rng = np.random.default_rng(seed)
    program = random_program(seed, kinds="all")
    zeroed = []
    for c in program.connections:
        weight = np.where(rng.random(c.weight.shape) < 0.5, 0, c.weight).astype(np.int32)
        zeroed.append(replace(c, weight=weight))
    program = replace(program, connections=tuple(zeroed))
    sent = {n.name: rng.integers(0, 9, n.shape) for n in program.sources}
    counts = count(program, sent, 2, 5)
    for c in program.connections:
        targets = np.arange(c.target_size)
        held = c.stored(targets, rng.integers(0, 3, c.target_size), 3, shared_kernels=False)
        assert held.times * int(held.size.sum()) == c.synapse_count() == int(c.fan_out().sum())
    charged, fewest = counts.synaptic_ops_dense, counts.synaptic_ops
    assert charged == {
        c.name: int(sent[c.source].reshape(-1) @ c.fan_out()) for c in program.connections
    }
    assert sum(fewest.values()) < sum(charged.values())
    for name in ("loihi1-davies2018", "loihi1-sanafe"):
        used = load_coefficients(name)
        assert used.zero_weights
        found, without = energy(counts, used), energy(counts, replace(used, zero_weights=False))
        for c in program.connections:
            each = found.per_node[c.name] * counts.samples / max(charged[c.name], 1)
            assert without.per_node[c.name] * counts.samples == pytest.approx(each * fewest[c.name])
