"""The command `neuroclip`: train, evaluate, look at programs, compare traces and runs."""

import argparse
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from deploy.command import run_command, seed_argument
from deploy.errors import BadInput

# Of the reports that this version writes and reads; see `export.run.pipeline`.
SCHEMA = 1

EXAMPLES = """examples:
  neuroclip zero-shot --data digits
  neuroclip train --data digits --shots 16 --out runs/adapter
  torchrun --nproc-per-node 4 -m neuroclip.commands.main train --data path/to/ES-ImageNet --clip ViT-B-32 \\
      --pretrained openai --out runs/large
  neuroclip evaluate runs/adapter --data path/to/N-MNIST
  neuroclip table --data path/to/N-MNIST --seeds 5 --jobs 2 --out runs/table
  neuroclip sweep --data digits --rates 0.05,0.015 --out runs/sweep
  neuroclip watch path/to/recording.bin --checkpoint runs/adapter
  neuroclip inspect demo/program.npz
  neuroclip diff a/trace.npz b/trace.npz
  neuroclip diff a/trace.npz chip.npz --hardware-reading
  neuroclip report demo
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one subcommand; returns the exit status (0, 1 for a check that failed, 2 for bad input)."""
    options = _parser().parse_args(arguments)
    return run_command("neuroclip", lambda: int(options.run(options)))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="neuroclip",
        description="Train NeuroCLIP's spiking adapter, and look at what runs on the chip.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(metavar="COMMAND", required=True)

    train = commands.add_parser("train", help="train an adapter (or the bundled kind of CLIP)")
    train.add_argument(
        "what", nargs="?", choices=("adapter", "clip", "spikeclip"), default="adapter"
    )
    train.add_argument("--out", type=Path, required=True, help="folder of the checkpoint")
    _data_arguments(train)
    train.add_argument("--shots", type=int, default=16, help="training recordings per class")
    train.add_argument("--cut", choices=("folded", "paper"), default="folded")
    train.add_argument("--hidden", type=int, help="neurons of the adapter (default: features / 2)")
    train.add_argument(
        "--epochs", type=int, help="epochs in floating point (default: 250; clip: 80)"
    )
    train.add_argument("--quantized-epochs", type=int, help="epochs on the chip's arithmetic")
    train.add_argument(
        "--variants", type=int, default=16, help="rotated and sheared copies of each recording"
    )
    train.add_argument(
        "--spike-rate", type=float, metavar="R", help="aim below R spikes per neuron and step"
    )
    train.add_argument("--resume", action="store_true", help="go on from a killed training")
    spike = train.add_argument_group("spikeclip")
    spike.add_argument(
        "--stage", choices=("teacher", "align", "finetune"), help="step of the training"
    )
    spike.add_argument("--config", metavar="FILE", help="settings, JSON (default: digits, bundled)")
    spike.add_argument("--device", help="cpu, cuda or cuda:N (default: CUDA where there is one)")
    spike.add_argument(
        "--minutes", type=float, metavar="M", help="keep the state and stop then; --resume goes on"
    )
    _disk_arguments(train)
    train.set_defaults(run=_train)

    zero_shot = commands.add_parser("zero-shot", help="classify recordings by text alone")
    _data_arguments(zero_shot)
    zero_shot.add_argument("--labels", help='class names, "a,b,c" (default: the data set\'s)')
    zero_shot.add_argument("--template", help="prompt with one {} (default: the data set's)")
    zero_shot.add_argument("--split", choices=("validation", "test"), default="test")
    zero_shot.add_argument(
        "--pictures",
        action="store_true",
        help="the digits' still pictures in place of their events",
    )
    _disk_arguments(zero_shot)
    zero_shot.set_defaults(run=_zero_shot)

    evaluate = commands.add_parser("evaluate", help="accuracy of a trained adapter")
    evaluate.add_argument("checkpoint", nargs="?", help="folder or bundled name")
    evaluate.add_argument("--data", default="digits", help="data set: digits, or a folder")
    evaluate.add_argument("--split", choices=("validation", "test"), default="test")
    evaluate.add_argument("--seed", type=seed_argument, default=0, help="of the split")
    evaluate.add_argument(
        "--replace", metavar='"A=B,..."', help="of a SpikeCLIP: other names for some classes"
    )
    evaluate.add_argument(
        "--expand", metavar='"a,b,..."', help="of a SpikeCLIP: names that are no class, added"
    )
    evaluate.add_argument(
        "--steps", metavar="N,...", type=_numbers(int), default=(),
        help="of a SpikeCLIP: how often an image is shown, in place of the model's own number",
    )  # fmt: skip
    _disk_arguments(evaluate)
    evaluate.set_defaults(run=_evaluate)

    table = commands.add_parser(
        "table", help="every method at 1 to 16 shots, several seeds, as a table and a plot"
    )
    _table_arguments(table)
    table.add_argument(
        "--shots", type=_numbers(int), default=(1, 2, 4, 8, 16), metavar="N,N,...",
        help="training recordings per class (default: 1,2,4,8,16)",
    )  # fmt: skip
    table.add_argument(
        "--unseen", type=int, default=0, metavar="N",
        help="keep N classes out of training, and test on them, on the others and on all",
    )  # fmt: skip
    table.set_defaults(run=_table)

    sweep = commands.add_parser(
        "sweep", help="accuracy against operations: spike-rate targets, message resolutions"
    )
    _table_arguments(sweep)
    sweep.add_argument("--shots", type=int, default=16, help="training recordings per class")
    sweep.add_argument(
        "--rates", type=_numbers(float), default=(0.05, 0.03, 0.015), metavar="R,R,...",
        help="spikes per neuron and step that training aims below (default: 0.05,0.03,0.015)",
    )  # fmt: skip
    sweep.add_argument(
        "--message-exponents", type=_numbers(int), default=(2, 1, 0, -1), metavar="E,E,...",
        help="input messages in steps of 2^-E; coarser ones are more often silent",
    )  # fmt: skip
    sweep.set_defaults(run=_sweep)

    watch = commands.add_parser("watch", help="classify a recording slice by slice as it comes in")
    watch.add_argument("recording", type=Path, help="event file")
    watch.add_argument("--checkpoint", help="folder or bundled name (default: by text alone)")
    watch.add_argument(
        "--like",
        choices=("digits", "nmnist", "cifar10dvs", "es-imagenet"),
        default="nmnist",
        help="data set whose labels, prompt and framing are used without a checkpoint",
    )
    watch.add_argument("--labels", help='class names, "a,b,c" (default: those of --like)')
    watch.add_argument("--template", help="prompt with one {} (default: that of --like)")
    watch.add_argument("--sensor", metavar="WxH", help="pixels, of a file that does not say")
    _clip_arguments(watch)
    watch.set_defaults(run=_watch, clip=None)

    inspect = commands.add_parser("inspect", help="layers, registers, proof and cost of a program")
    inspect.add_argument("program", type=Path)
    inspect.add_argument("--timesteps", type=int, default=10, help="steps per sample")
    inspect.add_argument("--chip", default="loihi2", help="chip name or file")
    inspect.set_defaults(run=_inspect)

    diff = commands.add_parser("diff", help="where two traces first differ")
    diff.add_argument("a", type=Path)
    diff.add_argument("b", type=Path)
    diff.add_argument(
        "--hardware-reading",
        action="store_true",
        help="B was read from a chip: v reads 128 at a spike, and all comes a step later per layer",
    )
    diff.add_argument(
        "--program", type=Path, help="that both ran, for the layers (default: program.npz beside A)"
    )
    diff.set_defaults(run=_diff)

    report = commands.add_parser("report", help="a run's report again, or two runs side by side")
    report.add_argument("run_folder", type=Path, metavar="RUN")
    report.add_argument("other", type=Path, nargs="?", metavar="RUN")
    report.add_argument("--html", type=Path, metavar="FILE", help="two runs as a page as well")
    report.set_defaults(run=_report)
    return parser


def _data_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--data", default="digits", help="data set: digits (bundled), or a folder")
    _clip_arguments(parser)
    parser.add_argument(
        "--seed", type=seed_argument, default=0, help="of the split and of everything random"
    )


def _clip_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--clip", default="digits", help="digits (bundled), a folder, or open_clip's"
    )
    parser.add_argument("--pretrained", help="open_clip's tag, or a local weight file")
    frames = parser.add_argument_group("framing (default: the one chosen on validation recordings)")
    frames.add_argument("--steps", type=int, metavar="T", help="slices, steps of the network")
    frames.add_argument(
        "--slicing", choices=("count", "time"), help="slices of equal count or time"
    )
    frames.add_argument("--rendering", choices=("polarity", "presence", "intensity"))
    frames.add_argument("--threshold", type=int, metavar="N", help="counts above it are seen")
    frames.add_argument("--normalisation", choices=("half", "clip"), help="the paper's or CLIP's")


def _table_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--data", default="digits", help="data set: digits (bundled), or a folder")
    _clip_arguments(parser)
    parser.add_argument("--out", type=Path, required=True, help="folder of the results")
    parser.add_argument("--seeds", type=int, default=5, help="splits and trainings (default: 5)")
    parser.add_argument("--epochs", type=int, help="epochs in floating point (default: 250)")
    parser.add_argument("--quantized-epochs", type=int, help="epochs on the chip's arithmetic")
    parser.add_argument(
        "--variants", type=int, default=16, help="rotated and sheared copies of each recording"
    )
    parser.add_argument("--jobs", type=int, default=1, help="trainings at the same time")
    parser.add_argument("--resume", action="store_true", help="go on from a killed run")
    _disk_arguments(parser)


def _numbers(kind: type) -> Callable[[str], tuple[Any, ...]]:
    """Numbers given as "1,2,4"."""

    def parsed(text: str) -> tuple[Any, ...]:
        try:
            return tuple(kind(part) for part in text.split(","))
        except ValueError:
            raise argparse.ArgumentTypeError(f"'{text}' is no list of numbers") from None

    return parsed


def _disk_arguments(parser: argparse.ArgumentParser) -> None:
    disk = parser.add_argument_group("data on disk")
    disk.add_argument(
        "--data-root",
        metavar="DIR",
        help="where data sets lie; --data may then be nmnist, cifar10dvs, es-imagenet or a folder "
        "in it",
    )
    disk.add_argument(
        "--skip-bad",
        action="store_true",
        help="leave out recordings that cannot be read, and say how many (default: stop at one)",
    )


def _source(options: argparse.Namespace) -> dict[str, Any]:
    return {"data_root": options.data_root, "skip_bad": options.skip_bad}


def _frame_options(options: argparse.Namespace) -> dict[str, object]:
    names = ("steps", "slicing", "rendering", "threshold", "normalisation")
    return {name: getattr(options, name) for name in names}


def _train(options: argparse.Namespace) -> int:
    from neuroclip.commands import learning as commands

    if options.what == "clip" and options.resume:
        raise BadInput("--resume: the training of the CLIP takes minutes and starts over")
    own = (options.stage, options.config, options.device, options.minutes)
    if options.what != "spikeclip" and own != (None,) * len(own):
        raise BadInput("--stage, --config, --device, --minutes: only `train spikeclip` has them")
    if options.what == "spikeclip":
        from neuroclip.commands.spikeclip import train as train_spikeclip

        if options.stage is None:
            raise BadInput("--stage: teacher, align or finetune?")
        return train_spikeclip(
            stage=options.stage,
            config=options.config or "digits",
            data=options.data,
            out=options.out,
            resume=options.resume,
            seed=options.seed,
            device=options.device,
            minutes=options.minutes,
            **_source(options),
        )
    if options.what == "clip":
        return commands.train_clip(options.out, options.seed, options.epochs)
    return commands.train(
        data=options.data,
        clip=options.clip,
        pretrained=options.pretrained,
        out=options.out,
        shots=options.shots,
        cut=options.cut,
        hidden=options.hidden,
        epochs=options.epochs,
        quantized_epochs=options.quantized_epochs,
        frame_options=_frame_options(options),
        variants=options.variants,
        seed=options.seed,
        resume=options.resume,
        spike_rate=options.spike_rate,
        **_source(options),
    )


def _zero_shot(options: argparse.Namespace) -> int:
    from neuroclip.commands import learning as commands

    return commands.zero_shot(
        data=options.data,
        clip=options.clip,
        pretrained=options.pretrained,
        labels=options.labels,
        template=options.template,
        pictures=options.pictures,
        frame_options=_frame_options(options),
        split=options.split,
        seed=options.seed,
        **_source(options),
    )


def _evaluate(options: argparse.Namespace) -> int:
    from neuroclip.commands import learning as commands
    from neuroclip.spikeclip.checkpoint import is_spikeclip

    if is_spikeclip(options.checkpoint):
        from neuroclip.commands.spikeclip import evaluate as evaluate_spikeclip

        return evaluate_spikeclip(
            options.checkpoint,
            options.data,
            options.split,
            options.seed,
            replacing=options.replace,
            expanding=options.expand,
            steps=options.steps,
            **_source(options),
        )
    if options.replace or options.expand or options.steps:
        raise BadInput("--replace, --expand, --steps: the checkpoint is no SpikeCLIP")
    return commands.evaluate(
        options.checkpoint, options.data, options.split, options.seed, **_source(options)
    )


def _table(options: argparse.Namespace) -> int:
    from neuroclip.commands.table import table

    return table(shots=options.shots, unseen=options.unseen, **_table_options(options))


def _sweep(options: argparse.Namespace) -> int:
    from neuroclip.commands.table import sweep

    return sweep(
        shots=options.shots,
        rates=options.rates,
        message_exponents=options.message_exponents,
        **_table_options(options),
    )


def _table_options(options: argparse.Namespace) -> dict[str, Any]:
    names = ("data", "clip", "pretrained", "seeds", "variants", "epochs", "quantized_epochs")
    given = {name: getattr(options, name) for name in (*names, "out", "jobs", "resume")}
    return given | _source(options) | {"frame_options": _frame_options(options)}


def _watch(options: argparse.Namespace) -> int:
    from neuroclip.commands.watch import watch_recording

    return watch_recording(
        recording=options.recording,
        checkpoint=options.checkpoint,
        like=options.like,
        clip=options.clip,
        pretrained=options.pretrained,
        labels=options.labels,
        template=options.template,
        sensor=options.sensor,
        frame_options=_frame_options(options),
    )


def _inspect(options: argparse.Namespace) -> int:
    from deploy.program.file import load_program
    from deploy.report.inspect import inspect

    print(inspect(load_program(options.program), options.timesteps, options.chip))
    return 0


def _diff(options: argparse.Namespace) -> int:
    from deploy.compare.parity import compare_recordings
    from deploy.emulate.trace import load_trace

    a, b = str(options.a), str(options.b)
    first, second = load_trace(options.a), load_trace(options.b)
    if options.hardware_reading:
        from deploy.compare.hardware_reading import hardware_reading
        from deploy.program.file import load_program
        from deploy.program.pipeline_latency import latency_steps

        program = load_program(options.program or options.a.parent / "program.npz")
        try:
            first, second = hardware_reading(first, second, latency_steps(program))
        except BadInput as error:
            raise BadInput(f"{b}: {error}") from error
    elif options.program is not None:
        raise BadInput("--program: only --hardware-reading asks for the program")
    parity = compare_recordings(a, first, b, second)
    print(parity.describe())
    return 0 if parity.ok else 1


def _report(options: argparse.Namespace) -> int:
    from deploy.emulate.trace import load_trace
    from deploy.files import read_json, write_text
    from deploy.program.file import load_program
    from deploy.report import compare, compare_html, summary, write_report

    def read(folder: Path) -> dict:
        report = read_json(folder / "report.json")
        known = isinstance(report, dict) and report.get("schema") == SCHEMA
        if not known or not isinstance(report.get("ok"), bool):
            raise BadInput(f"{folder / 'report.json'}: not a report of version {SCHEMA}")
        return report

    report = read(options.run_folder)
    if options.other is not None:
        other = read(options.other)
        if options.html is not None:
            write_text(options.html, compare_html(report, other))
        print(compare(report, other))
        return 0
    if options.html is not None:
        raise BadInput(
            f"--html {options.html}: of one run the page is {options.run_folder}/report.html"
        )
    folder, page = options.run_folder, options.run_folder / "report.html"
    # The page of the run itself also shows the messages of its inputs, which no other file keeps.
    if not page.exists():
        program = load_program(folder / "program.npz")
        # A run with --record none has no trace; its report has no raster.
        recorded = folder / "trace.npz"
        write_report(page, report, load_trace(recorded) if recorded.exists() else {}, program)
    print(summary(report, page))
    return 0 if report["ok"] else 1


if __name__ == "__main__":
    sys.exit(main())
