"""Runs attacks on the commands in one process of little memory: `worker.py light|learning`.

Prints what went wrong, a line each, then how many were met: each must end in status 2 (or 0, where it says
so) and one line that names the file, within 1 GiB beside what the process takes when it has imported its
libraries (torch alone takes more), and 10 s of processor time, with no control character on the terminal.
"""

import io
import json
import os
import resource
import shutil
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(Path(__file__).parent))

import files  # noqa: I001  (beside this file)
from deploy import progress
from deploy.report.words.read import SCHEMA
from export.commands.main import main as export
from neuroclip.commands.main import main as neuroclip

MODELS = ROOT / "neuroclip" / "models"
MEMORY, SECONDS = 1 << 30, 10.0
CONTROL = {chr(n) for n in (*range(32), *range(127, 160), 0x202E)} - set("\n\t\r")


@dataclass(frozen=True)
class Attack:
    """A command and its arguments; says: what stands in its line; status: 2, or 0 where it must work.

    stdin: what standard input is redirected from.
    """

    main: Callable[[list[str]], int]
    arguments: tuple[object, ...]
    says: str = ""
    status: int = 2
    stdin: Path = Path(os.devnull)


def light(folder: Path) -> Iterator[Attack]:
    """What needs no torch: networks, spikes, recordings, programs, traces, reports, chips."""
    graph = files.graph(folder)
    target = ("--target", "emulator", "--out", folder / "out")
    inside = [
        folder / name for name in ("no", "arrays", "programs", "events", "nir", "net", "h5", "runs")
    ]
    for place in inside:
        place.mkdir()
    for path in files.no_files(inside[0]):
        says = path.name
        if path.suffix in (".nir", ".net"):
            yield Attack(export, (path, "--data", "x.npz", *target), says)
        elif path.suffix == ".json":
            yield Attack(export, (graph, "--data", "x.npz", "--chip", path, *target), "")
        elif path.suffix in (".npz", ".npy"):
            yield Attack(export, (graph, "--data", path, *target), says)
            yield Attack(neuroclip, ("diff", path, path), "")
            yield Attack(neuroclip, ("inspect", path), "")
    for path in files.arrays(inside[1]):
        yield Attack(export, (graph, "--data", path, *target), path.name)
        yield Attack(neuroclip, ("diff", path, path), path.name)
    for path in files.programs(inside[2]):
        yield Attack(neuroclip, ("inspect", path), path.name)
    for path in files.events(inside[3]):
        yield Attack(export, (graph, "--data", path, *target), path.name)
    for path in files.hdf5(inside[4], ".nir", "node"):
        yield Attack(export, (path, "--data", "x.npz", *target), path.name)
    for path in files.hdf5(inside[5], ".net", "layer/0"):
        yield Attack(export, (path, "--data", "x.npz", *target), path.name)
    for path in files.hdf5(inside[6], ".h5", "events"):
        yield Attack(export, (graph, "--data", path, *target), path.name)
    text = (ROOT / "tests" / "deploy" / "report" / "report_synthetic.json").read_text()
    for run in files.reports(inside[7], text):
        yield Attack(neuroclip, ("report", run), "report.json")
        yield Attack(neuroclip, ("report", run, run), "report.json")
    yield from names_and_lists(folder, text)


def names_and_lists(folder: Path, text: str) -> Iterator[Attack]:
    """Names that a terminal would obey, and lists that are long."""
    from deploy.program.file import save_program

    save_program(folder / "evil.npz", files.network(files.EVIL))
    yield Attack(neuroclip, ("inspect", folder / "evil.npz"), status=0)
    yield Attack(
        neuroclip, ("inspect", folder / f"{files.EVIL}.npz"), "a\\x1b[31m\\u202eb\\x07.npz"
    )
    report = json.loads(text) | {"schema": SCHEMA}
    for name, changed in (
        ("evil", report | {"model": files.EVIL, "warnings": [files.EVIL]}),
        ("long", _with_nodes(report, 100_000)),
    ):
        (folder / name).mkdir()
        (folder / name / "report.json").write_text(json.dumps(changed))
        (folder / name / "report.html").write_text("")
        yield Attack(neuroclip, ("report", folder / name), status=0)
        yield Attack(neuroclip, ("report", folder / name, folder / name), status=0)


def _with_nodes(tree: Any, count: int) -> Any:
    """The report, every figure per node given for so many of them."""
    if not isinstance(tree, dict):
        return tree
    if "per_node" in tree and isinstance(tree["per_node"], dict):
        value = next(iter(tree["per_node"].values()), 1)
        return tree | {"per_node": {f"n{i}": value for i in range(count)}}
    return {key: _with_nodes(value, count) for key, value in tree.items()}


def learning(folder: Path) -> Iterator[Attack]:
    """What torch is needed for: checkpoints, weights, images, data sets of recordings."""
    spikes = ("--data", folder / "images", "--samples", "2")
    target = ("--target", "emulator", "--out", folder / "out")
    yield from configurations(folder)
    (folder / "weights").mkdir()
    for path in files.weights(folder / "weights"):
        yield Attack(neuroclip, ("zero-shot", "--clip", "RN50", "--pretrained", path), path.name)
    for name, path in copies(folder, "neuroclip-digits", "safetensors"):
        yield Attack(neuroclip, ("evaluate", path), name)
    for label in ("cat", "dog"):
        for part in ("train", "test"):  # so few are not split
            (folder / "images" / part / label).mkdir(parents=True)
            for i, (width, height) in enumerate([(1, 1 << 26), (1 << 26, 1), (1 << 13, 1 << 14)]):
                files.png(folder / "images" / part / label / f"{i}.png", width, height)
    yield Attack(export, ("spikeclip-cifar10", *spikes, *target), ".png")
    batches = folder / "cifar-10-batches-py"
    batches.mkdir()
    for content in files.pickles().values():
        (batches / "data_batch_1").write_bytes(content)
        data = ("--data", "cifar10", "--data-root", folder)
        yield Attack(export, ("spikeclip-cifar10", *data, *target), "data_batch_1")
    yield from recordings(folder)
    yield from live(folder / "live")


def copies(folder: Path, model: str, suffix: str) -> Iterator[tuple[str, Path]]:
    """Copies of a bundled model, one file of each being of integers."""
    import torch
    from safetensors.torch import load_file, save_file

    for name in sorted(p.name for p in (MODELS / model).glob(f"*.{suffix}")):
        path = folder / f"{model}-{name}"
        shutil.copytree(MODELS / model, path)
        held = {key: tensor.to(torch.int32) for key, tensor in load_file(path / name).items()}
        save_file(held, path / name)
        yield name, path


def configurations(folder: Path) -> Iterator[Attack]:
    """Sizes that do not go together, are vast, or are lists, in every model's configuration."""
    cases: tuple[tuple[str, str, tuple[object, ...], dict[str, Any]], ...] = (
        ("digits-clip", "clip.vision_cfg", ("zero-shot", "--clip"), {
            "layers": [[1] * 5, [1] * 4, [3, 4], [4096] * 4, 4096, []], "width": [97, 1],
            "head_width": [97], "patch_size": [33, 1], "image_size": [4096, 3], "colour": [1],
        }),
        ("digits-clip", "clip.text_cfg", ("zero-shot", "--clip"), {
            "heads": [3, 65], "layers": [4096, [1]], "vocab_size": [3], "context_length": [1, 79],
            "output_tokens": [1], "no_causal_mask": [1], "hf_model_name": ["a/b"],
        }),
        ("digits-clip", "clip", ("zero-shot", "--clip"), {"embed_dim": [63, 1, 1 << 40]}),
        ("spikeclip-digits", "model", ("evaluate",), {
            "blocks": [8192], "image_size": [8192], "heads": [8192], "steps": [8192],
            "convolutions": [60, 8192], "halvings": [4], "width": [8192], "features": [1],
        }),
        ("spikeclip-digits", "text", ("evaluate",), {"tokens": [1 << 18], "hidden": [1 << 18]}),
        ("spikeclip-digits", "", ("evaluate",), {"labels": [[f"l{i}" for i in range(100_000)], ["a"] * 9]}),
        ("neuroclip-digits", "adapter", ("evaluate",), {
            "features": [1 << 24], "hidden": [1 << 24], "threshold": [1e300], "steps": [10**400],
        }),
        ("neuroclip-digits", "", ("evaluate",), {"labels": [[f"l{i}" for i in range(100_000)]]}),
    )  # fmt: skip
    path = folder / "model"
    for model, place, command, changes in cases:
        for key, values in changes.items():
            for value in values:
                shutil.rmtree(path, ignore_errors=True)
                shutil.copytree(MODELS / model, path)
                config = json.loads((path / "config.json").read_text())
                holder = config
                for step in filter(None, place.split(".")):
                    holder = holder[step]
                holder[key] = value
                (path / "config.json").write_text(json.dumps(config))
                yield Attack(neuroclip, (*command, path), "model")


def recordings(folder: Path) -> Iterator[Attack]:
    """Data sets of recordings whose lists and files are not what they should be."""
    root = folder / "es"
    (root / "train").mkdir(parents=True)
    events = {"pos": np.ones((9, 3), np.int64), "neg": np.ones((9, 3), np.int64)}
    for i in range(4):
        np.savez(root / "train" / f"a{i}.npz", **events)
    lines = [f"a{i}.xxx {i % 2} 9 9" for i in range(4)]
    for labels, classes in (
        ("\n".join(lines), b"caf\xe9\nb\n"),
        ("\n".join([*lines, "a3.xxx 100000000000000000000 9 9"]), b"a\nb\n"),
        ("\n".join([*lines, f"a3.xxx {files.DIGITS} 9 9"]), b"a\nb\n"),
        ("\n".join([*lines, "a3.xxx 1048575 9 9"]), b"a\nb\n"),
        ("\n".join(lines), b"a\n" * 1_000_000 + b"\xff"),
    ):
        (root / "trainlabel.txt").write_text(labels)
        (root / "vallabel.txt").write_text("")
        (root / "classes.txt").write_bytes(classes)
        yield Attack(neuroclip, ("zero-shot", "--data", root), "es")
    data = folder / "data"
    for label in ("0", "1"):
        (data / label).mkdir(parents=True)
        for i in range(4):
            np.savez(
                data / label / f"{i}.npz",
                width=65_536,
                height=65_536,
                **{n: np.zeros(3, int) for n in "xytp"},
            )
    yield Attack(neuroclip, ("zero-shot", "--data", data), ".npz")
    yield Attack(neuroclip, ("watch", data / "0" / "0.npz"), ".npz")


def live(folder: Path) -> Iterator[Attack]:
    """Streams that are none, as a file that grows and as standard input."""
    folder.mkdir()
    for number, path in enumerate(files.streams(folder)):
        live = ("-", "--format", path.suffix[1:])
        yield Attack(neuroclip, ("watch", *live), "-: ", stdin=path)
        if number % 3 == 0:
            yield Attack(neuroclip, ("watch", path, "--live", "--idle", "0"), path.name)
    for path in files.no_files(folder):
        if path.suffix == ".bin" and not path.is_fifo():
            yield Attack(neuroclip, ("watch", path, "--live"), path.name)
    yield Attack(neuroclip, ("watch", "-", "--format", "bin"), "-: ", stdin=folder)
    for address in (f"{'a' * 300}:80", f"h:{files.DIGITS}", "a..b:1", f"{files.EVIL}:1", "", ":1"):
        words = ("watch", f"tcp://{address}", "--format", "bin")
        yield Attack(neuroclip, words, "tcp://")


def outcome(attack: Attack) -> str | None:
    """What went wrong in an attack, or None."""
    out, err = io.StringIO(), io.StringIO()
    begun = _cpu()
    number = os.open(attack.stdin, os.O_RDONLY)
    os.dup2(number, 0)
    os.close(number)
    try:
        with redirect_stdout(out), redirect_stderr(err):
            status = attack.main([str(argument) for argument in attack.arguments])
    except SystemExit as ended:
        status = int(ended.code or 0)
    except BaseException:
        return traceback.format_exc()[-600:]
    taken, said = _cpu() - begun, err.getvalue()
    if taken > SECONDS:
        return f"took {taken:.1f} s: {said[-200:]}"
    if CONTROL & set(out.getvalue() + said):
        return f"control characters: {(out.getvalue() + said)[-300:]!r}"
    if status != attack.status:
        return f"status {status}: {said[-300:]} {out.getvalue()[-200:]}"
    if status == 2 and (
        len(said.splitlines()) != 1 or attack.says not in said or "enough memory" in said
    ):
        return f"said {said[-400:]!r}, expected one line with {attack.says!r}"
    return None


def _cpu() -> float:
    return sum(os.times()[:4])


def main(kind: str) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        os.chdir(folder)
        progress.FIRST_S = 1e9  # nothing but the line that is judged
        if kind == "learning":
            with redirect_stdout(io.StringIO()):  # imports all there is; our lines are the worker's
                neuroclip(["zero-shot", "--labels", "a", "--split", "validation"])
        used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (used + MEMORY, used + MEMORY))
        count, slowest = 0, (0.0, "")
        for attack in {"light": light, "learning": learning}[kind](folder):
            count += 1
            begun = time.monotonic()
            wrong = outcome(attack)
            slowest = max(slowest, (time.monotonic() - begun, str(attack.arguments[:3])))
            if wrong is not None:
                print(
                    "WRONG",
                    [str(a)[-80:] for a in attack.arguments[:5]],
                    wrong.replace("\n", " | "),
                )
        print(json.dumps({"met": count, "slowest": slowest}))


if __name__ == "__main__":
    main(sys.argv[1])
