"""The command of the papers' differences: what each row of its tables differs in, and its arithmetic."""

import json
import runpy
from dataclasses import asdict
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

pytest.importorskip("torch")
for package in ("snntorch", "open_clip"):
    pytest.importorskip(package)

from neuroclip.spikeclip.training.settings import read_settings

tool = SimpleNamespace(
    **runpy.run_path(str(Path(__file__).parents[1] / "tools" / "differences.py"))
)


def settings(tmp_path: Path, name: str) -> dict:
    path = tmp_path / "settings.json"
    path.write_text(json.dumps(tool.encoder_settings(name, None)))
    return asdict(read_settings(str(path)))


def test_each_row_is_our_training_with_one_thing_of_the_authors(tmp_path: Path) -> None:
    base, published = settings(tmp_path, tool.OURS), settings(tmp_path, tool.ALL)
    ours = settings(tmp_path, tool.LAYERS)
    assert base | {"model": ours["model"]} == ours
    assert base["model"] == ours["model"] | {"variant": "paper"}
    moved: dict[str, set[str]] = {"model": set(), "recipe": set(), "text": set()}
    for name in list(tool.ENCODERS)[1:]:
        row = settings(tmp_path, name)
        differs = {
            (part, key)
            for part in moved
            for key, value in row[part].items()
            if value != base[part][key]
        }
        assert 1 <= len(differs) <= 2
        for part, key in differs:
            assert row[part][key] == published[part][key], (name, key)
            moved[part].add(key)
        assert {k: v for k, v in row.items() if k not in moved} == {
            k: v for k, v in base.items() if k not in moved
        }
    assert moved == {
        "model": {"pixels", "by_224", "detached_reset"},
        "recipe": {"temperature", "summed_kl", "averaged_texts", "own_texts", "amsgrad"},
        "text": {"norm", "trained_embeddings"},
    }


def test_the_table_is_paired_with_its_first_row() -> None:
    right = {"first": [np.arange(100) < 70], "second": [np.arange(100) < 75]}
    lines = tool.table(right).splitlines()
    assert lines[2] == "| first | 70.0 |  |" and lines[3].startswith("| second | 75.0 | +5.0 [+")


@pytest.mark.long
def test_the_command_trains_every_row(capsys: pytest.CaptureFixture) -> None:
    assert tool.main(["neuroclip", "--seeds", "1", "--epochs", "1"]) == 0
    assert capsys.readouterr().out.count("\n| ") == 12
