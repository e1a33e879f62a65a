"""The equal network without spikes, an ANN, held against the spiking one, in one convention at a time.

Both sides are counted alike: the operations of every connection, zero weights included on both sides,
and in the last convention the memory that they take. Neuron updates and messages of a chip are in its
coefficient sets (`deploy.count.energy`) and have no counterpart here, so those figures must not be
divided by these.

    snn                    additions · add + graded operations · mac     zeros skipped, as chips do
    snn_not_skipping       the same of every synapse at every step
    ann                    T · weights · mac          every connection at every step
    ann_skipping           the same without the products of zeros: Σ T · weights · mac · (1 − zeros)
    ann_one_pass           weights · mac              the whole input in one step, nothing skipped
    ann_one_pass_skipping  the same without the products of zeros; null where no zeros are known

How many of an ANN's numbers are zero is measured on one that was trained (`AnnZeros`). Without one its
inputs are zero as often as the network's here, and of its hidden activations all count.

An addition is priced at the width that it is made in: the chip's current and potential have 24 bits,
so that of the published widths it is one of 32 bits.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from deploy.count.operations import Counts
from deploy.program.program import Program

HOROWITZ = "Horowitz 2014 (ISSCC), 45 nm, 0.9 V"
# HOROWITZ: multiplication of 8 bits 0.2 pJ; addition of 8 bits 0.03 pJ, of 32 bits 0.1 pJ; FP32
# multiplication 3.7 pJ and addition 0.9 pJ; 64 bits of a cache of 8 KB 10 pJ, 32 KB 20 pJ, 1 MB 100 pJ.
INT8_MAC_J = 0.23e-12
INT32_ADD_J = 0.1e-12
INT8_MAC_INT32_J = 0.3e-12
FP32_MAC_J = 4.6e-12
FP32_ADD_J = 0.9e-12
ACCESS_J = {"32 KB": 20e-12, "1 MB": 100e-12}
# Yan, Bai, Wong: below this spike rate an SNN of T = 5 beats an equally able quantized ANN. At other T
# the limit is taken to be of the same spikes a neuron and inference.
BREAK_EVEN_RATE = 0.057
BREAK_EVEN_TIMESTEPS = 5
BREAK_EVEN_SOURCE = (
    "Yan, Bai, Wong, arXiv 2409.08290v4 (2026): 5.7 % at T = 5 (v2 and v3: 6.4 % for T of 5 to 10); "
    "scaled to the same spikes per inference"
)
# Break-even spikes per synapse and inference, over their hardware models.
BREAK_EVEN_PER_SYNAPSE = (0.15, 1.38)
BREAK_EVEN_PER_SYNAPSE_SOURCE = (
    "Dampfhoffer et al., IEEE TETCI 7(3), 2023 (online 2022): of an inference, whatever its T"
)

# Where no ANN was trained, and the option of `neuroclip-export` that says it.
UNKNOWN_ZEROS = "hidden: unknown, no ANN was trained; --ann-zeros SHARE gives it"


@dataclass(frozen=True)
class Zeros:
    """Which share of the inputs and of the hidden activations of an ANN is zero, 0..1; None: not known."""

    inputs: float | None = None
    hidden: float | None = None


@dataclass(frozen=True)
class AnnZeros:
    """The zeros of an ANN that runs at every step, and of one that gets the whole input in one pass.

    source: who says so, in words.
    """

    every_step: Zeros = Zeros()
    one_pass: Zeros = Zeros()
    source: str = UNKNOWN_ZEROS


@dataclass(frozen=True)
class Convention:
    """What an addition and a MAC take, in joules, and an access to 64 bits of memory, if it counts."""

    name: str
    add_j: float
    mac_j: float
    source: str
    access_j: float = 0.0


PAPERS = Convention(
    "FP32 arithmetic, as SNN papers quote", FP32_ADD_J, FP32_MAC_J, "add 0.9 pJ, MAC 4.6 pJ"
)
CONVENTIONS = (
    Convention(
        "INT8 arithmetic, added at register width",
        INT32_ADD_J,
        INT8_MAC_J,
        "add 0.1 pJ (32 bits), MAC 0.23 pJ (8 bits throughout)",
    ),
    Convention(
        "INT8 arithmetic, both sides add 32 bits",
        INT32_ADD_J,
        INT8_MAC_INT32_J,
        "add 0.1 pJ, MAC 0.2 + 0.1 pJ",
    ),
    PAPERS,
    *(
        Convention(
            f"INT8 with memory of {size}",
            INT32_ADD_J,
            INT8_MAC_INT32_J,
            f"add 0.1 pJ, MAC 0.2 + 0.1 pJ, 64 bits of a memory of {size} {joules * 1e12:g} pJ",
            joules,
        )
        for size, joules in ACCESS_J.items()
    ),
)
MEMORY = (
    "Memory, in words of 64 bits. Spiking: eight weights a word; the sum that a synaptic operation adds "
    "to read and written (32 bits each); u and v of each neuron read and written at each step; a word a "
    "message that arrives (where no zeros are skipped, a word a neuron or input and step). ANN: eight "
    "weights and eight activations a word and MAC, sums in registers, each activation written once."
)


def baseline(
    program: Program,
    counts: Counts,
    repeated: Collection[str] = (),
    zeros: AnnZeros = AnnZeros(),
    trained: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """The report's `baseline`: an ANN's operations and joules per inference.

    {"name", "operations": {"mac"}, "joules": {"mac"}, "total_j", "note", "source", "included",
    "excluded", "accuracy", "trained", "per_node", "one_pass": {"macs", "int8_j", "fp32_j"}, "skipping":
    {"macs", "input_sparsity", "hidden_sparsity", "one_pass": {the same three}, "source"}, "spiking": {"adds",
    "macs"}, "like_for_like": [{"convention", "source", and joules of each line of the module with "_j"}],
    "break_even": {...}}. Sparsities are shares of zeros, null where nobody knows.

    program: the network without relays; counts: of what the chip runs, relays included. repeated:
    connections that the ANN does not have, since they only carry a sum to one more reader
    (`deploy.program.residual_stream.repeated`). zeros: of the ANN. trained: accuracies of one that was
    trained: {"accuracy", "one_pass_accuracy"}. `total_j` is the ANN's INT8 arithmetic.
    """
    samples, steps = counts.samples, counts.timesteps
    each = {c.name: c.synapse_count() for c in program.connections if c.name not in repeated}
    weights = sum(each.values())
    macs = steps * weights
    dense = {name: n / samples for name, n in counts.synaptic_ops_dense.items()}
    snn_macs = sum(n for name, n in dense.items() if name in counts.graded)
    snn_adds = sum(n for name, n in dense.items() if name not in counts.graded)
    inputs = {n.name for n in program.inputs}
    of_inputs = [c.name for c in program.connections if c.source in inputs and c.name in each]
    first = sum(each[name] for name in of_inputs)
    seen = 1 - sum(dense[name] for name in of_inputs) / (steps * first) if first else None
    every = Zeros(
        seen if zeros.every_step.inputs is None else zeros.every_step.inputs,
        zeros.every_step.hidden,
    )
    performed = steps * _performed(first, weights - first, every)
    once = _performed(first, weights - first, zeros.one_pass)
    known = zeros.one_pass != Zeros()
    neurons = sum(p.size for p in program.populations)
    all_synapses = {c.name: steps * c.synapse_count() for c in program.connections}
    all_macs = sum(n for name, n in all_synapses.items() if name in counts.graded)
    all_adds = sum(all_synapses.values()) - all_macs
    updates = 2 * sum(counts.neuron_updates.values()) / samples
    arriving = sum((counts.messages or {}).values()) / samples
    sent = steps * (neurons + sum(n.size for n in program.inputs))
    # (additions, MACs, words of memory) of each side.
    work: dict[str, tuple[float, float, float]] = {
        "snn_j": (snn_adds, snn_macs, (snn_adds + snn_macs) * (1 / 8 + 1) + updates + arriving),
        "snn_not_skipping_j": (
            *(all_adds, all_macs),
            (all_adds + all_macs) * (1 / 8 + 1) + 2 * steps * neurons + sent,
        ),
        "ann_j": (0, macs, macs / 4 + steps * neurons / 8),
        "ann_skipping_j": (0, performed, performed / 4 + steps * neurons / 8),
        "ann_one_pass_j": (0, weights, weights / 4 + neurons / 8),
        "ann_one_pass_skipping_j": (0, once, once / 4 + neurons / 8),
    }

    def of(convention: Convention) -> dict[str, Any]:
        found: dict[str, Any] = {
            side: adds * convention.add_j + macs * convention.mac_j + words * convention.access_j
            for side, (adds, macs, words) in work.items()
        }
        found |= {} if known else {"ann_one_pass_skipping_j": None}
        named = {"convention": convention.name, "source": f"{HOROWITZ}: {convention.source}"}
        return named | found

    limit = min(1.0, BREAK_EVEN_RATE * BREAK_EVEN_TIMESTEPS / steps)
    return {
        "name": "8-bit ANN of the same connections",
        "operations": {"mac": macs},
        "joules": {"mac": macs * INT8_MAC_J},
        "total_j": macs * INT8_MAC_J,
        "note": "Synaptic arithmetic on both sides, with memory where a row says so: no neuron updates "
        "(a spiking neuron's cost more than an activation), network on chip, static power or host. An "
        "ANN needs no time steps, so that only the one in one pass is an adversary. Zeros of the "
        f"ANN: {zeros.source}; those that are not known are not skipped. {MEMORY}",
        "source": HOROWITZ,
        "included": ["synaptic arithmetic of every connection, zero weights included"],
        "excluded": [
            "activations (neuron updates)",
            "data movement on the network on chip",
            "static power",
            "input and output",
            "host (encoder, read-out)",
        ],
        "accuracy": "that of the quantized network is taken; no ANN was trained"
        if trained is None
        else "that of an ANN in 8 bits that was trained as the network was",
        "trained": trained,
        "per_node": {name: steps * n for name, n in each.items()},
        "one_pass": {
            "macs": weights,
            "int8_j": weights * INT8_MAC_J,
            "fp32_j": weights * FP32_MAC_J,
        },
        "skipping": {
            "macs": performed,
            "input_sparsity": every.inputs,
            "hidden_sparsity": every.hidden,
            "one_pass": {
                "macs": once if known else None,
                "input_sparsity": zeros.one_pass.inputs,
                "hidden_sparsity": zeros.one_pass.hidden,
            },
            "source": zeros.source,
        },
        "spiking": {"adds": snn_adds, "macs": snn_macs},
        "like_for_like": [of(convention) for convention in CONVENTIONS],
        "break_even": {
            "spike_rate": counts.spike_rate,
            "spike_rate_limit": limit,
            "spike_rate_source": BREAK_EVEN_SOURCE,
            "timesteps": steps,
            "messages_per_synapse": counts.messages_per_synapse,
            "messages_per_synapse_limits": list(BREAK_EVEN_PER_SYNAPSE),
            "messages_per_synapse_source": BREAK_EVEN_PER_SYNAPSE_SOURCE,
        },
    }


def _performed(of_inputs: int, of_hidden: int, zeros: Zeros) -> float:
    """Products left of those with inputs and with hidden activations, once zeros are skipped."""
    return of_inputs * (1 - (zeros.inputs or 0.0)) + of_hidden * (1 - (zeros.hidden or 0.0))
