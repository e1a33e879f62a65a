"""The equal network without spikes, a dense ANN, held against the spiking one like for like.

Both sides are counted in one convention: the arithmetic of every connection, zero weights included
on both sides, nothing else. Memory, data movement and neuron updates are in the chip's coefficient
sets (`deploy.count.energy`) and have no counterpart here, so those figures must not be divided by these.
"""

from collections.abc import Collection
from typing import Any

from deploy.count.operations import Counts
from deploy.program.program import Program

# Horowitz 2014, Computing's Energy Problem (ISSCC), 45 nm, 0.9 V: INT8 multiplication 0.2 pJ and
# addition 0.03 pJ; FP32 multiplication 3.7 pJ and addition 0.9 pJ.
INT8_MAC_J = 0.23e-12
INT8_ADD_J = 0.03e-12
FP32_MAC_J = 4.6e-12
FP32_ADD_J = 0.9e-12
# Yan, Bai, Wong 2024: an SNN of T = 5 beats an equally accurate quantized ANN below this spike rate.
BREAK_EVEN_RATE = 0.057
BREAK_EVEN_TIMESTEPS = 5
# Dampfhoffer et al. 2023: break-even spikes per synapse and inference, over their hardware models.
BREAK_EVEN_PER_SYNAPSE = (0.15, 1.38)

CONVENTIONS = (
    ("INT8 arithmetic", INT8_ADD_J, INT8_MAC_J, "add 0.03 pJ, MAC 0.23 pJ"),
    ("FP32 arithmetic, as SNN papers quote", FP32_ADD_J, FP32_MAC_J, "add 0.9 pJ, MAC 4.6 pJ"),
)


def baseline(program: Program, counts: Counts, repeated: Collection[str] = ()) -> dict[str, Any]:
    """The report's `baseline`: a dense ANN's operations and joules per inference, and who wins.

    {"name", "operations": {"mac"}, "joules": {"mac"}, "total_j", "note", "source", "included",
    "excluded", "accuracy", "per_node", "one_pass": {"macs", "int8_j", "fp32_j"}, "spiking":
    {"adds", "macs"}, "like_for_like": [{"convention", "source", "snn_j", "ann_j",
    "ann_one_pass_j"}], "break_even": {...}}.

    ANN: macs = time steps · Σ weights, every connection at every step, as the spiking network sees
    its input; `one_pass` is an ANN that gets its input merged into one step. Spiking network: an
    addition per binary message and target, a MAC per graded message and target. Zero weights count
    on both sides. `total_j` is the ANN's INT8 arithmetic. repeated: connections that the ANN does
    not have, since they only carry a sum to one more reader (`deploy.program.residual_stream.repeated`).
    """
    each = {c.name: c.synapse_count() for c in program.connections if c.name not in repeated}
    weights = sum(each.values())
    macs = counts.timesteps * weights
    dense = {name: n / counts.samples for name, n in counts.synaptic_ops_dense.items()}
    snn_macs = sum(n for name, n in dense.items() if name in counts.graded)
    snn_adds = sum(n for name, n in dense.items() if name not in counts.graded)
    return {
        "name": "dense 8-bit ANN of the same connections",
        "operations": {"mac": macs},
        "joules": {"mac": macs * INT8_MAC_J},
        "total_j": macs * INT8_MAC_J,
        "note": "Synaptic arithmetic alone, on both sides: no memory, data movement, neuron updates "
        "(a spiking neuron's cost more than an activation), static power or host. The ANN is taken "
        "to be as accurate as the quantized network; none was trained.",
        "source": "Horowitz 2014 (ISSCC), 45 nm",
        "included": ["synaptic arithmetic of every connection, zero weights included"],
        "excluded": [
            "memory access",
            "activations (neuron updates)",
            "data movement (messages)",
            "static power",
            "input and output",
            "host (encoder, read-out)",
        ],
        "accuracy": "that of the quantized network is taken; no ANN was trained",
        "per_node": {name: counts.timesteps * n for name, n in each.items()},
        "one_pass": {
            "macs": weights,
            "int8_j": weights * INT8_MAC_J,
            "fp32_j": weights * FP32_MAC_J,
        },
        "spiking": {"adds": snn_adds, "macs": snn_macs},
        "like_for_like": [
            {
                "convention": name,
                "source": f"Horowitz 2014: {source}",
                "snn_j": snn_adds * add_j + snn_macs * mac_j,
                "ann_j": macs * mac_j,
                "ann_one_pass_j": weights * mac_j,
            }
            for name, add_j, mac_j, source in CONVENTIONS
        ],
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
