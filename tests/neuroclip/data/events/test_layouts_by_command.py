"""Zero-shot, training and export from a folder of recordings in each layout that data sets have."""

import runpy
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

pytest.importorskip("torch")
pytest.importorskip("open_clip")
pytest.importorskip("snntorch")

from export.commands.main import main as export
from neuroclip.commands.main import main

spec = SimpleNamespace(**runpy.run_path(str(Path(__file__).parent / "spec.py")))
PER_CLASS = 10


def written(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)


def events_of(label: int, number: int, width: int, height: int) -> list[tuple[int, int, int, int]]:
    """Some events in a band of rows that the class has, of a sensor that they use."""
    made = spec.stream(100 * label + number, 150, width, height)
    rows = height // 3
    return [(x, label % 3 * rows + y % rows, p, t) for x, y, p, t in made]


def npz(events: list[tuple[int, int, int, int]]) -> dict[str, np.ndarray]:
    return dict(zip("xypt", map(np.array, zip(*events, strict=True)), strict=True))


def n_caltech101(root: Path) -> None:
    for label, name in enumerate(("airplanes", "car_side", "Faces_easy")):
        for n in range(PER_CLASS):
            written(
                root / name / f"image_{n:04d}.bin", spec.five_bytes(events_of(label, n, 240, 180))
            )


def n_cars(root: Path) -> None:
    for part in ("train", "test"):
        for label, name in enumerate(("background", "cars")):
            for n in range(PER_CLASS):
                path = root / f"n-cars_{part}" / name / f"obj_{n:06d}_td.dat"
                written(path, spec.dat(events_of(label, n + 50 * (part == "test"), 120, 100)))


def gesture_of_spikingjelly(root: Path) -> None:
    for part in ("train", "test"):
        for label in range(3):
            for n in range(PER_CLASS):
                path = root / "events_np" / part / str(label) / f"user{n:02d}_natural_0.npz"
                path.parent.mkdir(parents=True, exist_ok=True)
                np.savez(path, **npz(events_of(label, n + 50 * (part == "test"), 128, 128)))


def gesture_of_tonic(root: Path) -> None:
    for part in ("Train", "Test"):
        for n in range(PER_CLASS):
            for label in range(3):
                path = root / f"ibmGesture{part}" / f"user{n:02d}_natural" / f"{label}.npy"
                path.parent.mkdir(parents=True, exist_ok=True)
                x, y, p, t = npz(events_of(label, n, 128, 128)).values()
                np.save(path, np.stack([x, y, p, t], axis=1))


def asl_dvs(root: Path) -> None:
    savemat = pytest.importorskip("scipy.io").savemat
    for label, name in enumerate("abc"):
        for n in range(PER_CLASS):
            (root / name).mkdir(parents=True, exist_ok=True)
            x, y, p, t = npz(events_of(label, n, 240, 180)).values()
            columns = {"x": x, "y": 179 - y, "ts": t, "pol": p}
            savemat(
                root / name / f"{name}_{n:04d}.mat", {k: v[:, None] for k, v in columns.items()}
            )


def raw_of_ones_own(root: Path) -> None:
    for label, name in enumerate(("left_hand", "right_hand")):
        for n in range(PER_CLASS):
            content = spec.raw_header("3.0", 64, 48) + spec.evt3(events_of(label, n, 64, 48))
            written(root / name / f"{n}.raw", content)
        written(root / name / "._0.raw", b"\0\5\x16\7")


def text_of_ones_own(root: Path) -> None:
    for label, name in enumerate(("0", "1", "2")):
        for n in range(PER_CLASS):
            rows = [f"{t / 1e6:.6f},{x},{y},{p}" for x, y, p, t in events_of(label, n, 304, 240)]
            written(root / name / f"{n}.CSV", "\n".join(["t,x,y,p", *rows]).encode())


# What it is taken for, the class names that are printed or saved, and what has to be said.
LAYOUTS: dict[str, tuple[Callable[[Path], None], str, tuple[str, ...]]] = {
    "n-caltech101": (n_caltech101, "'n-caltech101', recognised by its 3 classes", ()),
    "n-cars": (n_cars, "'n-cars', recognised by its 2 classes", ()),
    "gesture, SpikingJelly": (gesture_of_spikingjelly, "'dvs128-gesture', recognised", ()),
    "gesture, tonic": (gesture_of_tonic, "'dvs128-gesture', recognised by its ibmGestureTrain", ()),
    "asl-dvs": (asl_dvs, "'asl-dvs', recognised", ()),
    "raw": (raw_of_ones_own, "not a known one", ()),
    "text": (text_of_ones_own, "not a known one", ("--sensor", "304x240")),
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_zero_shot_training_and_export(
    tmp_path: Path,
    cache: Path,
    capsys: pytest.CaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
    layout: str,
) -> None:
    monkeypatch.setenv("NEUROCLIP_CACHE", str(cache))
    make, taken_for, said = LAYOUTS[layout]
    make(tmp_path / "data")
    data = ["--data", str(tmp_path / "data"), *said]
    assert main(["zero-shot", *data, "--steps", "2"]) == 0
    assert taken_for in capsys.readouterr().err
    out = str(tmp_path / "adapter")
    train = [
        "train",
        *data,
        "--out",
        out,
        "--shots",
        "4",
        "--epochs",
        "2",
        "--quantized-epochs",
        "1",
    ]
    train += [
        "--variants",
        "1",
        "--steps",
        "2",
        "--hidden",
        "8",
        "--template",
        "an event camera sees a {}.",
    ]
    assert main(train) == 0
    command = [out, *data, "--target", "emulator", "--samples", "4", "--out", str(tmp_path / "run")]
    assert export(command) == 0, capsys.readouterr()
    assert taken_for in (tmp_path / "run" / "report.json").read_text(encoding="utf-8")
    capsys.readouterr()
    if said:
        assert main(["zero-shot", "--data", str(tmp_path / "data"), "--steps", "2"]) == 2
        assert "--sensor WIDTHxHEIGHT" in capsys.readouterr().err
