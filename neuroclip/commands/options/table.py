"""The options that `neuroclip table` and `neuroclip sweep` share."""

import argparse

from neuroclip.commands.actions.asked import Runs
from neuroclip.commands.options.groups import (
    add_clip,
    add_epochs,
    add_events,
    add_frames,
    add_out,
    clip,
    epochs,
    frames,
    source,
)


def add_table_options(parser: argparse.ArgumentParser) -> None:
    """Add the options that both commands have."""
    add_events(parser)
    add_clip(parser)
    add_frames(parser)
    add_out(parser, "folder of the results")
    parser.add_argument("--seeds", type=int, default=5, help="splits and trainings")
    add_epochs(parser)
    parser.add_argument("--jobs", type=int, default=1, help="trainings at the same time")
    parser.add_argument("--resume", action="store_true", help="go on from a killed run")


def runs(options: argparse.Namespace) -> Runs:
    """The trainings that were asked for. Raises BadInput for unknown data and CLIPs."""
    return Runs(
        source(options),
        clip(options),
        frames(options),
        epochs(options),
        options.seeds,
        options.variants,
        options.out,
        options.jobs,
        options.resume,
    )
