"""The dense baseline by hand."""

import json

import numpy as np
import pytest

from deploy.count.ann_baseline import baseline
from deploy.count.operations import count
from deploy.program.program import Dense, Program, make_input, make_population


def test_baseline_by_hand() -> None:
    program = Program(
        (make_input("x", (2,), 0, 9),),
        (make_population("a", (3,)), make_population("b", (1,), kind="integrator")),
        (
            Dense("xa", "x", "a", np.array([[2, 0], [4, 6], [2, 2]], np.int32)),
            Dense("ab", "a", "b", np.array([[2, 0, 2]], np.int32)),
        ),
        (),
    )
    messages = {"x": np.array([3, 1]), "a": np.array([2, 4, 1]), "b": np.array([0])}
    result = baseline(program, count(program, messages, samples=2, timesteps=5))
    # 6 + 3 weights, 5 steps; zero weights are multiplied like any other.
    assert result["operations"] == {"mac": 45} and result["per_node"] == {"xa": 30, "ab": 15}
    assert result["joules"] == {"mac": pytest.approx(45 * 0.23e-12)}
    assert result["total_j"] == pytest.approx(45 * 0.23e-12)
    assert result["one_pass"]["macs"] == 9
    assert result["one_pass"]["int8_j"] == pytest.approx(9 * 0.23e-12)
    # The spiking network: 4·3 graded operations, 7·1 binary ones, of two samples; its zero weights
    # count as the ANN's do.
    assert result["spiking"] == {"adds": 3.5, "macs": 6}
    int8, fp32 = result["like_for_like"]
    assert int8["convention"].startswith("INT8") and fp32["convention"].startswith("FP32")
    assert int8["snn_j"] == pytest.approx(6 * 0.23e-12 + 3.5 * 0.03e-12)
    assert int8["ann_j"] == pytest.approx(45 * 0.23e-12)
    assert int8["ann_one_pass_j"] == pytest.approx(9 * 0.23e-12)
    assert fp32["snn_j"] == pytest.approx(6 * 4.6e-12 + 3.5 * 0.9e-12)
    assert fp32["ann_j"] == pytest.approx(45 * 4.6e-12)
    assert fp32["ann_one_pass_j"] == pytest.approx(9 * 4.6e-12)
    # 7 spikes of 3 neurons in 2·5 steps; messages per synapse (4·3 + 7·1) / (2·9).
    assert result["break_even"]["spike_rate"] == pytest.approx(7 / 30)
    assert result["break_even"]["spike_rate_limit"] == 0.057
    assert result["break_even"]["messages_per_synapse"] == pytest.approx(19 / 18)
    assert result["break_even"]["messages_per_synapse_limits"] == [0.15, 1.38]
    assert "static power" in result["excluded"] and "memory access" in result["excluded"]
    json.dumps(result, allow_nan=False)
