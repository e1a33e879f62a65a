"""Groups of options that several subcommands have, and what is made of them.

Nothing heavy is imported here, so that a mistyped command is answered at once.
"""

import argparse
from collections.abc import Callable
from typing import Any

from deploy.command import folder_argument, seed_argument, sensor_argument
from neuroclip.clip.spec import BUNDLED, ClipSpec, check_spec
from neuroclip.commands.actions.asked import Source

_FRAMES = ("steps", "slicing", "rendering", "threshold", "normalisation")


def add_source(
    parser: argparse.ArgumentParser, what: str, items: str, default: str | None = "digits"
) -> None:
    """Add --data, --data-root and --skip-bad. what: that --data names; items: that may be bad."""
    shown = what if default else f"{what} (default: none)"
    parser.add_argument("--data", default=default, help=shown)
    disk = parser.add_argument_group("data on disk")
    disk.add_argument(
        "--data-root", metavar="DIR", help="where data sets lie; --data may then be a name or a "
        "folder in it (default: --data is a path)",
    )  # fmt: skip
    disk.add_argument(
        "--skip-bad", action="store_true",
        help=f"leave out {items} that cannot be read, and say how many (default: stop at one)",
    )  # fmt: skip


def add_events(parser: argparse.ArgumentParser) -> None:
    """Add the options of a data set of event recordings."""
    what = (
        "data set: digits (bundled) or a folder; below --data-root nmnist, cifar10dvs, es-imagenet"
    )
    add_source(parser, what, "recordings")
    add_sensor(parser)


def add_sensor(parser: argparse._ActionsContainer, default: str = "its data set's") -> None:
    """Add --sensor, read by `deploy.command.sensor_argument`."""
    parser.add_argument(
        "--sensor", type=sensor_argument, metavar="WxH",
        help=f"pixels, of recordings that do not say, such as 304x240 (default: {default})",
    )  # fmt: skip


def add_images(parser: argparse.ArgumentParser) -> None:
    """Add the options of a data set of images."""
    what = "images: digits (bundled), a folder, a zip file; below --data-root cifar10 and others"
    add_source(parser, what, "images")


def source(options: argparse.Namespace) -> Source:
    """The data set of event recordings that was asked for. Raises BadInput where there is none."""
    from neuroclip.data.events.catalogue import find_dataset
    from neuroclip.data.images.told import require_recordings

    require_recordings(options.data, options.data_root)
    find_dataset(options.data, options.data_root)
    return Source(options.data, options.data_root, options.skip_bad, options.sensor)


def image_source(options: argparse.Namespace) -> Source:
    """The data set of images that was asked for. Raises BadInput where there is none."""
    from neuroclip.data.images.images import find_images

    find_images(options.data, options.data_root)
    return Source(options.data, options.data_root, options.skip_bad)


def add_clip(parser: argparse.ArgumentParser, of_checkpoint: bool = False) -> None:
    """Add --clip and --pretrained. of_checkpoint: they say where the CLIP of a checkpoint lies."""
    what = "a folder, or open_clip's name of one"
    if of_checkpoint:
        what += (
            ": the one that a checkpoint was trained on, told by its weights; a SpikeCLIP, which needs none, "
            "then takes its texts"
        )
    parser.add_argument(
        "--clip", metavar="NAME|FOLDER", help=f"{what} (default: digits, which is bundled)"
    )
    parser.add_argument(
        "--pretrained", help="of open_clip's: its tag or a weight file (default: none is loaded)"
    )


def clip(options: argparse.Namespace) -> ClipSpec:
    """The CLIP that was asked for, by default the bundled one; as `given_clip`."""
    return given_clip(options) or ClipSpec()


def given_clip(options: argparse.Namespace) -> ClipSpec | None:
    """The CLIP that was asked for, if one was. Raises BadInput where there is none of its name."""
    if options.clip is None and options.pretrained is None:
        return None
    spec = ClipSpec(BUNDLED if options.clip is None else options.clip, options.pretrained)
    check_spec(spec)
    return spec


def add_frames(parser: argparse.ArgumentParser) -> None:
    """Add the options of the event-frame module."""
    frames = parser.add_argument_group("framing (default: the data set's, chosen on validation)")
    frames.add_argument("--steps", type=int, metavar="T", help="slices, steps of the network")
    frames.add_argument(
        "--slicing", choices=("count", "time"), help="slices of equal count or time"
    )
    frames.add_argument(
        "--rendering", choices=("polarity", "presence", "intensity"), help="gray values of a slice"
    )
    frames.add_argument("--threshold", type=int, metavar="N", help="counts above it are seen")
    frames.add_argument(
        "--normalisation", choices=("half", "clip"), help="of pixels: the paper's or CLIP's"
    )


def frames(options: argparse.Namespace) -> dict[str, Any]:
    """The framing options that were given; the others are the data set's."""
    given = {name: getattr(options, name) for name in _FRAMES}
    return {name: value for name, value in given.items() if value is not None}


def add_seed(parser: argparse.ArgumentParser) -> None:
    """Add --seed."""
    parser.add_argument(
        "--seed", type=seed_argument, default=0, help="of the split and of everything random"
    )


def add_names(group: argparse._ArgumentGroup) -> None:
    """Add --replace and --expand: other names for some classes, and names beside them."""
    group.add_argument(
        "--replace", metavar='"A=B,..."', help="other names for some classes (default: none)"
    )
    group.add_argument(
        "--expand", metavar='"a,b,..."', help="names that are no class, added (default: none)"
    )


def add_out(parser: argparse.ArgumentParser, what: str) -> None:
    """Add --out, a folder that is needed."""
    parser.add_argument("--out", type=folder_argument, required=True, metavar="DIR", help=what)


def add_epochs(parser: argparse.ArgumentParser) -> None:
    """Add the lengths of an adapter's two trainings."""
    parser.add_argument("--epochs", type=int, help="epochs in floating point (default: 250)")
    parser.add_argument(
        "--quantized-epochs", type=int, help="epochs on the chip's arithmetic (default: 80)"
    )
    parser.add_argument(
        "--variants", type=int, default=16, help="rotated and sheared copies of each recording"
    )


def epochs(options: argparse.Namespace) -> dict[str, int]:
    """The numbers of epochs that were given; the others are the recipe's."""
    given = {name: getattr(options, name) for name in ("epochs", "quantized_epochs")}
    return {name: value for name, value in given.items() if value is not None}


def numbers(kind: Callable[[str], Any]) -> Callable[[str], tuple[Any, ...]]:
    """argparse type of numbers given as "1,2,4"."""

    def parsed(text: str) -> tuple[Any, ...]:
        try:
            return tuple(kind(part) for part in text.split(","))
        except ValueError:
            raise argparse.ArgumentTypeError(f"'{text}' is no list of numbers") from None

    return parsed
