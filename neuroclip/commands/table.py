"""`neuroclip table`: every method at several numbers of shots, several seeds."""

import argparse

from neuroclip.commands.options.groups import numbers
from neuroclip.commands.options.table import add_table_options, runs

HELP = "every method at 1 to 16 shots, several seeds, as a table and a plot"
EXAMPLES = """\
neuroclip table --data path/to/N-MNIST --seeds 5 --jobs 2 --out runs/table
neuroclip table --shots 16 --unseen 3 --out runs/unseen"""


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of the command."""
    add_table_options(parser)
    parser.add_argument(
        "--shots", type=numbers(int), default="1,2,4,8,16", metavar="N,N,...",
        help="training recordings per class",
    )  # fmt: skip
    parser.add_argument(
        "--unseen", type=int, default=0, metavar="N",
        help="keep N classes out of training, and test on them, on the others and on all",
    )  # fmt: skip


def run(options: argparse.Namespace) -> int:
    """Train and test every cell, and write the table."""
    chosen = runs(options)
    from neuroclip.commands.actions.tables import table

    return table(chosen, shots=options.shots, unseen=options.unseen)
