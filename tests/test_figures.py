"""docs/figures.md can be read, and a figure outside its interval is found."""

import importlib.util
import json
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[1]


@pytest.fixture
def tool(monkeypatch: pytest.MonkeyPatch) -> Any:
    spec = importlib.util.spec_from_file_location("figures", ROOT / "tools" / "figures.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "figures", module)
    spec.loader.exec_module(module)
    return module


def test_every_row_has_a_command_a_key_and_an_interval(tool: Any) -> None:
    rows = tool.figures((ROOT / "docs" / "figures.md").read_text(encoding="utf-8"))
    assert len(rows) >= 16 and len({row.command for row in rows}) == 2
    assert all(row.low <= row.high and row.key and "neuroclip" in row.command for row in rows)


def test_a_figure_that_left_its_interval_fails(
    tool: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    table = tmp_path / "figures.md"
    row = "| cores | 2 | 2 – {} | `run --target emulator` | `cores.used` | README | today |\n"
    report = {"cores": {"used": 3}}

    def ran(command: list[str], **_: Any) -> Any:
        Path(command[-1], "report.json").write_text(json.dumps(report))
        return type("Done", (), {"returncode": 0})

    monkeypatch.setattr(tool, "TABLE", table)
    monkeypatch.setattr(tool.subprocess, "run", ran)
    for high, status in ((2, 1), (3, 0)):
        table.write_text(row.format(high), encoding="utf-8")
        assert tool.main() == status
    assert "LEFT cores: 3" in capsys.readouterr().out
    table.write_text(row.format("x"), encoding="utf-8")
    with pytest.raises(ValueError, match="'cores': no interval"):
        tool.main()
