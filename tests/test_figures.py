"""docs/figures.md can be read, and a figure outside its interval is found."""

import importlib.util
import json
import re
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[1]
OURS = "neuroclip", "python tests/benchmarks/"


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
    assert len(rows) >= 16 and len({row.command for row in rows}) >= 7
    assert all(row.low <= row.high and row.key and row.command.startswith(OURS) for row in rows)


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

    def told(command: list[str], **_: Any) -> Any:
        assert "--out" not in command
        return type("Done", (), {"returncode": 0, "stdout": "float   1 234.5 % of\n"})

    monkeypatch.setattr(tool.subprocess, "run", told)
    line = "| float | 1 | 1234 – {} | `run` | `printed: float +([0-9. ]+) %` | README | today |\n"
    for high, status in (("1234.4", 1), ("1 234.6", 0)):
        table.write_text(line.format(high), encoding="utf-8")
        assert tool.main() == status
    assert "ok   float: 1234.5" in capsys.readouterr().out
    table.write_text(line.format(2).replace("float +", "chip +"), encoding="utf-8")
    with pytest.raises(ValueError, match="nothing printed fits 'printed: chip"):
        tool.main()
    table.write_text(row.format("x"), encoding="utf-8")
    with pytest.raises(ValueError, match="'cores': no interval"):
        tool.main()


# What counts as a figure: a number with one of these behind it, or with decimals.
UNIT = re.compile(
    r"[ \u00a0]?(?:%|[npµm]?J\b|[npµm]s\b|s\b|×|synaptic\b|million\b|steps a second|[kKMG]i?B\b|"
    r"(?:second|minute|hour|core|packet|spike|state|point|image|sample|recording|chip|neuron|synapse|operation|"
    r"hop|value|network|sum|line|time)s?\b)"
)
NUMBER = re.compile(r"(?<![\w.^/:#-])[−+±-]?\d+(?: \d{3})*(?:\.\d+)?(?:e-?\d+)?[¼½¾]?(?![\w.]*\w)")
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]


def slug(title: str) -> str:
    """The anchor of a heading."""
    return re.sub(r"[^\w\- ]", "", title.lower()).strip().replace(" ", "-")


def figures_of(text: str) -> list[tuple[str, str, str]]:
    """(number, section, head of its table or nothing) of every figure on a page."""
    text = re.sub(r"^(```|~~~).*?^\1", "", text, flags=re.MULTILINE | re.DOTALL)
    text = re.sub(r"^    .*$", "", text, flags=re.MULTILINE)
    text = re.sub(r"`[^`]*`", "``", text)
    text = re.sub(r"\]\([^)]*\)", "]", text)
    found, section = [], ""
    for block in re.split(r"\n\s*\n|\n(?=\||#)(?<!\|\n)", text):
        if block.startswith("#"):
            section = slug(block.splitlines()[0].lstrip("#"))
        head = block.splitlines()[0] if block.startswith("|") else ""
        flat = re.sub(r"\s+", " ", block)
        found += [
            (match.group().lstrip("−+±-"), section, head)
            for match in NUMBER.finditer(flat)
            if UNIT.match(flat[match.end() :]) or "." in match.group()
        ]
    return found


def rows_of(text: str) -> list[list[str]]:
    """The cells of every row of every table of docs/figures.md."""
    lines = [line for line in text.splitlines() if line.startswith("| ")]
    return [[cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]] for line in lines]


def without_a_row(page: str, text: str, table: str) -> list[str]:
    """The figures of a page that no row of the table of figures has: "number (section)"."""
    numbers: set[str] = set()
    sections: set[str] = set()
    heads: list[str] = []
    everything = False
    for cells in rows_of(table):
        # | figure | value | from – to, or how long | command | key or file | said in | measured |
        # | given | numbers | said in |
        name, value = cells[0], cells[1]
        for place in cells[5 if len(cells) == 7 else 2].split(", "):
            where, _, anchor = place.partition("#")
            if page not in (where, f"{where}.md"):
                continue
            if anchor:
                sections.add(anchor)
            elif value == "all":
                everything = True
            elif name.startswith("table "):
                heads.append(name.removeprefix("table ").strip('"'))
            else:
                flat = NUMBER.findall(value)
                numbers.update(number.lstrip("−+±-") for number in flat)
    return [
        f"{number} ({section or 'top'})"
        for number, section, head in figures_of(text)
        if not everything
        and section not in sections
        and number not in numbers
        and not any(each in head for each in heads)
    ]


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.relative_to(ROOT).as_posix())
def test_every_number_has_a_row(page: Path) -> None:
    name = page.relative_to(ROOT).as_posix()
    if name == "docs/figures.md":
        return
    table = (ROOT / "docs" / "figures.md").read_text(encoding="utf-8")
    missing = without_a_row(name, page.read_text(encoding="utf-8"), table)
    assert not missing, f"{name}: no row of docs/figures.md has {', '.join(missing)}"


def test_a_number_without_a_row_is_found() -> None:
    """In prose and in tables; of another page, another section, in code, or a bare count, it is none."""
    table = (
        "| demo: energy | 457 nJ; 2 cores | 1 – 2 | `run` | `e` | docs/a.md | today |\n"
        '| table "shots" | 3 numbers | an hour | `run` | f | docs/a.md | today |\n'
        "| section | all | hours | `run` | f | docs/a.md#what-was-tried | today |\n"
        "| given | 95 % | docs/b.md |\n"
    )
    page = (
        "# A\nIt takes 457 nJ on 2 cores, `9.9 nJ`, for 10 classes; not 458 nJ.\n\n"
        "| shots | 1 |\n| --- | --- |\n| a | 61.5 % |\n\n"
        "| other | 1 |\n| --- | --- |\n| a | 62.5 ± 1 |\n\n"
        "## What was tried\n1.58 and 7 %\n\n## Rest\n95 % and 1 234 spikes, 3.9×\n"
    )
    missing = ["458 (a)", "62.5 (a)", "95 (rest)", "1 234 (rest)", "3.9 (rest)"]
    assert without_a_row("docs/a.md", page, table) == missing
