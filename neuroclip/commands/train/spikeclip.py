"""`neuroclip train spikeclip`: a whole spiking CLIP image encoder, from a CLIP teacher."""

import argparse

from neuroclip.commands.options.groups import (
    add_clip,
    add_images,
    add_out,
    add_seed,
    given_clip,
    image_source,
)

HELP = "train a SpikeCLIP: a teacher where there is none, alignment with it, fine-tuning"
EXAMPLES = """\
neuroclip train spikeclip --out runs/digits
neuroclip train spikeclip --config cifar10-cpu --data cifar10-train.zip --out runs/cifar10
neuroclip train spikeclip --stage align --config cifar10 --data cifar10 --data-root data \\
    --out runs/large --minutes 9 --resume"""


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of the command."""
    add_out(parser, "folder of the checkpoint")
    parser.add_argument(
        "--stage", choices=("teacher", "align", "finetune"),
        help="one step of the training (default: all in this order, the teacher where the "
        "configuration asks for one of its own)",
    )  # fmt: skip
    parser.add_argument(
        "--config", metavar="FILE", default="digits", help="settings: a JSON file, or bundled ones"
    )
    add_images(parser)
    add_clip(parser)
    parser.add_argument("--device", help="cpu, cuda or cuda:N (default: CUDA where there is one)")
    parser.add_argument(
        "--minutes", type=float, metavar="M",
        help="keep the state and stop then; --resume goes on (default: until it is done)",
    )  # fmt: skip
    parser.add_argument(
        "--leave-out", metavar='"a,b,..."',
        help="classes of which neither image nor name is used (default: none)",
    )  # fmt: skip
    add_seed(parser)
    parser.add_argument("--resume", action="store_true", help="go on from a killed training")


def run(options: argparse.Namespace) -> int:
    """Train the stages that are asked for."""
    from neuroclip.spikeclip.config_files import config_file

    config_file(options.config)
    data, teacher = image_source(options), given_clip(options)
    from neuroclip.commands.actions.spikeclip import train
    from neuroclip.text.labels import split_labels

    return train(
        options.stage,
        options.config,
        data,
        options.out,
        teacher=teacher,
        seed=options.seed,
        device=options.device,
        minutes=options.minutes,
        resume=options.resume,
        leave_out=() if options.leave_out is None else split_labels(options.leave_out),
    )
