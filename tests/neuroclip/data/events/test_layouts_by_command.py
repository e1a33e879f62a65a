"""Zero-shot, training and export from a folder in each layout that data sets have: recordings, and images."""

import json
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
from neuroclip.data.events.cards import DVS_GESTURE
from neuroclip.data.events.catalogue import open_dataset

spec = SimpleNamespace(**runpy.run_path(str(Path(__file__).parent / "spec.py")))
PER_CLASS = 10
Event = tuple[int, int, int, int]


def written(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)


def events_of(label: int, number: int, width: int, height: int) -> list[Event]:
    """Some events in a band of rows that the class has, of a sensor that they use."""
    made = spec.stream(100 * label + number, 150, width, height)
    rows = height // 3
    return [(x, label % 3 * rows + y % rows, p, t) for x, y, p, t in made]


def npz(events: list[Event]) -> dict[str, np.ndarray]:
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


def gesture_as_released(root: Path) -> dict[str, list[tuple[int, list[Event]]]]:
    """`user01_fluorescent.aedat`, `…_labels.csv`, lists of trials; what is between gestures is no one's.

    Returns of each file its gestures: label from 0 on, and events.
    """
    held: dict[str, list[tuple[int, list[Event]]]] = {}
    for part, users in (("train", range(1, 8)), ("test", range(24, 27))):
        names = [f"user{user:02d}_fluorescent" for user in users]
        written(
            root / f"trials_to_{part}.txt", "".join(f"{name}.aedat\n" for name in names).encode()
        )
        for number, name in enumerate(names):
            whole, rows, held[name], t = [], ["class,startTime_usec,endTime_usec"], [], 50
            for label in (2, 0, 1, 0, 2, 1):
                own = [
                    (x, y, p, u + t) for x, y, p, u in events_of(label, 100 * number + t, 128, 128)
                ]
                end = own[-1][3] + 1
                rows.append(f"{label + 1},{t},{end}")
                held[name].append((label, own))
                whole += [(1, 1, 1, t - 20), *own]
                t = end + 1000
            written(root / f"{name}.aedat", spec.aedat3(whole))
            written(root / f"{name}_labels.csv", "\r\n".join([*rows, ""]).encode())
    return held


def n_mnist(root: Path) -> None:
    for part in ("Train", "Test"):
        for label in (3, 8):
            for n in range(PER_CLASS):
                events = events_of(label, n + 50 * (part == "Test"), 34, 34)
                written(root / part / str(label) / f"{n:05d}.bin", spec.five_bytes(events))


def es_imagenet(root: Path) -> None:
    for part, count in (("train", PER_CLASS), ("val", 4)):
        lines = []
        for label in range(3):
            for n in range(count):
                name = f"n{label:08d}_{part}{n}"
                folder = root / part / (f"class{label}" if part == "train" else "")
                folder.mkdir(parents=True, exist_ok=True)
                x, y, _, t = npz(events_of(label, n, 100, 90)).values()
                rows = np.stack([y, x, 1 + t % 8], axis=1).astype(np.uint8)
                np.savez(folder / f"{name}.npz", pos=rows[::2], neg=rows[1::2])
                lines.append(f"{name}.JPEG {label} 90 100")
        written(root / f"{part}label.txt", "\n".join(lines).encode())


def hdf5_of_ones_own(root: Path) -> None:
    h5py = pytest.importorskip("h5py")
    for start, (part, count) in enumerate({"train": 4, "validation": 1, "test": 2}.items()):
        for label, name in enumerate(("left", "right")):
            for n in range(count):
                path = root / part / name / f"{n}.h5"
                path.parent.mkdir(parents=True, exist_ok=True)
                number = n + 50 * start
                columns = npz(events_of(label, number, 64, 48))
                with h5py.File(path, "w") as file:
                    for key, column in columns.items():
                        file.create_dataset(f"events/{key}", data=column, compression="gzip")


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
LAYOUTS: dict[str, tuple[Callable[[Path], object], str, tuple[str, ...]]] = {
    "n-caltech101": (n_caltech101, "'n-caltech101', recognised by its 3 classes", ()),
    "n-cars": (n_cars, "'n-cars', recognised by its 2 classes", ()),
    "gesture, SpikingJelly": (gesture_of_spikingjelly, "'dvs128-gesture', recognised", ()),
    "gesture, released": (
        gesture_as_released, "'dvs128-gesture', recognised by its trials_to_train.txt", (),
    ),
    "n-mnist": (n_mnist, "'nmnist', recognised by its 2 classes", ()),
    "es-imagenet": (es_imagenet, "'es-imagenet', recognised by its trainlabel.txt", ()),
    "hdf5": (hdf5_of_ones_own, "not a known one", ("--sensor", "64x48")),
    "gesture, tonic": (gesture_of_tonic, "'dvs128-gesture', recognised by its ibmGestureTrain", ()),
    "asl-dvs": (asl_dvs, "'asl-dvs', recognised", ()),
    "raw": (raw_of_ones_own, "not a known one", ()),
    "text": (text_of_ones_own, "not a known one", ("--sensor", "304X240")),
}  # fmt: skip


@pytest.mark.parametrize("layout", LAYOUTS)
def test_zero_shot_training_and_export(
    tmp_path: Path, capsys: pytest.CaptureFixture, layout: str
) -> None:
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
    told = capsys.readouterr().out
    assert " classes: " in told[: told.index("validation accuracy")], (
        "what it is trained on comes first"
    )
    classes = told.partition(" classes: ")[2].partition("\n")[0]
    assert "_" not in classes, "they are words: underscores stand for spaces"
    command = [out, *data, "--target", "emulator", "--samples", "4", "--out", str(tmp_path / "run")]
    assert export(command) == 0, capsys.readouterr()
    assert taken_for in (tmp_path / "run" / "report.json").read_text(encoding="utf-8")
    capsys.readouterr()
    if said:
        assert main(["zero-shot", "--data", str(tmp_path / "data"), "--steps", "2"]) == 2
        assert "--sensor WIDTHxHEIGHT" in capsys.readouterr().err


def test_folders_that_differ_in_an_underscore_only_are_refused(tmp_path: Path, refused) -> None:
    raw_of_ones_own(tmp_path / "data")
    (tmp_path / "data" / "right_hand").rename(tmp_path / "data" / "left hand")
    says = [str(tmp_path / "data"), "two classes are called 'left hand'"]
    refused(main, "zero-shot", "--data", tmp_path / "data", says=says)


def test_released_gestures_are_the_events_of_their_times(tmp_path: Path) -> None:
    """Event for event, with its label: of every gesture of every file, and nothing from between them."""
    held = gesture_as_released(tmp_path / "DvsGesture")
    dataset = open_dataset(tmp_path)
    assert dataset.name == "dvs128-gesture" and dataset.class_names == DVS_GESTURE.class_names[:3]
    assert len(dataset) == sum(map(len, held.values())) == 60
    left = {name: list(gestures) for name, gestures in held.items()}
    for index in range(len(dataset)):
        name = Path(dataset.names[index].split("@")[0]).stem
        label, events = left[name].pop(0)
        recording = dataset.load(index)
        found = zip(recording.x, recording.y, recording.p, recording.t, strict=True)
        assert [tuple(map(int, event)) for event in found] == events
        assert dataset.labels[index] == label and recording.width == recording.height == 128
        assert (index in dataset.test) is (int(name[4:6]) >= 24)


IMAGES = runpy.run_path(str(Path(__file__).parents[1] / "test_image_layouts.py"))
# One word of the CLIP's for each class; the trained encoder is the smallest that there is.
SETTINGS = {
    "model": {
        "image_size": 8, "channels": 1, "width": 8, "convolutions": 2, "halvings": 1, "blocks": 1,
        "heads": 2, "ratio": 1, "steps": 2,
    },
    "recipe": {"epochs": 1, "finetune_epochs": 1, "quantized_epochs": 1, "text_epochs": 1, "batch": 8},
    "text": {"tokens": 40, "hidden": 8}, "template": "a {}",
}  # fmt: skip
SHORT = ("classes", "Tiny-ImageNet")


@pytest.mark.parametrize(
    "layout",
    [
        pytest.param(name, marks=() if name in SHORT else pytest.mark.long)
        for name in IMAGES["READ"]
    ],
)
def test_zero_shot_training_and_export_of_images(
    tmp_path: Path, capsys, refused, checkpoint_folder, layout: str
) -> None:
    """What an adapter says of still images, in every command; and all three with an encoder of images."""
    files, _ = IMAGES["READ"][layout]
    folder = IMAGES["written"](tmp_path / "data", files)
    out = tmp_path / "adapter"
    for archive in (folder, IMAGES["zipped"](tmp_path / "a.zip", files)):
        given = ["--data", archive]
        says = ["still images", "train spikeclip"]
        refused(main, "train", *given, "--shots", "4", "--out", out, says=says)
        refused(main, "evaluate", checkpoint_folder, *given, says=says)
        command = [checkpoint_folder, *given, "--target", "emulator", "--out", out]
        refused(export, *command, says=says)
    assert not out.exists()
    capsys.readouterr()
    assert main(["zero-shot", "--data", folder, "--template", "a {}"]) == 0
    shown = capsys.readouterr().out
    assert "zero-shot on" in shown and "images" in shown
    settings, run = tmp_path / "settings.json", str(tmp_path / "model")
    settings.write_text(json.dumps(SETTINGS))
    train = ["train", "spikeclip", "--data", folder, "--config", str(settings), "--out", run]
    for stage in ("align", "finetune"):
        assert main([*train, "--stage", stage]) == 0, capsys.readouterr()
        assert " classes: " in capsys.readouterr().out
    command = [run, "--data", folder, "--target", "emulator", "--samples", "2"]
    assert export([*command, "--out", str(tmp_path / "run")]) == 0, capsys.readouterr()
    report = json.loads((tmp_path / "run" / "report.json").read_text(encoding="utf-8"))
    assert report["samples"] == 2 and report["ok"]
