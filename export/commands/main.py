"""The command `neuroclip-export`: a trained model to a neuromorphic target, compared, with a report."""

import argparse
import shlex
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from deploy.command import (
    CommandParser,
    add_common,
    add_completion,
    add_version,
    add_workers,
    folder_argument,
    run_command,
    seed_argument,
    sensor_argument,
)
from deploy.errors import BadInput
from export.targets.table import BUILT_IN, find_target, target_lines, target_names
from neuroclip.convert.watch.layout import LAYOUTS

if TYPE_CHECKING:  # a mistyped command line is answered before NumPy is there
    from export.facade import Report

DESCRIPTION = """Export a trained model to a neuromorphic target and compare, spike for spike, what runs
there with what was trained. Without MODEL: the bundled NeuroCLIP demonstration."""

EXAMPLES = """examples:
  neuroclip-export --target lava                        the bundled model and data on Lava
  neuroclip-export --target emulator --samples 50       the same on our emulator, 50 recordings
  neuroclip-export runs/adapter --data path/to/N-MNIST --target lava --out runs/nmnist
  neuroclip-export --labels "zero,one,seven" --target emulator
  neuroclip-export network.net --data spikes.npz --target emulator --out runs/net
  neuroclip-export graph.nir --data spikes.npz --target emulator --record all --out runs/graph
  neuroclip-export float.nir --data spikes.npz --calibrate few.npz --target emulator
  neuroclip-export mine.py:Net --weights w.safetensors --data spikes.npz --target lava
  neuroclip-export mine.py:Net --weights w.pt --data path/to/N-MNIST --frame-ms 10 --steps 30 \\
      --target emulator
  neuroclip-export graph.nir --data spikes.npz --target nir --for norse --out runs/norse
  neuroclip-export runs/mine --target lava --samples 20  a network trained by `neuroclip train network`
  neuroclip-export float.nir --data path/to/N-MNIST --frame-ms 1 --steps 300 --target emulator

exit status: 0 if every parity check held and every hard limit was respected, 1 if one did not,
2 for bad input or usage."""

# Options on which no file of a run depends.
_OF_NO_FILE = {"--resume", "-q", "--quiet", "-v", "--verbose"}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns the exit status."""
    given = sys.argv[1:] if arguments is None else list(arguments)
    command = shlex.join(["neuroclip-export", *(a for a in given if a not in _OF_NO_FILE)])
    return run_command("neuroclip-export", lambda: _export(_parser().parse_args(given), command))


class _Parser(CommandParser):
    """What others have installed is looked up for the help alone."""

    def format_help(self) -> str:
        from export.frontends.table import frontend_lines

        listed = {"targets": target_lines(), "models": frontend_lines()}
        of_all = "\n\n".join("\n  ".join([f"{kind}:", *x]) for kind, x in listed.items())
        self.epilog = f"{of_all}\n\n{EXAMPLES}"
        return super().format_help()


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="neuroclip-export",
        description=DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    add_version(parser)
    add_completion(parser, _completed)
    add = parser.add_argument
    add(
        "model",
        nargs="?",
        metavar="MODEL",
        help="checkpoint folder, bundled name, or file (.nir, .net, …); see below",
    )
    add("--target", type=_target, required=True, metavar="NAME", help="where to; see below")
    add("--data", help="data set folder, event recording, or spikes (.npz, .npy); default: digits")
    add("--data-root", metavar="DIR", help="where data sets lie, for a checkpoint's --data by name")
    add(
        "--skip-bad",
        action="store_true",
        help="leave out images and recordings that cannot be read, and count them (default: stop)",
    )
    add(
        "--sensor",
        type=sensor_argument,
        metavar="WxH",
        help="pixels, of event recordings that do not say, such as 304x240",
    )
    add("--samples", type=_positive, metavar="N", help="only the first N samples of the test split")
    add(
        "--out",
        type=folder_argument,
        default=Path("demo"),
        metavar="DIR",
        help="output folder (default: demo)",
    )
    add(
        "--chip",
        metavar="NAME|FILE",
        help="chip description (default: the smallest of loihi2, kapoho-point and hala-point that has "
        "cores enough)",
    )
    add(
        "--coefficients",
        metavar="NAME|FILE",
        help="own energy coefficients, beside all bundled sets",
    )
    add(
        "--static-power",
        type=float,
        metavar="W",
        help="watts of a chip that does nothing, for the energy of the whole system (default: 0.232, "
        "Intel's for Loihi 2)",
    )
    add(
        "--ann-zeros",
        type=float,
        metavar="SHARE",
        help="zeros, from 0 to 1, among the hidden activations of the ANN that the network is held against "
        "(default: measured, where one was trained with the model; else unknown, and none skipped)",
    )
    add(
        "--ann",
        metavar="FOLDER",
        help="of a SpikeCLIP: the ANN of its shape (variant 'ann'), run in 8 bits on the same "
        "images, whose accuracy and zeros the report sets beside",
    )
    add(
        "--neurobench",
        type=Path,
        metavar="FILE",
        help="also write NeuroBench's metrics of the run, under its harness's names (.json)",
    )
    add(
        "--labels",
        metavar='"a,b,c"|FILE',
        help="other class names for the same model, not retrained; CLASS=WORD: for that class of the "
        "data, @NAME: those of a data set",
    )
    add("--clip", metavar="NAME|FOLDER", help="of an adapter whose CLIP is not the bundled one")
    add("--pretrained", metavar="TAG|FILE", help="weights of --clip, where it is open_clip's")
    add(
        "--skips",
        choices=("fan-in", "stream"),
        help="residual skips of a SpikeCLIP: every branch drives every later reader (fan-in), or "
        "graded relays send on the running sum (stream; Loihi 2 only); the default is the model's",
    )
    add("--dt", type=_seconds, default=1e-4, metavar="SECONDS", help="of one step (default: 1e-4)")
    add(
        "--discretisation",
        choices=("euler", "exp", "zoh"),
        help="of a NIR graph's time constants (default: euler)",
    )
    add("--weights", metavar="FILE", help="of a network in a Python file (.safetensors, .pt)")
    add(
        "--layout",
        choices=LAYOUTS,
        help="what a call of a module's forward takes: one step, or all steps, samples or time first, or "
        "one input for all steps (default: found by trying)",
    )
    add(
        "--output",
        metavar="NEURONS",
        help="the neurons of a module that answer (default: what its forward returns first)",
    )
    add(
        "--calibrate",
        metavar="DATA",
        help="choose the scales of a float graph, or of a module in a Python file, on these data",
    )
    add(
        "--frame-ms",
        type=_seconds,
        metavar="MS",
        help="length of the frames that event recordings become (default for a NIR graph: 1)",
    )
    add(
        "--steps",
        type=_positive,
        metavar="N",
        help="frames of each recording (default for a NIR graph: 300)",
    )
    add(
        "--record",
        choices=("none", "spikes", "all"),
        default="spikes",
        help="what trace.npz holds: nothing, messages and read-outs (default), or every state",
    )
    add("--record-samples", type=_positive, default=100, metavar="N", help="of how many samples")
    add(
        "--net-decay",
        choices=("auto", "stored", "plus-one"),
        default="auto",
        help="vDecay of a .net file: as stored, one more, or (auto) one more in layers where the "
        "recorded spikes in --data (LAYER/s) say so",
    )
    add("--strict", action="store_true", help="an edge that a register can reach is an error")
    add(
        "--seed",
        type=seed_argument,
        default=0,
        metavar="N",
        help="of the split and of everything random",
    )
    add(
        "--tries",
        type=_positive,
        default=1,
        metavar="N",
        help="hypergraph partitions, of which the best is taken (default: 1)",
    )
    add(
        "--jobs",
        type=_positive,
        default=1,
        metavar="N",
        help="threads of the emulator (default: 1)",
    )
    add_workers(parser)
    add(
        "--by-core",
        action="store_true",
        help="also run the recorded samples core by core, each with its own neurons and synapses",
    )
    add(
        "--stock",
        action="store_true",
        help="of --target lava: let Lava's own Conv compute every convolution, however slow",
    )
    add(
        "--for",
        dest="reader",
        metavar="READER",
        help="of --target nir: also a file that snntorch, norse or sinabs loads, in its own dialect",
    )
    add(
        "--assumptions",
        action="store_true",
        help="also cores, chips and packets if each unpublished limit of the chip were otherwise",
    )
    add(
        "--resume",
        action="store_true",
        help="go on where a killed run of the same stopped; keep a finished one",
    )
    add("--lava-python", type=Path, metavar="PATH", help="another Python, which has Lava")
    add(
        "--timeout", type=_seconds, default=600.0, metavar="SECONDS", help="for Lava (default: 600)"
    )
    add_common(parser)
    return parser


def _completed() -> argparse.ArgumentParser:
    """The parser with the names of all targets, as what completes command lines asks for it."""
    parser = _parser()
    next(a for a in parser._actions if a.dest == "target").choices = target_names()
    return parser


def _export(options: argparse.Namespace, command: str) -> int:
    from dataclasses import fields

    from export.facade import carry_out
    from export.frontends.frontend import Request
    from export.run.options import Options

    if options.resume and (status := _finished(options.out, command)) is not None:
        return status
    asked = {f.name: getattr(options, f.name) for f in fields(Options) if f.name in options}
    chosen = {f.name: getattr(options, f.name) for f in fields(Request) if f.name in options}
    settings = Options(**asked, command=command)
    start = time.process_time()
    return _print_outcome(carry_out(options.model, Request(**chosen), settings, start))


def _finished(out: Path, command: str) -> int | None:
    """The exit status of a finished run of the same command in `out`, or None where there is none."""
    from deploy.report.words.read import read_report
    from export.facade import Report

    try:
        report = read_report(out / "report.json")
    except BadInput:  # none, or a damaged one: the run is made again
        return None
    if report.get("command") != command:
        return None
    return _print_outcome(Report(out, report))


def _print_outcome(outcome: "Report") -> int:
    """Print the summary of a report; a parity check that failed is named, with exit status 1."""
    report = outcome.json
    print(outcome)
    for warning in report.get("warnings", []):
        print(f"neuroclip-export: warning: {warning}", file=sys.stderr)
    if report["ok"]:
        return 0
    own = report.get(report["target"]) or {}
    for row in own.get("counts", []):
        if not row["equal"]:
            print(
                f"neuroclip-export: SANA-FE counts {row['sanafe']} {row['quantity']}, "
                f"we count {row['ours']}",
                file=sys.stderr,
            )
    if own.get("ok") is False and "counts" not in own:
        why = own.get("why") or "its own check failed"
        print(f"neuroclip-export: target '{report['target']}': {why}", file=sys.stderr)
    for pair in report["parity"]["pairs"]:
        first = pair.get("first_register") or pair.get("first_divergence")
        if first is not None:
            found = ", ".join(
                f"{key} {list(value) if isinstance(value, tuple) else value}"
                for key, value in first.items()
            )
            print(f"neuroclip-export: {pair['a']} ≠ {pair['b']}: {found}", file=sys.stderr)
    return 1


def _target(name: str) -> str:
    try:
        return name if name in BUILT_IN else find_target(name).name
    except BadInput as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def _positive(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"{value} is not positive")
    return value


def _seconds(text: str) -> float:
    value = float(text)
    if not 0 < value < float("inf"):
        raise argparse.ArgumentTypeError(f"{text} is not a positive time")
    return value


if __name__ == "__main__":
    sys.exit(main())
