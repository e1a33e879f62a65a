"""`neuroclip diff`: where two recorded runs first differ."""

import argparse
from pathlib import Path

from deploy.errors import BadInput

HELP = "where two traces first differ"
EXAMPLES = """\
neuroclip diff a/trace.npz b/trace.npz
neuroclip diff a/trace.npz chip.npz --hardware-reading"""


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of the command."""
    parser.add_argument("a", type=Path, metavar="A", help="trace")
    parser.add_argument("b", type=Path, metavar="B", help="another trace")
    parser.add_argument(
        "--hardware-reading",
        action="store_true",
        help="B was read from a chip: v reads 128 at a spike, and all comes a step later per layer",
    )
    parser.add_argument(
        "--program", type=Path, help="that both ran, for the layers (default: program.npz beside A)"
    )


def run(options: argparse.Namespace) -> int:
    """Print the comparison; the status is 1 where the traces differ."""
    from deploy.compare.parity import compare_recordings
    from deploy.emulate.trace import load_trace

    a, b = str(options.a), str(options.b)
    first, second = load_trace(options.a), load_trace(options.b)
    if options.hardware_reading:
        from deploy.compare.hardware_reading import hardware_reading
        from deploy.program.file import load_program
        from deploy.program.pipeline_latency import latency_steps

        program = load_program(options.program or options.a.parent / "program.npz")
        try:
            first, second = hardware_reading(first, second, latency_steps(program))
        except BadInput as error:
            raise BadInput(f"{b}: {error}") from error
    elif options.program is not None:
        raise BadInput("--program: only --hardware-reading asks for the program")
    parity = compare_recordings(a, first, b, second)
    print(parity.describe())
    return 0 if parity.ok else 1
