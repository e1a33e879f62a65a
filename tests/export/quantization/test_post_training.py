"""A float NIR file through the command: quantized, calibrated, reported, and exact ever after."""

import os
import shutil
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest

nir = pytest.importorskip("nir")

from deploy.files import read_json, read_npz
from deploy.run.evidence import data_sha256
from export.commands.main import main
from export.frontends.calibration import unseen
from export.nir_format.write.file import write_nir

RNG = np.random.default_rng(0)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """graph.nir, a published kind of network: event counts in, IF neurons with r = 1 at any step."""
    folder = tmp_path_factory.mktemp("float")
    kernel = RNG.normal(0.1, 0.3, (3, 2, 3, 3)).astype(np.float32)
    nodes = {
        "input": nir.Input(np.array([2, 6, 6])),
        "conv": nir.Conv2d((6, 6), kernel, 1, 1, 1, 1, np.zeros(3, np.float32)),
        "a": nir.IF(np.ones((3, 6, 6)), np.ones((3, 6, 6))),
        "pool": nir.SumPool2d(np.array([2, 2]), np.array([2, 2]), np.array([0, 0])),
        "flat": nir.Flatten({"input": np.array([3, 3, 3])}, 0, -1),
        "fc": nir.Affine(RNG.normal(0.05, 0.3, (4, 27)), np.full(4, 0.01)),
        "b": nir.IF(np.ones(4), np.ones(4)),
        "output": nir.Output(np.array([4])),
    }
    names = list(nodes)
    edges = list(pairwise(names))
    write_nir(folder / "graph.nir", nir.NIRGraph(nodes, edges, type_check=False))
    counts = RNG.poisson(0.2, (12, 30, 2, 6, 6)).astype(np.uint8)
    np.savez(folder / "spikes.npz", spikes=counts, labels=RNG.integers(0, 4, 12))
    np.savez(folder / "calib.npz", spikes=RNG.poisson(0.2, (4, 25, 2, 6, 6)))
    return folder


@pytest.fixture
def export(folder: Path, tmp_path: Path) -> Callable[..., dict[str, Any]]:
    def run(model: Path, *more: object, out: str = "out", status: int = 0) -> dict[str, Any]:
        command = [model, "--data", folder / "spikes.npz", "--out", tmp_path / out]
        arguments = [*command, "--target", "emulator", "--record", "all", *more]
        assert main([str(a) for a in arguments]) == status
        report: dict[str, Any] = read_json(tmp_path / out / "report.json")
        return report

    return run


def test_a_float_graph_is_quantized_and_measured(
    export: Callable[..., dict[str, Any]], folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    report = export(folder / "graph.nir")
    found = report["quantization"]
    assert found["exact"] is False and found["calibration"] is None
    assert "node 'a'" in found["why"] and "not integers of the chip" in found["why"]
    assert set(found["nodes"]) == {"a", "b"}
    node = found["nodes"]["a"]
    assert node["scale_per"] == "channel" and 0 < node["weight_error"] < 0.01
    assert node["spikes_compared"] == 12 * 30 * 108
    assert node["rate_float"] == pytest.approx(node["rate_quantized"], rel=0.1)
    assert 0 < node["spike_mismatches"] < 0.2 * node["spikes_float"]
    accuracy = report["accuracy"]
    assert all(accuracy[key]["total"] == 12 for key in ("float", "quantized", "emulator"))
    assert accuracy["quantized"] == accuracy["emulator"] and accuracy["lava"] is None
    printed = capsys.readouterr().out
    assert "quantized" in printed and "without calibration" in printed


def test_calibration_is_named_and_leaves_fewer_wrong_spikes(
    export: Callable[..., dict[str, Any]], folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    plain = export(folder / "graph.nir")["quantization"]
    capsys.readouterr()
    chosen = export(folder / "graph.nir", "--calibrate", folder / "calib.npz")["quantization"]
    assert chosen["calibration"] == str(folder / "calib.npz")
    assert chosen["calibration_samples"] == 4
    assert chosen["calibration_positions"] == [0, 1, 2, 3]
    assert chosen["nodes"]["a"]["spike_mismatches"] < plain["nodes"]["a"]["spike_mismatches"]
    assert "calibrated on 4 samples" in capsys.readouterr().out


def test_a_sample_is_known_again_by_what_it_sends_and_when() -> None:
    spikes = RNG.integers(0, 3, (4, 5, 6))
    moved, more = np.roll(spikes, 1, axis=2), spikes + (spikes > 0)
    seen = {"i": spikes.astype(np.uint8)}
    found = unseen("data", {"i": np.concatenate([spikes[1:3], moved, more])}, 0, seen)
    assert found.positions == tuple(range(2, 10))


def test_the_messages_are_hashed_once_a_run(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hashed = []

    def counted(inputs: Any, labels: Any) -> str:
        hashed.append(inputs)
        return data_sha256(inputs, labels)

    monkeypatch.setattr("export.deployment.deployment.data_sha256", counted)
    spikes = ["--data", str(folder / "spikes.npz"), "--target", "emulator"]
    assert main([str(folder / "graph.nir"), *spikes, "--out", str(tmp_path / "out")]) == 0
    assert len(hashed) == 1


def test_calibration_never_sees_an_evaluated_sample(
    export: Callable[..., dict[str, Any]],
    folder: Path,
    tmp_path: Path,
    refused: Callable[..., str],
) -> None:
    """Of the same data, under any path, it takes what comes after; of others, what is not evaluated."""
    model, data, spikes = (
        folder / "graph.nir",
        folder / "spikes.npz",
        read_npz(folder / "spikes.npz"),
    )
    (tmp_path / "link.npz").symlink_to(data)
    for same in (data, tmp_path / "link.npz"):
        for more, count in (((), 9), (("--samples", 5), 5)):
            report = export(model, "--calibrate", same, *more)
            used = report["quantization"]["calibration_positions"]
            assert report["samples"] == count and used == list(range(count, 12))
            says = f"calibrated on samples {count}..11, evaluated on the {count} before"
            assert any(says in warning for warning in report["warnings"])
    copied = np.concatenate([spikes["spikes"][[3, 7]], RNG.poisson(0.2, (3, 30, 2, 6, 6))])
    np.savez(tmp_path / "mixed.npz", spikes=copied)
    report = export(model, "--calibrate", tmp_path / "mixed.npz")
    assert report["quantization"]["calibration_positions"] == [2, 3, 4]
    assert any("2 of 5 samples are evaluated too" in warning for warning in report["warnings"])
    np.savez(tmp_path / "copy.npz", spikes=spikes["spikes"].astype(np.int64))
    np.savez(tmp_path / "one.npz", spikes=spikes["spikes"][:1])
    command = (model, "--target", "emulator", "--out", tmp_path / "out")
    refused(main, *command, "--data", data, "--calibrate", tmp_path / "copy.npz",
            says=("copy.npz", "every sample is among those evaluated", "--samples"))  # fmt: skip
    refused(main, *command, "--data", tmp_path / "one.npz", "--calibrate", tmp_path / "one.npz",
            says=("one.npz", "its only sample"))  # fmt: skip
    # A graph that is exact is not calibrated: all of its samples are evaluated.
    exact = export(tmp_path / "out" / "model.nir", "--calibrate", data, out="exact")
    assert exact["samples"] == 12 and exact["quantization"]["calibration"] is None


def test_what_was_written_is_exact(
    export: Callable[..., dict[str, Any]],
    folder: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """model.nir of a quantized run lowers without loss to the same registers, spikes and states."""
    export(folder / "graph.nir", "--calibrate", folder / "calib.npz", out="first")
    capsys.readouterr()
    report = export(tmp_path / "first" / "model.nir", out="second")
    assert report["quantization"] == {
        "exact": True,
        "why": None,
        "calibration": None,
        "calibration_samples": 0,
        "nodes": {},
    }
    assert "exact" in capsys.readouterr().out
    for name in ("trace.npz", "program.npz"):
        one, two = (read_npz(tmp_path / run / name) for run in ("first", "second"))
        assert one.keys() == two.keys()
        assert all(np.array_equal(one[key], two[key]) for key in one if key != "header")


def test_the_step_length_does_not_matter_without_leak(
    export: Callable[..., dict[str, Any]], folder: Path, tmp_path: Path
) -> None:
    """Published integrate-and-fire nodes have r = 1 and add it at each step, whatever dt is."""
    for dt in ("1e-4", "1e-3", "1"):
        export(folder / "graph.nir", "--dt", dt, out=dt)
    one, *others = (read_npz(tmp_path / dt / "trace.npz") for dt in ("1e-4", "1e-3", "1"))
    assert one["b/s"].any()
    for other in others:
        assert all(np.array_equal(one[key], other[key]) for key in one)


def test_written_only(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = [folder / "graph.nir", "--data", folder / "spikes.npz", "--out", tmp_path / "out"]
    assert main([str(a) for a in [*command, "--target", "nir"]]) == 0
    assert "quantized without calibration" in capsys.readouterr().out
    assert {p.name for p in (tmp_path / "out").iterdir()} == {"model.nir", "program.npz"}


@pytest.mark.parametrize(
    ("spikes", "message"),
    [
        (np.zeros((2, 5, 2, 6, 5), np.uint8), "input 'input': data of shape (2, 5, 2, 6, 5)"),
        (np.full((2, 5, 2, 6, 6), 0.5), "'spikes' of type float64 are not integers"),
        (None, "cannot read"),
    ],
)
def test_calibration_data_that_does_not_fit_is_refused(
    folder: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    spikes: np.ndarray | None,
    message: str,
) -> None:
    file = tmp_path / "bad.npy"
    if spikes is not None:
        np.save(file, spikes)
    command = [folder / "graph.nir", "--data", folder / "spikes.npz", "--target", "emulator"]
    arguments = [*command, "--calibrate", file, "--out", tmp_path / "out"]
    assert main([str(a) for a in arguments]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and str(file) in error and message in error
    assert not (tmp_path / "out").exists()


# ---------------------------------------------------------------- recordings as a graph's data


def test_a_data_set_of_recordings_is_counted_in_frames(
    export: Callable[..., dict[str, Any]], tmp_path: Path, recordings_folder: Path
) -> None:
    from neuroclip.data.events.event_counts import read_event_frames
    from neuroclip.data.events.recording import read_recording

    frames, labels, classes, notes = read_event_frames(
        str(recordings_folder), (2, 34, 34), frame_ms=2.5, steps=20, samples=3, seed=1
    )
    assert frames.shape == (3, 20, 2, 34, 34) and frames.dtype == np.uint8
    assert notes == ()
    # Of a data set with a test folder none of the others: as many as that holds.
    everything, *_ = read_event_frames(
        str(recordings_folder), (2, 34, 34), frame_ms=2.5, steps=2, seed=1
    )
    assert len(everything) == len([*(recordings_folder / "Test").rglob("*.bin")])
    only = tmp_path / "only"
    shutil.copytree(recordings_folder / "Train", only / "Train")
    *_, notes = read_event_frames(str(only), (2, 34, 34), frame_ms=2.5, steps=2, samples=2)
    assert "training folder" in notes[0]
    assert labels is not None and len(labels) == 3 and labels.max() < len(classes)
    file = next(recordings_folder.rglob("*.bin"))
    recording = read_recording(file)
    one, none, *_ = read_event_frames(str(file), (2, 34, 34), frame_ms=2.5, steps=20)
    assert none is None
    expected = np.zeros((20, 2, 34, 34), int)
    for x, y, t, p in zip(recording.x, recording.y, recording.t, recording.p, strict=True):
        frame = int((t - recording.t[0]) // 2500)
        if frame < 20:
            expected[frame, p, y, x] += 1
    assert np.array_equal(one[0], expected) and expected.any()


def test_frames_that_do_not_fit_are_refused_by_name(
    folder: Path, tmp_path: Path, recordings_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = [folder / "graph.nir", "--target", "emulator", "--out", tmp_path / "out"]
    for more, message in [
        (
            ["--data", recordings_folder],
            "its frames have shape (2, 34, 34), the model's input (2, 6",
        ),
        (["--data", recordings_folder, "--steps", "1000000000"], "take fewer with --samples"),
        (["--data", tmp_path / "none"], "none: no such folder"),
    ]:
        assert main([str(a) for a in [*command, *more]]) == 2
        error = capsys.readouterr().err
        assert error.count("\n") == 1 and message in error
    with pytest.raises(SystemExit):
        main([str(a) for a in [*command, "--data", recordings_folder, "--frame-ms", "0"]])


# ---------------------------------------------------------------- the published network


@pytest.mark.long
@pytest.mark.skipif("NEUROCLIP_DATA" not in os.environ, reason="NEUROCLIP_DATA is not set")
@pytest.mark.parametrize(("target", "samples"), [("emulator", 1000), ("lava", 20)])
def test_the_published_network_on_real_recordings(
    tmp_path: Path, target: str, samples: int
) -> None:
    """Published platforms: 95.4 to 98.5 % (Pedersen et al. 2024). Scales chosen on bundled data."""
    if target == "lava":
        pytest.importorskip("lava")
    data = Path(os.environ["NEUROCLIP_DATA"])
    command = [data / "nir" / "cnn_sinabs.nir", "--data", data / "nmnist", "--samples", samples]
    more = ["--calibrate", "digits", "--target", target, "--timeout", 3000, "--out", tmp_path]
    assert main([str(a) for a in [*command, *more]]) == 0
    report = read_json(tmp_path / "report.json")
    if target == "lava":
        (pair,) = report["parity"]["pairs"]
        assert pair["registers_equal"] and pair["spikes_compared"] == 20 * 300 * 8970
        assert pair["spike_mismatches"] == pair["state_mismatches"] == 0
        return
    for key in ("float", "emulator"):
        assert report["accuracy"][key]["total"] == 1000
        assert report["accuracy"][key]["value"] >= 0.954
