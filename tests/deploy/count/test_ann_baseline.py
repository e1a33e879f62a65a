"""The dense baseline by hand."""

import json

import numpy as np
import pytest

from deploy.count.ann_baseline import UNKNOWN_ZEROS, AnnZeros, Zeros, baseline
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
    int8, wide, fp32, small, large = result["like_for_like"]
    assert int8["convention"].startswith("INT8") and fp32["convention"].startswith("FP32")
    # Additions are made in registers of 24 bits: priced as 32, not as 8.
    assert int8["snn_j"] == pytest.approx(6 * 0.23e-12 + 3.5 * 0.1e-12)
    assert wide["snn_j"] == pytest.approx(6 * 0.3e-12 + 3.5 * 0.1e-12)
    assert wide["ann_one_pass_j"] == pytest.approx(9 * 0.3e-12)
    # Of 5 · 6 products with an input, 4 messages in two samples make 6 each: 24 have a zero.
    unknown = {"macs": None, "input_sparsity": None, "hidden_sparsity": None}
    assert result["skipping"] == {
        "macs": pytest.approx(45 - 24),
        "input_sparsity": pytest.approx(0.8),
        "hidden_sparsity": None,
        "one_pass": unknown,
        "source": UNKNOWN_ZEROS,
    }
    assert "--ann-zeros" in UNKNOWN_ZEROS and UNKNOWN_ZEROS in result["note"]
    assert int8["ann_skipping_j"] == pytest.approx(21 * 0.23e-12)
    assert all(row["ann_one_pass_skipping_j"] is None for row in result["like_for_like"])
    # Without skipping: 5 steps of 6 graded products and 3 additions, and a word for each of 6 numbers.
    assert int8["snn_not_skipping_j"] == pytest.approx(30 * 0.23e-12 + 15 * 0.1e-12)
    words = 45 * 9 / 8 + 2 * 4 * 5 + 6 * 5
    assert small["snn_not_skipping_j"] == pytest.approx(
        30 * 0.3e-12 + 15 * 0.1e-12 + words * 20e-12
    )
    # Words of 64 bits: 9.5 operations of 9/8, 2 of each of 4 neurons in 5 steps; ANN: 2 bytes a MAC.
    snn_words, ann_words, once = 9.5 * 9 / 8 + 2 * 4 * 5, 45 / 4 + 5 * 4 / 8, 9 / 4 + 4 / 8
    for row, access in ((small, 20e-12), (large, 100e-12)):
        assert row["snn_j"] == pytest.approx(wide["snn_j"] + snn_words * access)
        assert row["ann_j"] == pytest.approx(wide["ann_j"] + ann_words * access)
        assert row["ann_one_pass_j"] == pytest.approx(wide["ann_one_pass_j"] + once * access)
    assert int8["ann_j"] == pytest.approx(45 * 0.23e-12)
    assert int8["ann_one_pass_j"] == pytest.approx(9 * 0.23e-12)
    assert fp32["snn_j"] == pytest.approx(6 * 4.6e-12 + 3.5 * 0.9e-12)
    assert fp32["ann_j"] == pytest.approx(45 * 4.6e-12)
    assert fp32["ann_one_pass_j"] == pytest.approx(9 * 4.6e-12)
    # 7 spikes of 3 neurons in 2·5 steps; messages per synapse (4·3 + 7·1) / (2·9).
    assert result["break_even"]["spike_rate"] == pytest.approx(7 / 30)
    assert result["break_even"]["spike_rate_limit"] == pytest.approx(0.057)
    assert result["break_even"]["messages_per_synapse"] == pytest.approx(19 / 18)
    assert result["break_even"]["messages_per_synapse_limits"] == [0.15, 1.38]
    assert "static power" in result["excluded"] and "2409.08290v4" in str(result["break_even"])
    # An ANN that was trained: 30 products with inputs, 15 with hidden activations; 6 and 3 in one pass.
    zeros = AnnZeros(Zeros(0.1, 0.6), Zeros(0.5, 0.2), "measured")
    right = {"accuracy": {"value": 0.5}, "one_pass_accuracy": None}
    counts = count(program, messages, samples=2, timesteps=5)
    skipped = baseline(program, counts, zeros=zeros, trained=right)
    left, once = 30 * 0.9 + 15 * 0.4, 6 * 0.5 + 3 * 0.8
    assert skipped["skipping"]["macs"] == pytest.approx(left)
    assert skipped["skipping"]["one_pass"]["macs"] == pytest.approx(once)
    for row, other in zip(skipped["like_for_like"], result["like_for_like"], strict=True):
        assert all(row[key] == other[key] for key in ("snn_j", "ann_j", "ann_one_pass_j"))
    row = skipped["like_for_like"][3]
    assert row["ann_skipping_j"] == pytest.approx(left * 0.3e-12 + (left / 4 + 5 * 4 / 8) * 20e-12)
    assert row["ann_one_pass_skipping_j"] == pytest.approx(
        once * 0.3e-12 + (once / 4 + 4 / 8) * 20e-12
    )
    assert skipped["trained"] == right and "was trained" in skipped["accuracy"]
    longer = baseline(program, count(program, messages, samples=2, timesteps=50))
    # Ten times the steps: a tenth of the rate, the same spikes per inference.
    assert longer["break_even"]["spike_rate_limit"] == pytest.approx(0.0057)
    json.dumps(result, allow_nan=False)
