"""`neuroclip inspect` of a mapping: what lives where, by hand; what a file is, its content says."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from deploy.hardware.chip import load_chip
from deploy.hardware.mapping import Core, Mapping, Place, Slice, load_mapping, save_mapping
from deploy.hardware.mesh import distances, placed
from deploy.map.partition import partition
from deploy.program.file import save_program
from deploy.program.program import Dense, Output, Program, make_input, make_population
from neuroclip.commands.main import main

CHIP = load_chip("loihi2")


def network() -> Program:
    """Four inputs to six neurons to two, all to all."""
    return Program(
        (make_input("frames", (2, 2), 0, 1),),
        (make_population("hidden", (6,), vth=3), make_population("scores", (2,), vth=2)),
        (
            Dense("fc1", "frames", "hidden", np.full((6, 4), 2, np.int32)),
            Dense("fc2", "hidden", "scores", np.full((2, 6), 2, np.int32)),
        ),
        (Output("out", "scores", "s"),),
    )


def by_hand() -> Mapping:
    """Hidden neurons on cores 0 and 9, scores on core 9 beside two of them."""
    cores = (
        Core(0, (Slice("hidden", 0, 4),)),
        Core(9, (Slice("hidden", 4, 6), Slice("scores", 0, 2))),
    )
    return placed(CHIP, Mapping("loihi2", cores))


def lines(text: str) -> list[list[str]]:
    return [line.split() for line in text.splitlines()]


def test_what_lives_where(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    mapping = by_hand()
    save_mapping(tmp_path / "any.name", mapping)
    assert main(["inspect", str(tmp_path / "any.name")]) == 0
    told = capsys.readouterr().out
    assert told.startswith("2 of 120 cores of loihi2, on 1 chip\n")
    shown = lines(told)
    assert ["hidden", "6", "2", "2..4"] in shown and ["scores", "2", "1", "2..2"] in shown
    at = mapping.cores[1].place
    assert at is not None and (at.x, at.y) != (0, 0)
    assert ["0", "0", "0,", "0", "4", "hidden", "4"] in shown
    assert f"9 0 {at.x}, {at.y} 4 hidden 2, scores 2".split() in shown
    assert "hops" not in told and "rules" not in told


def test_the_ways_of_messages_where_the_program_lies_beside(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    save_program(tmp_path / "program.npz", network())
    save_mapping(tmp_path / "mapping.json", by_hand())
    assert main(["inspect", str(tmp_path / "mapping.json")]) == 0
    told = capsys.readouterr().out
    # Inputs send to both cores; the four hidden neurons of core 0 to core 9, the two there stay.
    far = int(distances(CHIP, [0, 9]).hops[0, 1])
    assert ["frames", "8"] in lines(told)
    assert f"hidden 4 {4 * far} {far:.2f} 0".split() in lines(told)
    assert "all are kept" in told


def test_a_broken_rule_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    save_program(tmp_path / "program.npz", network())
    mapping = by_hand()
    lost = replace(mapping, cores=mapping.cores[:1])
    strange = replace(mapping, cores=(*mapping.cores, Core(3, (Slice("nobody", 0, 5),))))
    moved = replace(
        mapping, cores=(replace(mapping.cores[0], place=Place(0, 7, 7)), *mapping.cores[1:])
    )
    for bad, says in ((lost, "hidden"), (strange, "nobody"), (moved, "core 0")):
        save_mapping(tmp_path / "mapping.json", bad)
        assert main(["inspect", str(tmp_path / "mapping.json")]) == 1
        assert says in capsys.readouterr().out.split("rules")[1]


def test_a_run_folder_is_both(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    program = network()
    save_program(tmp_path / "program.npz", program)
    save_mapping(tmp_path / "mapping.json", partition(program, CHIP))
    assert main(["inspect", str(tmp_path)]) == 0
    both = capsys.readouterr().out
    assert main(["inspect", str(tmp_path / "program.npz")]) == 0
    alone = capsys.readouterr().out
    assert main(["inspect", str(tmp_path / "mapping.json")]) == 0
    assert both == alone + "\n" + capsys.readouterr().out
    (tmp_path / "mapping.json").rename(tmp_path / "program")
    (tmp_path / "program.npz").rename(tmp_path / "mapping.json")
    assert main(["inspect", str(tmp_path / "mapping.json")]) == 0
    assert capsys.readouterr().out == alone


def test_random_mappings_are_counted_whole(tmp_path, capsys, random_program) -> None:
    for number in range(4):
        program = random_program(number)
        save_mapping(tmp_path / "m.json", partition(program, CHIP, seed=number))
        mapping = load_mapping(tmp_path / "m.json")
        assert main(["inspect", str(tmp_path / "m.json")]) == 0
        shown = {words[0]: words[1:] for words in lines(capsys.readouterr().out) if words}
        for p in program.populations:
            assert shown[p.name][:2] == [str(p.size), str(len(mapping.cores_of(p.name)))]


def test_a_chip_of_ones_own(tmp_path, capsys, refused) -> None:
    save_mapping(tmp_path / "mapping.json", replace(by_hand(), chip="mine"))
    assert main(["inspect", str(tmp_path / "mapping.json")]) == 0
    assert capsys.readouterr().out.startswith("2 cores of mine, on 1 chip\n")
    refused(main, "inspect", tmp_path / "mapping.json", "--chip", "none", says=["none"])
    save_program(tmp_path / "program.npz", network())
    assert main(["inspect", str(tmp_path / "mapping.json"), "--chip", "loihi2"]) == 1
    assert "mine" in capsys.readouterr().out


def test_what_is_neither_is_refused_by_name(tmp_path, refused) -> None:
    np.savez(tmp_path / "trace.npz", **{"a/s": np.zeros((1, 2, 3), np.uint8)})
    files = {
        "text": b"text", "empty": b"", "half.npz": b"PK\x03\x04", "list.json": b"[]", "odd.json": b"{",
        "report.json": json.dumps({"schema": 1}).encode(),
        "config.json": json.dumps({"format": "spikeclip", "version": 1}).encode(),
    }  # fmt: skip
    for name, content in files.items():
        (tmp_path / name).write_bytes(content)
    for name in (*files, "trace.npz", "nowhere"):
        refused(main, "inspect", tmp_path / name, says=[tmp_path / name])
    (tmp_path / "folder").mkdir()
    refused(main, "inspect", tmp_path / "folder", says=["not the folder of a run"])
