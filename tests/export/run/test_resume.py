"""A killed export goes on where it stopped; what it keeps meanwhile goes when it has ended."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from deploy.emulate.reference import emulate
from deploy.files import read_npz
from deploy.program.pipeline_latency import latency_steps
from deploy.program.program import registers
from export.commands.main import main
from export.run import executors
from export.run.kept import FOLDER
from export.targets.lava import client

pytest.importorskip("nir")


class Killed(BaseException):
    """What no handler of the tool catches, as it catches no SIGKILL."""


@pytest.fixture
def run(graph_file: Path, spikes_file: Path, tmp_path: Path, monkeypatch: Any) -> Any:
    """Exports 12 samples in chunks of one; returns how many chunks the emulator ran."""
    monkeypatch.setattr(executors, "_CHUNK_BYTES", 1)
    emulate, ran = executors.emulated, []

    def export(*more: str, out: str = "out", killed_after: int | None = None) -> int:
        def counted(*arguments: Any, **options: Any) -> Any:
            if len(ran) == killed_after:
                raise Killed
            ran.append(1)
            export.asked.append(options.get("record", "all"))
            return emulate(*arguments, **options)

        monkeypatch.setattr(executors, "emulated", counted)
        ran.clear()
        command = [str(graph_file), "--data", str(spikes_file), "--target", "emulator"]
        try:
            assert main([*command, "--out", str(tmp_path / out), *more]) == 0
        except Killed:
            assert killed_after is not None
        return len(ran)

    export.asked = []
    return export


def outcome(folder: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    report = json.loads((folder / "report.json").read_text())
    for varies in ("timings", "command"):
        del report[varies]
    return report, read_npz(folder / "trace.npz")


def test_a_killed_run_goes_on_where_it_stopped(run: Any, tmp_path: Path) -> None:
    assert run(out="whole") == 12
    assert run(killed_after=5) == 5
    kept = tmp_path / "out" / FOLDER
    assert len(list(kept.iterdir())) == 5 and not (tmp_path / "out" / "report.json").exists()
    (kept / "000000002.npz").write_bytes(b"damaged")
    assert run("--resume") == 12 - 4
    assert not kept.exists()
    (report, trace), (expected, recorded) = outcome(tmp_path / "out"), outcome(tmp_path / "whole")
    assert report == expected
    assert trace.keys() == recorded.keys()
    assert all(np.array_equal(trace[name], recorded[name]) for name in trace)


def test_what_an_executor_checked_itself_is_of_all_chunks(
    run: Any, tmp_path: Path, monkeypatch: Any
) -> None:
    """Those that ran before the run was killed, too."""

    def simulated(program: Any, inputs: Any, **_: Any) -> client.LavaRun:
        trace = emulate(program, inputs)
        checked = {program.connections[0].name: 7 * trace.samples}
        return client.LavaRun(trace, registers(program), latency_steps(program), {}, {}, checked)

    monkeypatch.setattr(client, "run_lava", simulated)
    assert run("--target", "lava", out="whole") == 12
    assert run("--target", "lava", killed_after=5) == 5
    assert run("--target", "lava", "--resume") == 12 - 5
    for out in ("whole", "out"):
        report = json.loads((tmp_path / out / "report.json").read_text())
        assert report["lava"]["sums_checked"] == 7 * 12


def test_without_resume_or_with_other_data_all_runs_again(run: Any, tmp_path: Path) -> None:
    assert run(killed_after=5) == 5
    assert run() == 12
    assert run(killed_after=5, out="other") == 5
    assert run("--resume", "--samples", "9", out="other") == 9


def test_alone_the_emulator_records_only_what_is_asked(run: Any, tmp_path: Path) -> None:
    """Beyond the samples to record, it keeps the messages of the output alone."""
    assert run("--record-samples", "3", "--record", "all") == 12
    assert run.asked == ["all"] * 3 + ["spikes"] * 9
    trace = read_npz(tmp_path / "out" / "trace.npz")
    assert {len(array) for array in trace.values()} == {3}
    few, _ = outcome(tmp_path / "out")
    assert run(out="whole") == 12
    all_of_it, _ = outcome(tmp_path / "whole")
    # Times are summed in another order; recordings, and what is compared with them, are of some samples.
    assert few["alone_range_s"] == pytest.approx(all_of_it["alone_range_s"], rel=1e-12)
    for found in (few, all_of_it):
        for name in ("latency", "latency_range_s", "alone_range_s", "lowered", "evidence"):
            assert found.pop(name)
    assert few == all_of_it
