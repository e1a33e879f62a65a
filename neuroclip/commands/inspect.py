"""`neuroclip inspect`: layers, registers, proof and cost of a program."""

import argparse
from pathlib import Path

HELP = "layers, registers, proof and cost of a program"
EXAMPLES = "neuroclip inspect demo/program.npz"


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of the command."""
    parser.add_argument("program", type=Path, help="program.npz of a run")
    parser.add_argument("--timesteps", type=int, default=10, help="steps per sample")
    parser.add_argument("--chip", default="loihi2", metavar="NAME|FILE", help="chip description")


def run(options: argparse.Namespace) -> int:
    """Print what the program holds."""
    from deploy.program.file import load_program
    from deploy.report.inspect import inspect

    print(inspect(load_program(options.program), options.timesteps, options.chip))
    return 0
