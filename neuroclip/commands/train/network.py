"""`neuroclip train network`: a snnTorch network of a person's own, in floating point and on the chip."""

import argparse

from neuroclip.commands.options.groups import add_out, add_seed, add_sensor
from neuroclip.convert.watch.layout import LAYOUTS

HELP = "train a snnTorch network of your own, then fine-tune it on the chip's arithmetic"
EXAMPLES = """\
neuroclip train network my_module.py:make_model --data path/to/N-MNIST --frame-ms 10 --steps 30 \\
    --out runs/mine
neuroclip train network my_module.py:Net --data spikes.npz --weights w.safetensors --epochs 0 --out runs/tuned
neuroclip train network my_module.py:Net --data spikes.npz --out runs/mine --resume"""


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of the command."""
    parser.add_argument(
        "model", metavar="FILE.py:NAME", help="a module, or a class or function that makes one"
    )
    add_out(parser, "folder of the checkpoint")
    parser.add_argument(
        "--data", required=True, metavar="DATA",
        help="labelled samples: a folder of event recordings in classes, digits (bundled), or a .npz "
        "file with 'spikes' [samples, time, ...] and 'labels'",
    )  # fmt: skip
    events = parser.add_argument_group("recordings of events (default: data are spikes)")
    events.add_argument("--frame-ms", type=float, metavar="MS", help="length of a frame")
    events.add_argument("--steps", type=int, metavar="N", help="frames of each recording")
    add_sensor(events)
    events.add_argument("--data-root", metavar="DIR", help="where data sets lie by their names")
    events.add_argument(
        "--skip-bad", action="store_true", help="leave out recordings that cannot be read"
    )
    parser.add_argument(
        "--weights", metavar="FILE",
        help="to begin with (.safetensors, .pt; default: those that the module is made with)",
    )  # fmt: skip
    parser.add_argument(
        "--epochs", type=int, default=20, help="epochs in floating point; 0: only on the chip's"
    )
    parser.add_argument(
        "--quantized-epochs", type=int, default=10, help="epochs on the chip's arithmetic"
    )
    parser.add_argument("--learning-rate", type=float, default=2e-3, help="in floating point")
    parser.add_argument(
        "--quantized-learning-rate", type=float, default=5e-4, help="on the chip's arithmetic"
    )
    parser.add_argument("--batch", type=int, default=32, help="samples of a step")
    parser.add_argument(
        "--layout", choices=LAYOUTS,
        help="what a call of the forward takes: a step [N, ...], or all [N, T, ...] or [T, N, ...] "
        "(default: found by trying)",
    )  # fmt: skip
    parser.add_argument(
        "--output", metavar="NEURONS",
        help="the neurons that answer (default: what the forward returns first)",
    )  # fmt: skip
    parser.add_argument("--device", help="cpu, cuda or cuda:N (default: CUDA where there is one)")
    add_seed(parser)
    parser.add_argument("--resume", action="store_true", help="go on from a killed training")


def run(options: argparse.Namespace) -> int:
    """Train, and keep the checkpoint."""
    from neuroclip.commands.actions.network import Asked, train

    recipe = (
        "epochs",
        "quantized_epochs",
        "learning_rate",
        "quantized_learning_rate",
        "batch",
        "seed",
    )
    return train(
        options.model,
        Asked(
            options.data,
            options.frame_ms,
            options.steps,
            options.data_root,
            options.skip_bad,
            options.sensor,
        ),
        options.out,
        weights=options.weights,
        recipe={name: getattr(options, name) for name in recipe},
        layout=options.layout,
        output=options.output,
        device=options.device,
        resume=options.resume,
    )
