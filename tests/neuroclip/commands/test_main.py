"""`neuroclip` as a person runs it: what each subcommand prints, and what it refuses, in one line."""

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from neuroclip.commands.main import main

ROOT = Path(__file__).parents[3]
Refused = Callable[..., str]


# ---------------------------------------------------------------- diff


def trace(path: Path, change: Callable[[dict[str, Any]], Any] = lambda t: None) -> Path:
    rng = np.random.default_rng(0)
    arrays: dict[str, Any] = {
        "a/s": rng.integers(0, 2, (3, 5, 4)).astype(np.uint8),
        "b/s": rng.integers(0, 2, (3, 5, 2)).astype(np.uint8),
        "a/v": rng.integers(-(2**20), 2**20, (3, 5, 4)).astype(np.int32),
    }
    change(arrays)
    np.savez(path, **arrays)
    return path


def test_equal_traces(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    a, b = trace(tmp_path / "a.npz"), trace(tmp_path / "b.npz")
    assert main(["diff", str(a), str(b)]) == 0
    assert "90 spikes and 60 states compared" in capsys.readouterr().out


def test_the_first_difference_of_two_traces(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def change(arrays: dict[str, Any]) -> None:
        arrays["a/s"][0, 4, 0] ^= 1
        arrays["b/s"][2, 3, 1] ^= 1
        arrays["a/v"][2, 3, 2] += 1

    a, b = trace(tmp_path / "a.npz"), trace(tmp_path / "b.npz", change)
    assert main(["diff", str(a), str(b)]) == 1
    head, *layers, time, network = capsys.readouterr().out.splitlines()
    assert (
        "first difference: membrane potential v of node 'a', sample 2, step 3, neuron [2]" in head
    )
    rows = ["a/s: 1 of 60 differ", "b/s: 1 of 30 differ", "a/v: 1 of 60 differ"]
    assert [row.strip() for row in layers] == rows
    assert time.startswith("first in time: membrane potential v of node 'a', sample 2, step 3")
    assert network.startswith("first in the order of the network: membrane potential v of node 'a'")


@pytest.mark.parametrize(
    "change",
    [
        lambda t: t.update({"a/s": t["a/s"][:2]}),
        lambda t: t.update({"a/s": t["a/s"][:, :, :3]}),
        lambda t: t.pop("a/v"),
        lambda t: t.update({"other": t["a/s"]}),
        lambda t: t.update({"a/q": t["a/s"]}),
        lambda t: t.update({"a/s": t["a/s"].astype("U1")}),
        lambda t: t.update({"a/s": t["a/s"] * np.nan}),
        lambda t: t.update({"a/s": t["a/s"][:0]}),
        lambda t: t.clear(),
    ],
)
def test_traces_that_cannot_be_compared(
    refused: Refused, tmp_path: Path, change: Callable[[dict[str, Any]], Any]
) -> None:
    a, b = trace(tmp_path / "a.npz"), trace(tmp_path / "b.npz", change)
    refused(main, "diff", a, b, says=(b,))
    refused(main, "diff", b, a, says=(b,))


def test_traces_that_are_none(refused: Refused, tmp_path: Path) -> None:
    a = trace(tmp_path / "a.npz")
    (tmp_path / "half.npz").write_bytes(a.read_bytes()[:300])
    (tmp_path / "text").write_text("text")
    for path in (tmp_path / "nowhere", tmp_path / "half.npz", tmp_path / "text", tmp_path):
        refused(main, "diff", a, path, says=(path,))
        refused(main, "diff", path, a, says=(path,))
    refused(main, "diff", a)


# ---------------------------------------------------------------- report


def test_the_report_again(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def headings() -> list[str]:
        return re.findall(r"<h[12].*?</h[12]>", (run / "report.html").read_text())

    before = headings()
    (run / "report.html").unlink()
    assert main(["report", str(run)]) == 0
    assert headings() == before and len(before) > 5
    assert "graph.nir → emulator" in capsys.readouterr().out


def test_the_page_of_a_run_stays_as_the_run_wrote_it(run: Path) -> None:
    before = (run / "report.html").read_bytes()
    assert main(["report", str(run)]) == 0
    assert (run / "report.html").read_bytes() == before


def test_the_report_of_a_run_without_a_trace(run: Path) -> None:
    (run / "trace.npz").unlink()
    (run / "report.html").unlink()
    assert main(["report", str(run)]) == 0
    assert (run / "report.html").read_text().rstrip().endswith("</html>")


def test_the_report_of_a_failed_run_ends_in_one(run: Path) -> None:
    report = json.loads((run / "report.json").read_text())
    (run / "report.json").write_text(json.dumps(report | {"ok": False}))
    assert main(["report", str(run)]) == 1


def test_two_runs_side_by_side(
    run: Path, finished: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["report", str(run), str(finished)]) == 0
    assert capsys.readouterr().out.strip()


def test_two_runs_as_a_page(run: Path, finished: Path, tmp_path: Path, refused: Refused) -> None:
    page = tmp_path / "both.html"
    assert main(["report", str(run), str(finished), "--html", str(page)]) == 0
    assert "Two runs side by side" in page.read_text()
    refused(main, "report", run, "--html", tmp_path / "one.html", says=("--html",))


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("report.json", b""),
        ("report.json", b"[]"),
        ("report.json", b"{}"),
        ("report.json", b'{"schema": 99}'),
        ("report.json", b"[" * 100_000),
        ("report.json", None),
        ("program.npz", None),
        ("program.npz", b"text"),
        ("trace.npz", b"text"),
    ],
)
def test_a_damaged_run(refused: Refused, run: Path, name: str, content: bytes | None) -> None:
    (run / "report.html").unlink()
    (run / name).unlink()
    if content is not None:
        (run / name).write_bytes(content)
    refused(main, "report", run, says=(run / name,))


def test_runs_that_are_none(refused: Refused, run: Path, tmp_path: Path) -> None:
    for path in (tmp_path / "nowhere", run / "report.json", tmp_path):
        refused(main, "report", path, says=(path,))
        refused(main, "report", run, path, says=(path,))


# ---------------------------------------------------------------- learning


def test_evaluate(
    checkpoint_folder: Path, recordings_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["evaluate", str(checkpoint_folder), "--data", str(recordings_folder)]) == 0
    told = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in told] == ["zero-shot", "float", "quantized"]
    assert all("of 20" in line for line in told)


def test_zero_shot(recordings_folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("torch")
    command = ["zero-shot", "--data", str(recordings_folder), "--steps", "4"]
    assert main(command) == 0
    assert "of 20" in capsys.readouterr().out
    assert main([*command, "--labels", "a, b"]) == 0
    told = capsys.readouterr().out
    counts = re.findall(r"^[ab]: (\d+) recordings$", told, re.MULTILINE)
    assert sum(map(int, counts)) == 20 and len(counts) == 2
    assert "label 'a': no class of the data" in told and "no accuracy: 20 of 20" in told
    assert main([*command, "--labels", "1,0,2=two,3,4,5,6,7,8,9"]) == 0
    told = capsys.readouterr().out
    assert "label 'two': class '2'" in told and "label '1': class '1'" in told and "of 20)" in told


def test_bad_checkpoints_and_data_of_evaluate(
    refused: Refused, checkpoint_folder: Path, recordings_folder: Path, tmp_path: Path
) -> None:
    data = ("--data", recordings_folder)
    damaged = Path(shutil.copytree(checkpoint_folder, tmp_path / "damaged"))
    (damaged / "chip.safetensors").write_bytes(b"text")
    refused(main, "evaluate", damaged, *data, says=(damaged / "chip.safetensors",))
    refused(main, "evaluate", tmp_path / "nowhere", *data, says=(tmp_path / "nowhere",))
    refused(main, "evaluate", "", *data)
    refused(main, "evaluate", checkpoint_folder, "--data", tmp_path / "no", says=(tmp_path / "no",))
    refused(main, "evaluate", checkpoint_folder, *data, "--seed", "-1", says=("seed",))
    refused(main, "evaluate", checkpoint_folder, *data, "--split", "train", says=("train",))


def test_a_set_without_recordings_in_the_split(
    refused: Refused, checkpoint_folder: Path, recordings_folder: Path, tmp_path: Path
) -> None:
    """One recording a class leaves none for validation."""
    data = tmp_path / "few"
    few = shutil.ignore_patterns("0000[1-9].bin")
    shutil.copytree(recordings_folder, data, ignore=few)
    command = ("--data", data, "--split", "validation")
    train = ("--data", data, "--shots", "1", "--out", tmp_path / "out")
    refused(main, "train", *train, says=("validation",))
    refused(main, "evaluate", checkpoint_folder, *command, says=("validation",))
    refused(main, "zero-shot", *command, says=("validation",))


def test_classes_that_the_adapter_does_not_have(
    refused: Refused, checkpoint_folder: Path, recordings_folder: Path, tmp_path: Path
) -> None:
    data = Path(shutil.copytree(recordings_folder, tmp_path / "more"))
    shutil.copytree(data / "Train" / "0", data / "Train" / "10")
    shutil.copytree(data / "Test" / "0", data / "Test" / "10")
    refused(main, "evaluate", checkpoint_folder, "--data", data, says=("11", "10"))


@pytest.mark.parametrize(
    "options",
    [
        ("--labels", ""),
        ("--labels", " , "),
        ("--labels", "a,a"),
        ("--template", "no place"),
        ("--template", "{} and {}"),
        ("--clip", "no-such-clip"),
        ("--clip", "ViT-B-32"),
        ("--clip", "ViT-B-32", "--pretrained", "no-such-tag"),
        ("--steps", "0"),
        ("--steps", "1000000000"),
        ("--threshold", "-1"),
        ("--slicing", "sideways"),
        ("--split", "train"),
        ("--seed", "-1"),
        ("--seed", "x"),
    ],
)
def test_bad_options_of_zero_shot(
    refused: Refused, recordings_folder: Path, options: tuple[str, ...]
) -> None:
    pytest.importorskip("open_clip")
    refused(main, "zero-shot", "--data", recordings_folder, *options)


def test_train_and_use_an_adapter(
    recordings_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("open_clip")
    out = tmp_path / "adapter"
    command = ["train", "--data", str(recordings_folder), "--shots", "2", "--out", str(out)]
    command += ["--steps", "4", "--hidden", "6", "--epochs", "2", "--quantized-epochs", "1"]
    assert main(command) == 0
    assert "validation accuracy" in capsys.readouterr().out
    first = (out / "chip.safetensors").read_bytes()
    assert main(["evaluate", str(out), "--data", str(recordings_folder)]) == 0
    assert main([*command, "--resume"]) == 0
    assert (out / "chip.safetensors").read_bytes() == first


def test_a_training_that_cannot_be_resumed(
    refused: Refused, recordings_folder: Path, tmp_path: Path
) -> None:
    pytest.importorskip("open_clip")
    out = tmp_path / "adapter"
    command = ["train", "--data", str(recordings_folder), "--shots", "2", "--out", str(out)]
    command += ["--steps", "4", "--epochs", "2", "--quantized-epochs", "1"]
    assert main([*command, "--hidden", "6"]) == 0
    refused(main, *command, "--hidden", "7", "--resume", says=("another training",))
    for state in sorted(out.glob("state-*")):
        whole = state.read_bytes()
        for content in (whole[:500], b"", b"text", bytes(len(whole))):
            state.write_bytes(content)
            refused(main, *command, "--hidden", "6", "--resume", says=(state,))
        state.write_bytes(whole)


@pytest.mark.parametrize(
    "options",
    [
        ("--shots", "0"),
        ("--shots", "500"),
        ("--hidden", "0"),
        ("--hidden", "-4"),
        ("--hidden", "1000000000000"),
        ("--epochs", "0"),
        ("--quantized-epochs", "-1"),
        ("--steps", "0"),
        ("--cut", "sideways"),
        ("--clip", "no-such-clip"),
        ("--seed", "-1"),
        ("--seed", str(2**70)),
        ("--data", "nowhere"),
    ],
)
def test_bad_options_of_train(
    refused: Refused, recordings_folder: Path, tmp_path: Path, options: tuple[str, ...]
) -> None:
    pytest.importorskip("open_clip")
    base = ("--data", recordings_folder, "--shots", "1", "--out", tmp_path / "out")
    refused(main, "train", *base, *options)


def test_an_output_of_train_that_cannot_be_written(
    refused: Refused, recordings_folder: Path, tmp_path: Path
) -> None:
    pytest.importorskip("open_clip")
    (tmp_path / "file").write_text("in the way")
    for out in (tmp_path / "file", tmp_path / "file" / "below"):
        base = ("--data", recordings_folder, "--shots", "1", "--epochs", "1")
        refused(main, "train", *base, "--out", out, says=(out,))
        refused(main, "train", "clip", "--out", out, says=(f"{out}: cannot write",))
    refused(main, "train", "--data", recordings_folder)
    refused(main, "train", "clip", "--out", tmp_path / "clip", "--resume", says=("--resume",))


def test_a_clip_folder_that_is_damaged(
    refused: Refused, recordings_folder: Path, tmp_path: Path
) -> None:
    pytest.importorskip("open_clip")
    bundled = ROOT / "neuroclip" / "models" / "digits-clip"
    command = ("zero-shot", "--data", recordings_folder, "--clip")
    for name, content in (
        ("config.json", b"{"),
        ("config.json", b"[]"),
        ("config.json", b'{"clip": 5}'),
        ("config.json", b"[" * 100_000),
        ("model.safetensors", b"text"),
    ):
        folder = Path(shutil.copytree(bundled, tmp_path / "clip"))
        (folder / name).write_bytes(content)
        refused(main, *command, folder, says=(folder / name,))
        shutil.rmtree(folder)
    config = json.loads((bundled / "config.json").read_text())
    for key, value in (("embed_dim", 10**9), ("embed_dim", "x"), ("vision_cfg", None)):
        folder = Path(shutil.copytree(bundled, tmp_path / "clip"))
        changed = config | {"clip": config["clip"] | {key: value}}
        (folder / "config.json").write_text(json.dumps(changed))
        refused(main, *command, folder, says=(folder,))
        shutil.rmtree(folder)


# ---------------------------------------------------------------- the command itself


def test_usage(refused: Refused, capsys: pytest.CaptureFixture[str]) -> None:
    refused(main)
    refused(main, "fly")
    refused(main, "diff", "--unknown", "a", "b")
    with pytest.raises(SystemExit) as end:
        main(["--help"])
    assert end.value.code == 0 and "examples:" in capsys.readouterr().out


def test_a_diff_needs_neither_torch_nor_lava(tmp_path: Path) -> None:
    a = trace(tmp_path / "a.npz")
    code = """
import sys
from neuroclip.commands.main import main
status = main(sys.argv[1:])
print(status, sorted({"torch", "lava", "open_clip", "sklearn"} & set(sys.modules)))
"""
    result = subprocess.run(
        [sys.executable, "-c", code, "diff", str(a), str(a)],
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
    )
    assert result.stdout.splitlines()[-1] == "0 []" and result.stderr == ""


# ---------------------------------------------------------------- models, --version


def test_every_bundled_model_is_listed(capsys: pytest.CaptureFixture[str]) -> None:
    from neuroclip.storage.checkpoint_files import BUNDLED

    assert main(["models"]) == 0
    listed = {line.split()[0] for line in capsys.readouterr().out.splitlines()}
    assert listed >= {name for names in BUNDLED.values() for name in names} | {"digits-clip"}


@pytest.mark.parametrize("command", ["neuroclip", "neuroclip-export"])
def test_the_version(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    import neuroclip
    from export.commands.main import main as export

    with pytest.raises(SystemExit) as ended:
        raise SystemExit({"neuroclip": main, "neuroclip-export": export}[command](["--version"]))
    assert ended.value.code in (0, None)
    assert capsys.readouterr().out == f"{command} {neuroclip.__version__}\n"
