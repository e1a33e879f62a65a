"""What a run leaves can be checked again, and whatever is changed in it is found."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from deploy.files import read_npz, write_npz
from neuroclip.commands.main import main


def test_a_run_verifies_itself(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["verify", str(run)]) == 0
    told = capsys.readouterr().out
    for claim in ("files", "data", "replay", "lowered", "mapping", "counts"):
        assert f"{claim:<9} holds: " in told


def entry(file: str, match: str) -> Callable[[Path], None]:
    """Changes one number of the first array whose name ends so."""

    def change(run: Path) -> None:
        arrays = read_npz(run / file)
        name = next(n for n in arrays if n.endswith(match))
        flat = arrays[name].reshape(-1).copy()
        flat[0] = flat[0] ^ 1 if match == "/s" else flat[0] + 2
        write_npz(run / file, arrays | {name: flat.reshape(arrays[name].shape)})

    return change


def operations(run: Path) -> None:
    report = json.loads((run / "report.json").read_text())
    report["counts"]["synaptic_ops"]["exact_total"] += 1
    (run / "report.json").write_text(json.dumps(report))


def cores(run: Path) -> None:
    text = (run / "mapping.json").read_text()
    (run / "mapping.json").write_text(text.replace('"index": 0', '"index": 9999', 1))


def labels(run: Path) -> None:
    arrays = read_npz(run / "inputs.npz")
    write_npz(run / "inputs.npz", arrays | {"labels": arrays["labels"][::-1].copy()})


@pytest.mark.parametrize(
    ("change", "fallen"),
    [
        (entry("program.npz", "/weight"), {"files", "replay", "lowered", "counts"}),
        (entry("program.npz", "/vth"), {"files", "replay", "lowered", "counts"}),
        (entry("chip_program.npz", "/weight"), {"files", "lowered"}),
        (entry("trace.npz", "/s"), {"files", "replay"}),
        (entry("trace.npz", "/v"), {"files", "replay"}),
        (labels, {"files", "data"}),
        (operations, {"counts"}),
        (cores, {"files", "mapping"}),
    ],
)
def test_whatever_is_changed_is_found(
    run: Path, capsys: pytest.CaptureFixture[str], change: Callable[[Path], None], fallen: set[str]
) -> None:
    change(run)
    assert main(["verify", str(run)]) == 1
    told = capsys.readouterr().out
    found = {line.split()[0] for line in told.splitlines() if " DOES NOT HOLD: " in line}
    assert found == fallen


def test_a_sabotaged_weight_is_found_by_every_command(
    run: Path, finished: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    main(["inspect", str(finished / "program.npz")])
    before = capsys.readouterr()
    entry("program.npz", "/weight")(run)
    assert main(["diff", str(finished), str(run)]) == 1
    told = capsys.readouterr().out
    assert told.startswith("registers: 1 of ") and "/weight at index" in told
    main(["inspect", str(run / "program.npz")])
    after = capsys.readouterr()
    assert before.out != after.out and "program.npz is not the file that the run wrote" in after.err
    assert before.err == ""
    main(["report", str(finished), str(run)])
    told = capsys.readouterr()
    assert "program.npz is not the file that the run wrote" in told.err
    rows = {line.split()[0]: line.split()[-1] for line in told.out.splitlines() if line.split()}
    assert (rows["program.npz"], rows["identity"], rows["trace.npz"]) == (
        "differs",
        "differs",
        "same",
    )


def test_programs_and_traces_are_told_apart(
    run: Path, finished: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["diff", str(finished), str(run)]) == 0
    assert main(["diff", str(finished / "program.npz"), str(run / "program.npz")]) == 0
    assert main(["diff", str(finished / "trace.npz"), str(run)]) == 0
    capsys.readouterr()
    assert main(["diff", str(finished / "trace.npz"), str(run / "program.npz")]) == 2
    assert "one holds a program, the other a trace" in capsys.readouterr().err


def test_two_equal_runs_have_one_identity(run: Path, finished: Path) -> None:
    a, b = (json.loads((f / "report.json").read_text())["evidence"] for f in (run, finished))
    assert a == b and len(a["identity"]) == 64 and set(a["files"]) >= {"program.npz", "inputs.npz"}


def test_a_run_from_before_evidence_is_not_called_verified(
    run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    report = json.loads((run / "report.json").read_text())
    del report["evidence"]
    (run / "report.json").write_text(json.dumps(report))
    (run / "inputs.npz").unlink()
    assert main(["verify", str(run)]) == 0
    told = capsys.readouterr().out
    assert "not checked: the report keeps no hashes" in told and "holds" not in told


def test_inputs_of_another_network_are_refused(run: Path, refused: Callable[..., str]) -> None:
    shutil.copy(run / "inputs.npz", run / "x.npz")
    write_npz(run / "inputs.npz", {"other": np.zeros((1, 2, 3), np.int32)})
    refused(main, "verify", run, says=("inputs.npz", "input '"))


@pytest.mark.parametrize(
    "made",
    [
        lambda x: x.reshape(-1),
        lambda x: np.array(3),
        lambda x: x[:0],
        lambda x: x[:, :0],
        lambda x: x[..., :1],
        lambda x: x * np.nan,
        lambda x: x.astype("U2"),
    ],
)
def test_inputs_of_another_shape_or_type_are_refused_by_file(
    run: Path, refused: Callable[..., str], made: Callable[[np.ndarray], np.ndarray]
) -> None:
    arrays = read_npz(run / "inputs.npz")
    write_npz(run / "inputs.npz", arrays | {"in": made(arrays["in"])})
    refused(main, "verify", run, says=("inputs.npz: input 'in'",))


def without(*path: str) -> Callable[[dict], None]:
    """Takes one entry out of a report."""

    def change(report: dict) -> None:
        for key in path[:-1]:
            report = report[key]
        del report[path[-1]]

    return change


@pytest.mark.parametrize(
    ("change", "claim"),
    [
        (without("evidence", "files", "program.npz"), "files"),
        (without("evidence", "identity"), "files"),
        (lambda r: r["evidence"].update(files=["program.npz"]), "files"),
        (lambda r: r["evidence"].update(identity="0" * 64), "files"),
        (without("counts", "spikes"), "counts"),
        (lambda r: r.update(counts=[]), "counts"),
    ],
)
def test_what_a_report_no_longer_says_does_not_hold(
    run: Path, capsys: pytest.CaptureFixture[str], change: Callable[[dict], None], claim: str
) -> None:
    report = json.loads((run / "report.json").read_text())
    change(report)
    (run / "report.json").write_text(json.dumps(report))
    assert main(["verify", str(run)]) == 1
    assert f"{claim:<9} DOES NOT HOLD" in capsys.readouterr().out


@pytest.mark.parametrize("evidence", [None, [], 1, {"files": None}])
def test_evidence_that_is_none_is_not_checked(
    run: Path, capsys: pytest.CaptureFixture[str], evidence: object
) -> None:
    report = json.loads((run / "report.json").read_text()) | {"evidence": evidence}
    (run / "report.json").write_text(json.dumps(report))
    assert main(["verify", str(run)]) == 0
    assert "files     not checked: the report keeps no hashes" in capsys.readouterr().out
