"""`neuroclip watch`: a recording or a stream classified slice by slice, as its events come in."""

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from deploy.errors import BadInput
from neuroclip.commands.options.groups import (
    add_clip,
    add_frames,
    add_sensor,
    clip,
    frames,
    given_clip,
)

if TYPE_CHECKING:
    from neuroclip.commands.actions.watch import Shown

HELP = "classify a recording or a live stream slice by slice as it comes in"
EXAMPLES = """\
neuroclip watch path/to/recording.bin --checkpoint runs/adapter
neuroclip watch path/to/recording.aedat --like cifar10dvs
neuroclip watch growing.dat --live --serve
camera | neuroclip watch - --format bin --sensor 34x34 --checkpoint runs/adapter
neuroclip watch tcp://camera:7000 --format dat --serve 8080"""

PORT = 8765


def _number(low: float, high: float, kind: type = int) -> Callable[[str], Any]:
    """Reads a number within bounds, both included."""

    def parsed(text: str) -> Any:
        try:
            value = kind(text)
        except ValueError:
            value = None
        if value is None or not low <= value <= high:
            raise argparse.ArgumentTypeError(f"'{text}' is no number from {low} to {high}")
        return value

    return parsed


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of the command."""
    parser.add_argument(
        "source", help="event file; - for standard input or tcp://HOST:PORT, which are live"
    )
    parser.add_argument(
        "--live", action="store_true", help="the file is a pipe, or is still being written"
    )
    parser.add_argument(
        "--format", dest="kind", metavar="NAME",
        help="of a stream (default: what its name ends in): bin, bs2, dat, csv, txt",
    )  # fmt: skip
    parser.add_argument(
        "--window", type=_number(1, 10**9), metavar="N",
        help="how long a stream is looked at for each answer: ms, or events where slices are cut by count "
        "(default: 300 ms)",
    )  # fmt: skip
    parser.add_argument(
        "--idle", type=_number(0, 10**6, float), metavar="SECONDS",
        help="a stream has ended when nothing came for so long (default: a growing file never ends, a pipe "
        "or a socket when its writer closes it; Ctrl-C ends any)",
    )  # fmt: skip
    parser.add_argument(
        "--serve", type=_number(0, 65535), nargs="?", const=PORT, metavar="PORT",
        help=f"a page of this machine alone with frames, spikes and scores (default port: {PORT})",
    )  # fmt: skip
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
    _require(options)
    if options.checkpoint is None:
        from neuroclip.data.events.cards import card_of

        card, spec = card_of(options.like), clip(options)
        from neuroclip.commands.actions.watch import watch_by_text

        return watch_by_text(
            _shown(options),
            card,
            spec,
            labels=options.labels,
            template=options.template,
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

    return watch_on_chip(_shown(options), options.checkpoint, given)


def _live(options: argparse.Namespace) -> bool:
    from neuroclip.live.sources import is_stream

    return options.live or is_stream(options.source)


def _require(options: argparse.Namespace) -> None:
    """Raises BadInput for a source that is not there, and for options of streams with a recording."""
    path = Path(options.source)
    if _live(options):
        from neuroclip.live.decoders import decoder

        decoder(options.source, options.kind)
        return
    if path.is_fifo():
        raise BadInput(f"{path}: is a pipe; --live reads it as it comes in")
    if not path.is_file():
        raise BadInput(f"{path}: no such event file")
    for name in ("kind", "window", "idle"):
        if getattr(options, name) is not None:
            option = "format" if name == "kind" else name
            raise BadInput(f"--{option}: of a stream; with --live the file is read as one")


def _shown(options: argparse.Namespace) -> "Shown":
    from neuroclip.commands.actions.watch import Shown

    return Shown(
        source=options.source,
        sensor=options.sensor,
        live=_live(options),
        kind=options.kind,
        window=options.window,
        idle=options.idle,
        port=options.serve,
    )
