"""`neuroclip train [adapter]`: the few-shot spiking adapter, in floating point and then on the chip."""

import argparse

from neuroclip.commands.options.groups import (
    add_clip,
    add_epochs,
    add_events,
    add_frames,
    add_out,
    add_seed,
    clip,
    epochs,
    frames,
    source,
)

HELP = (
    "train an adapter on a few recordings of each class (`train clip`, `train spikeclip`: others)"
)
EXAMPLES = """\
neuroclip train --data digits --shots 16 --out runs/adapter
neuroclip train --data nmnist --data-root data --shots 4 --spike-rate 0.05 --out runs/nmnist
torchrun --nproc-per-node 4 -m neuroclip.commands.main train --data path/to/ES-ImageNet \\
    --clip ViT-B-32 --pretrained openai --out runs/large"""


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of the command."""
    add_out(parser, "folder of the checkpoint")
    add_events(parser)
    add_clip(parser)
    add_frames(parser)
    parser.add_argument("--template", help="prompt with one {} (default: the data set's)")
    parser.add_argument("--shots", type=int, default=16, help="training recordings per class")
    parser.add_argument(
        "--cut", choices=("folded", "paper"), default="folded",
        help="the adapter: with the text folded in on the chip, or NeuroCLIP's as published",
    )  # fmt: skip
    parser.add_argument(
        "--hidden",
        type=int,
        help="neurons of the adapter (default: features / 2, of the paper's / 8)",
    )
    add_epochs(parser)
    parser.add_argument(
        "--spike-rate", type=float, metavar="R",
        help="aim below R spikes per neuron and step (default: no aim)",
    )  # fmt: skip
    parser.add_argument(
        "--ann", action="store_true",
        help="also train an ANN of the same shape in 8 bits, as long: what reports hold the chip against",
    )  # fmt: skip
    add_seed(parser)
    parser.add_argument("--resume", action="store_true", help="go on from a killed training")


def run(options: argparse.Namespace) -> int:
    """Train, and keep the checkpoint."""
    data, spec = source(options), clip(options)
    from neuroclip.commands.actions.adapter import train

    return train(
        data,
        spec,
        options.out,
        shots=options.shots,
        cut=options.cut,
        hidden=options.hidden,
        recipe=epochs(options) | {"spike_rate": options.spike_rate},
        frame_options=frames(options),
        variants=options.variants,
        seed=options.seed,
        resume=options.resume,
        template=options.template,
        ann=options.ann,
    )
