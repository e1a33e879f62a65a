"""SANA-FE counts our traffic as we do: random programs on random mappings, and what it refuses."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from deploy.emulate.reference import emulate
from deploy.errors import BadInput, CheckFailed
from deploy.hardware.chip import load_chip
from deploy.hardware.mapping import Core, Mapping, Slice
from deploy.program.program import Dense, Program, make_input, make_population
from export.commands.main import main
from export.targets.sanafe import check, cross_check, files

CHIP = load_chip("kapoho-point")


def mapped(rng: np.random.Generator, program: Program) -> Mapping:
    """Parts of the populations on some cores of the first routers, several on one core at times."""
    held: dict[int, list[Slice]] = {}
    for p in program.populations:
        cut = int(rng.integers(0, p.size))
        for a, b in ((0, cut), (cut, p.size)):
            if b > a:
                held.setdefault(int(rng.choice([0, 1, 5, 34, 127])), []).append(Slice(p.name, a, b))
    return Mapping(CHIP.name, tuple(Core(i, tuple(parts)) for i, parts in held.items()))


def recorded(program: Program, seed: int) -> dict[str, Any]:
    rng = np.random.default_rng(seed)
    inputs = {n.name: rng.integers(n.low, n.high + 1, (3, 7, *n.shape)) for n in program.inputs}
    return {**inputs, **emulate(program, inputs, "spikes").s}


@pytest.mark.parametrize("seed", range(12))
def test_the_counts_are_equal(
    random_program: Callable[..., Program], tmp_path: Path, seed: int
) -> None:
    pytest.importorskip("sanafe", reason="sanafe is not installed (extra 'oracles')")
    program = random_program(seed)
    found = cross_check(
        tmp_path,
        program,
        CHIP,
        mapped(np.random.default_rng(seed), program),
        recorded(program, seed),
    )
    assert found["ok"] is True, found["counts"]
    assert {row["quantity"] for row in found["counts"]} >= {"hops between cores"}
    assert found["samples"] == 3 and found["version"]
    energy = found["energy"]
    assert energy["sanafe_j"] == pytest.approx(energy["by_its_rules_j"], rel=1e-9)
    assert found["latency"]["sanafe_s"] > 0
    json.dumps(found, allow_nan=False)


def small() -> tuple[Program, Mapping, dict[str, Any]]:
    program = Program(
        (make_input("x", (2,), -3, 3),),
        (make_population("a b", (2,), vth=1), make_population("c", (1,), vth=1)),
        (
            Dense("xa", "x", "a b", np.array([[2, 0], [4, 6]], np.int32)),
            Dense("ac", "a b", "c", np.array([[2, 0]], np.int32), delay=1),
        ),
        (),
    )
    mapping = Mapping(CHIP.name, (Core(0, (Slice("a b", 0, 2),)), Core(36, (Slice("c", 0, 1),))))
    sent = {"x": np.array([[[3, 0], [1, 1]]])}
    return program, mapping, {**sent, **emulate(program, sent, "spikes").s}


def test_energy_and_packets_by_hand(tmp_path: Path) -> None:
    pytest.importorskip("sanafe", reason="sanafe is not installed (extra 'oracles')")
    program, mapping, sent = small()
    assert sent["a b"].tolist() == [[[1, 1], [1, 1]]]
    assert sent["c"].tolist() == [[[0], [1]]]
    found = cross_check(tmp_path, program, CHIP, mapping, sent)
    assert found["ok"]
    rows = {row["quantity"]: row["ours"] for row in found["counts"]}
    assert rows["spikes and input messages"] == 3 + 4 + 1
    assert rows["synaptic operations, zero weights included"] == 3 * 2 + 4
    assert rows["packets to other cores"] == rows["packets, own core included"] == 3 + 4
    assert rows["hops between cores"] == 4 * 2
    pj = 1e-12
    # 10 operations; 6 updates of which 5 fire; 7 packets out; 8 hops of the cores, and the host at
    # (2, 0) is 2 hops from core 0.
    joules = found["energy"]["joules"]
    assert joules["synapse"] == pytest.approx(10 * 35.5 * pj)
    assert joules["soma"] == pytest.approx((6 * 51.2 + 5 * (21.6 + 69.3)) * pj)
    assert found["energy"]["host_hops_j"] == pytest.approx(3 * 2 * 3.0 * pj)
    assert joules["network"] == pytest.approx((7 * 111 + 4 * (3.0 + 4.2) + 18) * pj)
    assert found["energy"]["own_core_j"] == 0
    assert found["energy"]["sanafe_j"] == pytest.approx(sum(joules.values()))


def test_the_files_say_what_they_are(tmp_path: Path) -> None:
    program, mapping, sent = small()
    where = files.write_sanafe(tmp_path, program, CHIP, mapping, sent)
    assert where.of == {0: "0.0", 36: "3.0"} and where.host == "4.0"
    network = (tmp_path / files.NETWORK).read_text(encoding="utf-8")
    assert "g1 'a b'" in network and "- 0: [spikes: [1,1]]" in network
    assert '- g2.0: [core: 3.0, soma: "train[0]"]' in network
    assert network.count(" -> ") == 6
    assert "width: 3\n    height: 2" in (tmp_path / files.ARCHITECTURE).read_text(encoding="utf-8")


def test_a_miscount_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("sanafe", reason="sanafe is not installed (extra 'oracles')")
    program, mapping, sent = small()
    elsewhere = Mapping(CHIP.name, (mapping.cores[0], Core(1, mapping.cores[1].slices)))
    write = files.write_sanafe

    def misplaced(folder: Path, program: Program, chip: Any, _: Any, sent: Any) -> Any:
        write(folder, program, chip, elsewhere, sent)
        return files.places(chip, mapping)

    monkeypatch.setattr(check, "write_sanafe", misplaced)
    found = cross_check(tmp_path, program, CHIP, mapping, sent)
    assert found["ok"] is False
    wrong = {row["quantity"] for row in found["counts"] if not row["equal"]}
    assert "hops between cores" in wrong and "pairs of cores with packets" in wrong
    assert "spikes and input messages" not in wrong


def test_without_sanafe_the_files_are_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(check, "find_spec", lambda name: None)
    found = cross_check(tmp_path, *(small()[0], CHIP, *small()[1:]))
    assert found["ok"] is None and "not installed" in found["why"]
    assert (tmp_path / files.NETWORK).is_file() and (tmp_path / files.ARCHITECTURE).is_file()


def test_what_sanafe_cannot_list_is_refused_by_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(files, "MAX_SYNAPSES", 3)
    program, mapping, sent = small()
    with pytest.raises(BadInput, match="node 'xa': 4 synapses exceed the 3"):
        files.write_sanafe(tmp_path, program, CHIP, mapping, sent)
    assert list(tmp_path.iterdir()) == []


def test_a_crash_of_sanafe_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("sanafe", reason="sanafe is not installed (extra 'oracles')")
    program, mapping, sent = small()
    monkeypatch.setattr(files, "BARRIER", "[")
    with pytest.raises(CheckFailed, match="SANA-FE ended with status"):
        cross_check(tmp_path, program, CHIP, mapping, sent)


def test_without_a_recording_there_is_nothing_to_run(tmp_path: Path) -> None:
    program, mapping, sent = small()
    none = {name: array[:0] for name, array in sent.items()}
    with pytest.raises(BadInput, match="no sample was recorded"):
        cross_check(tmp_path, program, CHIP, mapping, none)


def test_the_command_checks_against_sanafe(
    graph_file: Path, spikes_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("sanafe", reason="sanafe is not installed (extra 'oracles')")
    own = tmp_path / "mine.json"
    each = {"value": 2, "unit": "nJ", "source": "measured", "assumption": False}
    described = {"format": "neuroclip-coefficients", "version": 1, "name": "mine", "source": "own"}
    described |= {"zero_weights": False, "coefficients": {"synapse_ac": each, "synapse_mac": each}}
    own.write_text(json.dumps(described))
    out = tmp_path / "out"
    command = [str(graph_file), "--data", str(spikes_file), "--target", "sanafe", "--out", str(out)]
    assert main([*command, "--coefficients", str(own)]) == 0
    report = json.loads((out / "report.json").read_text())
    assert report["sanafe"]["ok"] is True and report["sanafe"]["samples"] == 12
    assert {"sanafe_architecture.yaml", "sanafe_network.yaml"} <= {p.name for p in out.iterdir()}
    # One's own set stands beside the bundled ones: a figure of one set alone is never shown.
    sets = [entry["coefficients"] for entry in report["energy"]]
    assert sets == ["mine", "horowitz45nm", "loihi1-davies2018", "loihi1-sanafe"]
    assert report["latency_range_s"][0] > 0 and report["traffic"]["columns"] >= 1
    steps = report["counts"]["per_step"]["synaptic_ops"]
    assert sum(steps) == pytest.approx(report["counts"]["synaptic_ops"]["total"])
    assert "it counts as we do" in capsys.readouterr().out
    page = (out / "report.html").read_text(encoding="utf-8")
    assert 'id="traffic"' in page and 'id="crosscheck"' in page


def test_a_run_that_sanafe_counts_otherwise_fails(
    graph_file: Path,
    spikes_file: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pytest.importorskip("sanafe", reason="sanafe is not installed (extra 'oracles')")
    run = check._run

    def one_more(*arguments: Any) -> Any:
        found = run(*arguments)
        found["sent"] += 1
        return found

    monkeypatch.setattr(check, "_run", one_more)
    command = [str(graph_file), "--data", str(spikes_file), "--target", "sanafe"]
    assert main([*command, "--out", str(tmp_path / "out")]) == 1
    assert json.loads((tmp_path / "out" / "report.json").read_text())["ok"] is False
    assert "packets, own core included" in capsys.readouterr().err
