"""The equal network without spikes: the same connections as a dense ANN in 8-bit arithmetic."""

from typing import Any

from deploy.counts import Counts
from deploy.program import Program

# Horowitz 2014, Computing's Energy Problem (ISSCC), 45 nm, 0.9 V: INT8 multiplication 0.2 pJ and
# addition 0.03 pJ; FP32 multiplication 3.7 pJ and addition 0.9 pJ.
INT8_MAC_J = 0.23e-12
INT8_ADD_J = 0.03e-12
FP32_MAC_J = 4.6e-12
# Yan, Bai, Wong 2024: an SNN of T = 5 beats an equally accurate quantized ANN below this spike rate.
BREAK_EVEN_RATE = 0.057
BREAK_EVEN_TIMESTEPS = 5
# Dampfhoffer et al. 2023: break-even spikes per synapse and inference, over their hardware models.
BREAK_EVEN_PER_SYNAPSE = (0.15, 1.38)


def baseline(program: Program, counts: Counts) -> dict[str, Any]:
    """The report's `baseline`: dense multiply-accumulates per inference and their arithmetic energy.

    macs = time steps · Σ weights (zeros included), every connection at every step, as the spiking
    network sees its input; `one_pass` is an ANN that needs its input only once. The spiking
    network's own operations in the same INT8 convention are beside it (`snn_int8_j`: an addition
    per binary message, a MAC per graded one), and the published break-even points.
    Joules per inference, arithmetic only.
    """
    one_pass = sum(c.weight.size for c in program.connections)
    macs = counts.timesteps * one_pass
    per_node = {c.name: counts.timesteps * c.weight.size for c in program.connections}
    acs, snn_macs = sum(counts.acs.values()), sum(counts.macs.values())
    return {
        "network": "the same connections as a dense 8-bit ANN, evaluated at every time step",
        "source": "Horowitz 2014 (ISSCC), 45 nm: INT8 MAC 0.23 pJ, INT8 add 0.03 pJ, FP32 MAC 4.6 pJ",
        "included": ["multiply-accumulates of every connection, zero weights included"],
        "excluded": [
            "memory access",
            "activations (neuron updates)",
            "data movement (messages)",
            "static power",
            "input and output",
            "host (encoder, read-out)",
        ],
        "accuracy": "that of the quantized network is taken; no ANN was trained",
        "macs": macs,
        "per_node": per_node,
        "int8_j": macs * INT8_MAC_J,
        "fp32_j": macs * FP32_MAC_J,
        "one_pass": {
            "macs": one_pass,
            "int8_j": one_pass * INT8_MAC_J,
            "fp32_j": one_pass * FP32_MAC_J,
        },
        "snn_int8_j": (acs * INT8_ADD_J + snn_macs * INT8_MAC_J) / counts.samples,
        "break_even": {
            "spike_rate": counts.spike_rate,
            "spike_rate_limit": BREAK_EVEN_RATE,
            "spike_rate_source": f"Yan, Bai, Wong 2024, at T = {BREAK_EVEN_TIMESTEPS}",
            "timesteps": counts.timesteps,
            "messages_per_synapse": counts.messages_per_synapse,
            "messages_per_synapse_limits": list(BREAK_EVEN_PER_SYNAPSE),
            "messages_per_synapse_source": "Dampfhoffer et al. 2023",
        },
    }
