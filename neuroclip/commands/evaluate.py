"""`neuroclip evaluate`: the accuracy of a trained model, in floating point and on the chip."""

import argparse

from deploy.errors import BadInput
from neuroclip.commands.options.groups import (
    add_clip,
    add_names,
    add_seed,
    add_sensor,
    add_source,
    given_clip,
    image_source,
    numbers,
    source,
)

HELP = "accuracy of a trained adapter, SpikeCLIP or network of your own"
EXAMPLES = """\
neuroclip evaluate runs/adapter --data path/to/N-MNIST
neuroclip evaluate runs/mine --data path/to/N-MNIST --split validation
neuroclip evaluate spikeclip-cifar10 --data cifar10-train.zip --steps 1,2,4
neuroclip evaluate runs/student --data cifar10-train.zip --clip runs/words --expand @cifar100"""


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of the command."""
    parser.add_argument(
        "checkpoint", nargs="?", help="folder or bundled name (default: neuroclip-digits)"
    )
    add_source(
        parser,
        "data set as the model was trained on: events, images, or spikes of a network (default: digits, "
        "or what the network was trained on)",
        "items",
    )
    parser.set_defaults(data=None)
    parser.add_argument(
        "--split", choices=("validation", "test"), default="test", help="which part of the data"
    )
    add_clip(parser, of_checkpoint=True)
    add_sensor(parser)
    add_seed(parser)
    parser.add_argument(
        "--labels",
        metavar='"a,b,c"|FILE',
        help="other words for the classes (default: the model's)",
    )
    spike = parser.add_argument_group("of a SpikeCLIP only")
    add_names(spike)
    spike.add_argument(
        "--steps", metavar="N,...", type=numbers(int), default=(),
        help="how often an image is shown (default: the model's own number)",
    )  # fmt: skip


def run(options: argparse.Namespace) -> int:
    """Evaluate; of what kind the model is stands in its configuration."""
    from neuroclip.storage.checkpoint_files import DEFAULT_MODEL, NETWORK, SPIKECLIP, format_of

    checkpoint = DEFAULT_MODEL if options.checkpoint is None else options.checkpoint
    kind, data = format_of(checkpoint), options.data
    options.data = "digits" if data is None else data
    if kind == NETWORK:
        for option in ("clip", "pretrained"):
            if getattr(options, option) is not None:
                raise BadInput(f"--{option}: {checkpoint} needs no CLIP; it is a {kind}")
    if kind == SPIKECLIP:
        if options.sensor is not None:
            raise BadInput(f"--sensor: {checkpoint} sees no recordings; it is a {kind}")
        images, teacher = image_source(options), given_clip(options)
        from neuroclip.commands.actions.spikeclip import evaluate as evaluate_spikeclip

        return evaluate_spikeclip(
            checkpoint,
            images,
            options.split,
            options.seed,
            labels=options.labels,
            replacing=options.replace,
            expanding=options.expand,
            steps=options.steps,
            teacher=teacher,
        )
    for option in ("replace", "expand", "steps"):
        if getattr(options, option):
            raise BadInput(f"--{option}: {checkpoint} is no SpikeCLIP, which alone has it")
    if kind == NETWORK:
        from neuroclip.commands.actions.network import evaluate as evaluate_network

        return evaluate_network(
            checkpoint, data, options.split, options.data_root, options.skip_bad, options.sensor
        )
    events, spec = source(options), given_clip(options)
    from neuroclip.commands.actions.adapter import evaluate

    return evaluate(checkpoint, events, spec, options.split, options.seed, options.labels)
