"""`neuroclip zero-shot`: event recordings classified by the texts of their labels alone."""

import argparse

from neuroclip.commands.options.groups import (
    add_clip,
    add_events,
    add_frames,
    add_seed,
    clip,
    frames,
    source,
)

HELP = "classify recordings by text alone"
EXAMPLES = """\
neuroclip zero-shot --data digits
neuroclip zero-shot --data path/to/N-MNIST --split validation
neuroclip zero-shot --labels "three,eight" --template "the digit {}" """.rstrip()


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of the command."""
    add_events(parser)
    add_clip(parser)
    add_frames(parser)
    parser.add_argument("--labels", help='class names, "a,b,c" (default: the data set\'s)')
    parser.add_argument("--template", help="prompt with one {} (default: the data set's)")
    parser.add_argument(
        "--split", choices=("validation", "test"), default="test", help="which recordings"
    )
    parser.add_argument(
        "--pictures",
        action="store_true",
        help="the digits' still pictures in place of their events",
    )
    add_seed(parser)


def run(options: argparse.Namespace) -> int:
    """Classify, and print the accuracy and how the data set was recognised."""
    data, spec = source(options), clip(options)
    from neuroclip.commands.actions.adapter import zero_shot

    return zero_shot(
        data,
        spec,
        labels=options.labels,
        template=options.template,
        pictures=options.pictures,
        frame_options=frames(options),
        split=options.split,
        seed=options.seed,
    )
