"""`neuroclip watch`: one recording classified slice by slice, as its events come in."""

import argparse
from pathlib import Path

from deploy.errors import BadInput
from neuroclip.commands.options.groups import (
    add_clip,
    add_frames,
    add_sensor,
    clip,
    frames,
    given_clip,
)

HELP = "classify a recording slice by slice as it comes in"
EXAMPLES = """\
neuroclip watch path/to/recording.bin --checkpoint runs/adapter
neuroclip watch path/to/recording.aedat --like cifar10dvs"""


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of the command."""
    parser.add_argument("recording", type=Path, help="event file")
    parser.add_argument("--checkpoint", help="folder or bundled name (default: by text alone)")
    parser.add_argument(
        "--like", metavar="NAME", default="nmnist",
        help="data set whose labels, prompt, sensor and framing are used without a checkpoint: digits, "
        "nmnist, cifar10dvs, es-imagenet, or one of your own",
    )  # fmt: skip
    parser.add_argument("--labels", help='class names, "a,b,c" (default: those of --like)')
    parser.add_argument("--template", help="prompt with one {} (default: that of --like)")
    add_sensor(parser, "--like's")
    add_clip(parser, of_checkpoint=True)
    add_frames(parser)


def run(options: argparse.Namespace) -> int:
    """Print class scores after every slice, and the prediction."""
    if not options.recording.is_file():
        raise BadInput(f"{options.recording}: no such event file")
    if options.checkpoint is None:
        from neuroclip.data.events.cards import card_of

        card, spec = card_of(options.like), clip(options)
        from neuroclip.commands.actions.watch import watch_by_text

        return watch_by_text(
            options.recording,
            card,
            spec,
            labels=options.labels,
            template=options.template,
            sensor=options.sensor,
            frame_options=frames(options),
        )
    from neuroclip.storage.checkpoint_files import format_of

    own = {name: getattr(options, name) for name in ("labels", "template")}
    for name, value in {**own, **frames(options)}.items():
        if value is not None:
            raise BadInput(f"--{name} {value}: a checkpoint has its own; leave one of them out")
    format_of(options.checkpoint)
    given = given_clip(options)
    from neuroclip.commands.actions.watch import watch_on_chip

    return watch_on_chip(options.recording, options.checkpoint, given, options.sensor)
