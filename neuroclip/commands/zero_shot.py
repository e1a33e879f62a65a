"""`neuroclip zero-shot`: recordings or images classified by the texts of their labels alone."""

import argparse

from deploy.errors import BadInput
from neuroclip.commands.options.groups import (
    add_clip,
    add_frames,
    add_names,
    add_seed,
    add_sensor,
    add_source,
    clip,
    frames,
    image_source,
    source,
)

HELP = "classify recordings or images by text alone"
EXAMPLES = """\
neuroclip zero-shot --data digits
neuroclip zero-shot --data path/to/N-MNIST --split validation
neuroclip zero-shot --labels "three,eight" --template "the digit {}"
neuroclip zero-shot --clip runs/words --data cifar10-train.zip --replace "horse=zebra,ship=boat"
neuroclip zero-shot --clip runs/words --data cifar10-train.zip --expand "@cifar100" """.rstrip()


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of the command."""
    what = (
        "digits (bundled), or a folder of recordings, or of images, or a zip file of images; below "
    )
    add_source(parser, f"{what}--data-root nmnist, cifar10 and others", "items")
    add_sensor(parser)
    add_clip(parser)
    add_frames(parser)
    parser.add_argument(
        "--labels", metavar='"a,b,c"|FILE',
        help='class names; "CLASS=WORD": for that class; "@NAME": a data set\'s (default: the data\'s)',
    )  # fmt: skip
    parser.add_argument("--template", help="prompt with one {} (default: the data set's)")
    parser.add_argument(
        "--split", choices=("validation", "test"), default="test", help="which recordings"
    )
    parser.add_argument(
        "--pictures",
        action="store_true",
        help="the digits' still pictures in place of their events",
    )
    images = parser.add_argument_group("of images only")
    add_names(images)
    add_seed(parser)


def run(options: argparse.Namespace) -> int:
    """Classify, and print the accuracy and how the data set was recognised."""
    from neuroclip.data.images.told import holds_images

    if holds_images(options.data, options.data_root):
        return _images(options)
    for option in ("replace", "expand"):
        if getattr(options, option) is not None:
            raise BadInput(f"--{option}: {options.data} holds no images, which alone have it")
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


def _images(options: argparse.Namespace) -> int:
    data, spec, given = image_source(options), clip(options), frames(options)
    normalisation = given.pop("normalisation", "clip")
    others = {"pictures": options.pictures, "sensor": options.sensor is not None}
    for option in (*given, *(name for name, is_given in others.items() if is_given)):
        raise BadInput(f"--{option}: {options.data} holds images, and this is of recordings")
    from neuroclip.commands.actions.images import zero_shot

    return zero_shot(
        data,
        spec,
        labels=options.labels,
        replacing=options.replace,
        expanding=options.expand,
        template=options.template,
        normalisation=normalisation,
        split=options.split,
        seed=options.seed,
    )
