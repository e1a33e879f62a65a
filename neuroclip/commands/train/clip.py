"""`neuroclip train clip`: of two pretrained towers, or the small CLIP that is bundled."""

import argparse

from deploy.errors import BadInput
from neuroclip.commands.options.groups import add_out, add_seed, add_source, image_source
from neuroclip.towers.tables import IMAGE_TOWERS, TEXT_TOWERS

HELP = "make a CLIP of two pretrained towers, or train the bundled kind again"
EXAMPLES = """\
neuroclip train clip --image-tower tf_efficientnet_lite0 --text-tower minilm-l6 --out runs/words
neuroclip train clip --image-tower tf_efficientnet_lite0 --text-tower minilm-l6 \\
    --data cifar10-train.zip --out runs/teacher
neuroclip train clip --out runs/digits-clip"""


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of the command."""
    add_out(parser, "folder of the CLIP")
    parser.add_argument(
        "--epochs", type=int, help="of the bundled kind, on the digits' pictures (default: 80)"
    )
    towers = parser.add_argument_group("two pretrained towers (default: the bundled kind)")
    for which, table in (("image", IMAGE_TOWERS), ("text", TEXT_TOWERS)):
        towers.add_argument(
            f"--{which}-tower", choices=tuple(table), help="; ".join(
                f"{name}: {tower.about} ({tower.licence})" for name, tower in table.items()
            ),
        )  # fmt: skip
    towers.add_argument("--image-size", type=int, default=128, help="pixels a side")
    what = "images to align with; left out, none is seen: a folder, a zip file, a name"
    add_source(parser, what, "images", default=None)
    parser.add_argument(
        "--template", help="of the class sentences, with one {} (default: a photo of a {}.)"
    )
    parser.add_argument(
        "--limit", type=int, metavar="N", help="images per class at most (default: all)"
    )
    add_seed(parser)


def run(options: argparse.Namespace) -> int:
    """Make it, and keep it."""
    asked = (options.image_tower, options.text_tower)
    if asked == (None, None):
        return _bundled_kind(options)
    if None in asked:
        missing = "--image-tower" if options.image_tower is None else "--text-tower"
        raise BadInput(f"{missing} is needed too: a CLIP of pretrained towers has two")
    if options.epochs is not None:
        raise BadInput("--epochs is of the bundled kind; two towers are aligned in closed form")
    data = None if options.data is None else image_source(options)
    from neuroclip.commands.actions.images import train_towers
    from neuroclip.towers.assembled import TowersConfig

    config = TowersConfig(options.image_tower, options.text_tower, options.image_size)
    return train_towers(
        config,
        options.out,
        data,
        template=options.template,
        limit=options.limit,
        seed=options.seed,
    )


def _bundled_kind(options: argparse.Namespace) -> int:
    for option in ("data", "data_root", "template", "limit"):
        if getattr(options, option) is not None:
            raise BadInput(
                f"--{option.replace('_', '-')} goes with --image-tower and --text-tower: the bundled kind "
                "learns the digits"
            )
    from deploy.output import claim

    claim(options.out)
    from neuroclip.clip.pretrain import train_digits_clip

    trained = train_digits_clip(
        options.out, options.seed, 80 if options.epochs is None else options.epochs
    )
    print(
        f"validation accuracy on pictures: {100 * trained.validation:.1f} % (epoch {trained.epoch})"
    )
    print(f"CLIP: {options.out}")
    return 0
