"""`neuroclip sweep`: accuracy against synaptic operations."""

import argparse

from neuroclip.commands.options.groups import numbers
from neuroclip.commands.options.table import add_table_options, runs

HELP = "accuracy against operations: spike-rate targets, message resolutions"
EXAMPLES = """\
neuroclip sweep --data digits --rates 0.05,0.015 --out runs/sweep
neuroclip sweep --data path/to/N-MNIST --seeds 3 --message-exponents 2,0,-1 --out runs/sweep"""


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of the command."""
    add_table_options(parser)
    parser.add_argument("--shots", type=int, default=16, help="training recordings per class")
    parser.add_argument(
        "--rates", type=numbers(float), default="0.05,0.03,0.015", metavar="R,R,...",
        help="spikes per neuron and step that training aims below",
    )  # fmt: skip
    parser.add_argument(
        "--message-exponents", type=numbers(int), default="2,1,0,-1", metavar="E,E,...",
        help="input messages in steps of 2^-E; coarser ones are more often silent",
    )  # fmt: skip


def run(options: argparse.Namespace) -> int:
    """Train and test every point, and write the curve."""
    chosen = runs(options)
    from neuroclip.commands.actions.tables import sweep

    return sweep(
        chosen,
        shots=options.shots,
        rates=options.rates,
        message_exponents=options.message_exponents,
    )
