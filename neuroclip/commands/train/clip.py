"""`neuroclip train clip`: the small CLIP that is bundled, on the digits' still pictures."""

import argparse

from neuroclip.commands.options.groups import add_out, add_seed

HELP = "train the bundled kind of CLIP again, on pictures and captions"
EXAMPLES = "neuroclip train clip --out runs/digits-clip"


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of the command."""
    add_out(parser, "folder of the CLIP")
    parser.add_argument("--epochs", type=int, default=80, help="epochs on the training pictures")
    add_seed(parser)


def run(options: argparse.Namespace) -> int:
    """Train for some minutes, and keep the best epoch."""
    from deploy.output import claim

    claim(options.out)
    from neuroclip.clip.pretrain import train_digits_clip

    trained = train_digits_clip(options.out, options.seed, options.epochs)
    print(
        f"validation accuracy on pictures: {100 * trained.validation:.1f} % (epoch {trained.epoch})"
    )
    print(f"CLIP: {options.out}")
    return 0
