"""The same run on the workers of a cluster, and core by core: nothing in its files is different."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("nir")

import neuroclip as nc
from deploy import jobs
from deploy.files import read_npz, write_npz
from deploy.run import verify
from export.commands.main import main
from export.run import executors
from export.run.kept import FOLDER
from neuroclip.commands.main import main as neuroclip


@pytest.fixture(scope="module")
def scheduler() -> Iterator[Any]:
    """Two workers, each a process of its own as on another machine."""
    pytest.importorskip("joblib")
    distributed = pytest.importorskip("distributed")
    with distributed.LocalCluster(
        n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None
    ) as cluster:
        yield cluster


def tasks(scheduler: Any) -> list[int]:
    """What each worker was told so far, in entries of its log."""
    from distributed import Client

    with Client(scheduler) as client:
        client.wait_for_workers(2)
        return list(client.run(lambda dask_worker: len(dask_worker.state.log)).values())


def outcome(folder: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    report = json.loads((folder / "report.json").read_text())
    for varies in ("timings", "command"):
        del report[varies]
    return report, read_npz(folder / "trace.npz")


def same(a: Path, b: Path) -> bool:
    (report, trace), (expected, recorded) = outcome(a), outcome(b)
    arrays = all(np.array_equal(trace[name], recorded[name]) for name in recorded)
    return report == expected and trace.keys() == recorded.keys() and arrays


def test_on_a_cluster(
    graph_file: Path, spikes_file: Path, tmp_path: Path, scheduler: Any, monkeypatch: Any
) -> None:
    # One sample a chunk, so that there are twelve to be spread.
    monkeypatch.setattr(executors, "_CHUNK_BYTES", 1)
    command = [str(graph_file), "--data", str(spikes_file), "--target", "emulator"]
    command += ["--record-samples", "3"]
    assert main([*command, "--out", str(tmp_path / "here")]) == 0
    address = scheduler.scheduler_address.removeprefix("tcp://")
    before = tasks(scheduler)
    assert main([*command, "--workers", address, "--out", str(tmp_path / "there")]) == 0
    assert len(before) == 2 and all(np.array(tasks(scheduler)) > before)
    assert same(tmp_path / "there", tmp_path / "here")
    # What was kept there is found here.
    done: list[int] = []
    chunk = executors._chunk

    def killed(*arguments: Any) -> Any:
        if len(done) == 5:
            raise KeyboardInterrupt
        done.append(1)
        return chunk(*arguments)

    monkeypatch.setattr(executors, "_chunk", killed)
    assert main([*command, "--workers", address, "--out", str(tmp_path / "killed")]) == 130
    assert len(list((tmp_path / "killed" / FOLDER).iterdir())) == 5
    monkeypatch.setattr(executors, "_chunk", lambda *a: done.append(1) or chunk(*a))
    assert main([*command, "--resume", "--out", str(tmp_path / "killed")]) == 0
    assert len(done) == 12
    assert same(tmp_path / "killed", tmp_path / "here")


def test_a_replay_on_a_cluster(
    graph_file: Path,
    spikes_file: Path,
    tmp_path: Path,
    scheduler: Any,
    monkeypatch: Any,
    capsys: Any,
) -> None:
    out = str(tmp_path / "out")
    command = [str(graph_file), "--data", str(spikes_file), "--target", "emulator", "--out", out]
    assert main([*command, "--record-samples", "3"]) == 0
    monkeypatch.setattr(verify, "_CHUNK_BYTES", 1)
    capsys.readouterr()
    assert neuroclip(["verify", out]) == 0
    here = capsys.readouterr().out
    before = tasks(scheduler)
    assert neuroclip(["verify", out, "--workers", scheduler.scheduler_address]) == 0
    assert all(np.array(tasks(scheduler)) > before)
    assert capsys.readouterr().out == here and "replay    holds: " in here
    arrays = read_npz(tmp_path / "out" / "trace.npz")
    name = next(n for n in arrays if n.endswith("/s"))
    write_npz(tmp_path / "out" / "trace.npz", arrays | {name: 1 - arrays[name]})
    assert neuroclip(["verify", out, "--workers", scheduler.scheduler_address]) == 1
    assert "replay    DOES NOT HOLD: " in capsys.readouterr().out


def test_torch_stays_here(
    checkpoint_folder: Path, recordings_folder: Path, tmp_path: Path, scheduler: Any
) -> None:
    more = {"samples": 6, "record": "all", "seed": 1}
    data = str(checkpoint_folder), str(recordings_folder)
    here = nc.export(*data, out=tmp_path / "here", **more)
    there = nc.export(*data, out=tmp_path / "there", workers=scheduler.scheduler_address, **more)
    assert here.ok and there.ok
    assert [p["a"] for p in there.json["parity"]["pairs"]] == ["torch"]
    assert same(tmp_path / "there", tmp_path / "here")


def test_what_cannot_be_spread(
    graph_file: Path, spikes_file: Path, tmp_path: Path, refused: Any, monkeypatch: Any
) -> None:
    command = [graph_file, "--data", spikes_file, "--out", tmp_path / "out", "--target"]
    for option in (["--workers", "host:1"], ["--by-core"]):
        refused(main, *command, "nir", *option, says=(option[0], "target 'nir' runs nothing"))
    for missing in ("joblib", "distributed"):
        monkeypatch.setattr(
            jobs, "find_spec", lambda name, lost=missing: None if name == lost else 1
        )
        says = ("workers host:1", f"{missing} is not installed")
        refused(main, *command, "emulator", "--workers", "host:1", says=says)


def test_a_scheduler_that_does_not_answer(
    graph_file: Path, spikes_file: Path, tmp_path: Path, refused: Any, monkeypatch: Any
) -> None:
    pytest.importorskip("distributed")
    monkeypatch.setattr(jobs, "_ANSWER_S", 0.2)
    command = [graph_file, "--data", spikes_file, "--target", "emulator", "--out", tmp_path / "out"]
    for address in ("127.0.0.1:9", "no address", "ftp://x:1"):
        refused(main, *command, "--workers", address, says=(f"workers {address}",))


def test_core_by_core(
    graph_file: Path, spikes_file: Path, tmp_path: Path, monkeypatch: Any, capsys: Any
) -> None:
    command = [str(graph_file), "--data", str(spikes_file), "--target", "emulator", "--by-core"]
    command += ["--record-samples", "5", "--out", str(tmp_path / "out")]
    assert main(command) == 0
    (pair,) = json.loads((tmp_path / "out" / "report.json").read_text())["parity"]["pairs"]
    assert (pair["a"], pair["b"], pair["ok"]) == ("emulator", "by-core", True)
    assert pair["registers_equal"] is None  # the cores hold none of their own to read back
    assert pair["samples"] == 5 and pair["spikes_compared"] and pair["states_compared"]
    assert "emulator = by-core" in capsys.readouterr().out
    emulate_mapped = executors.emulate_mapped

    def sabotaged(*arguments: Any) -> Any:
        run = emulate_mapped(*arguments)
        run.trace.v["sum"][2, 3, 0] += 1
        return run

    monkeypatch.setattr(executors, "emulate_mapped", sabotaged)
    assert main(command) == 1
    said = capsys.readouterr().err
    assert "emulator ≠ by-core" in said and "node sum" in said and "step 3" in said
