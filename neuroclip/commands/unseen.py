"""`neuroclip unseen`: accuracy on classes that were left out of training entirely."""

import argparse

from deploy.command import folder_argument
from neuroclip.commands.options.groups import add_clip, add_images, add_seed, clip, image_source

HELP = "accuracy on classes left out of training, among all classes"
EXAMPLES = """\
neuroclip unseen --clip runs/words --data cifar10-train.zip --out runs/unseen
neuroclip unseen --clip runs/words --data cifar10-train.zip --leave 3 --sets 20 --out runs/unseen"""


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of the command."""
    add_images(parser)
    add_clip(parser)
    parser.add_argument("--leave", type=int, default=2, help="classes left out at a time")
    parser.add_argument(
        "--sets", type=int, metavar="N", help="so many, drawn by the seed (default: all there are)"
    )
    parser.add_argument("--template", help="prompt with one {} (default: a photo of a {}.)")
    parser.add_argument(
        "--normalisation", choices=("half", "clip"), default="clip", help="of pixels"
    )
    parser.add_argument(
        "--limit", type=int, metavar="N", help="images per class at most (default: all)"
    )
    add_seed(parser)
    parser.add_argument(
        "--out", type=folder_argument, required=True, metavar="DIR", help="folder of the table"
    )


def run(options: argparse.Namespace) -> int:
    """Leave classes out, train on the others, print and keep the table."""
    data, spec = image_source(options), clip(options)
    from neuroclip.commands.actions.images import unseen

    return unseen(
        data,
        spec,
        options.out,
        leave=options.leave,
        sets=options.sets,
        template=options.template,
        normalisation=options.normalisation,
        limit=options.limit,
        seed=options.seed,
    )
