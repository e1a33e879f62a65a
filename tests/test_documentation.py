"""The documentation is true: links lead somewhere, the site is built, Python runs, errors still come.

In a `console` block what a command prints is compared. `tests/test_documented_commands.py` runs the others.
"""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]
NAMES = [page.relative_to(ROOT).as_posix() for page in PAGES]
ERRORS = ROOT / "docs" / "reference" / "errors.md"


def blocks(text: str, language: str) -> list[str]:
    """The fenced blocks of a language."""
    return re.findall(rf"^```{language}\b[^\n]*\n(.*?)^```", text, re.MULTILINE | re.DOTALL)


def prose(text: str) -> str:
    """A page without its fenced blocks."""
    return re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL)


def anchors(text: str) -> set[str]:
    """The anchors of a page's headings, as the site and as code hosts make them."""
    titles = re.findall(r"^#+ (.+)$", prose(text), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).strip().replace(" ", "-") for title in titles}


@pytest.mark.parametrize("name", [*NAMES, "CHANGELOG.md"])
def test_links_lead_somewhere(name: str) -> None:
    page = ROOT / name
    links = re.findall(r"\]\(([^)\s]+)\)", prose(page.read_text(encoding="utf-8")))
    for link in links:
        if "://" in link:
            continue
        file, _, anchor = link.partition("#")
        target = (page.parent / file).resolve() if file else page
        assert target.exists(), link
        if anchor:
            assert anchor in anchors(target.read_text(encoding="utf-8")), link


def test_the_site_is_built_without_a_dead_link(tmp_path: Path) -> None:
    pytest.importorskip("mkdocs", reason="the extra 'docs' is not installed")
    command = [sys.executable, "-m", "mkdocs", "build", "--quiet", "--site-dir", str(tmp_path)]
    environment = {**os.environ, "NO_MKDOCS_2_WARNING": "1"}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    api = (tmp_path / "reference" / "api.html").read_text(encoding="utf-8")
    assert "Bring a model to a target, compare it spike for spike" in api


def test_the_readme_is_short_and_opens_with_the_two_commands() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    assert len(text.splitlines()) < 110
    assert re.findall(r"make \w+", blocks(text, "sh")[0]) == ["make demo", "make test"]


def test_the_citation_can_be_read() -> None:
    yaml = pytest.importorskip("yaml")
    said = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert {"cff-version", "message", "title", "authors", "version"} <= said.keys()
    changes = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    assert f"## {said['version']}" in changes
    assert f'version = "{said["version"]}"' in (ROOT / "pyproject.toml").read_text(encoding="utf-8")


def test_the_semantics_in_numbers() -> None:
    (block,) = blocks((ROOT / "docs/reference/semantics.md").read_text(encoding="utf-8"), "python")
    exec(block, {})


def console() -> Iterator[tuple[str, str]]:
    """(command, what it prints) of the page of errors."""
    for block in blocks(ERRORS.read_text(encoding="utf-8"), "console"):
        for part in block.split("$ ")[1:]:
            command, _, printed = part.partition("\n")
            yield command, printed


@pytest.fixture(scope="module")
def damaged(tmp_path_factory: pytest.TempPathFactory, graph_file: Path, spikes_file: Path) -> Path:
    """The folder in which the page of errors plays."""
    nir = pytest.importorskip("nir")
    folder = tmp_path_factory.mktemp("damaged")
    shutil.copy(graph_file, folder / "graph.nir")
    shutil.copy(spikes_file, folder / "spikes.npz")
    graph = nir.read(graph_file)
    graph.nodes["lif"].tau = graph.nodes["lif"].tau * 1e6
    nir.write(folder / "slow.nir", graph)
    spikes = np.load(spikes_file)["spikes"]
    np.savez(folder / "unnamed.npz", images=spikes)
    np.savez(folder / "floats.npz", spikes=spikes * 0.5)
    np.savez(folder / "narrow.npz", spikes=spikes[:, :, :5])
    (folder / "notes").mkdir()
    (folder / "notes" / "diary.txt").write_text("mine")
    (folder / "broken.dat").write_bytes(b"abc")
    steps = np.arange(50)
    np.save(folder / "events.npy", np.stack([steps, steps, steps % 30, steps % 2], 1))
    limit = '{"value": %d, "source": "made up", "assumption": false}'
    (folder / "small.json").write_text(
        '{"format": "neuroclip-chip", "version": 1, "name": "small", "description": "One core",'
        ' "extends": "loihi2", "chips": 1, "limits": {'
        f'"cores_per_chip": {limit % 1}, "neurons": {limit % 2}}}}}'
    )
    (block,) = blocks(ERRORS.read_text(encoding="utf-8"), "python")
    (folder / "mine.py").write_text(block, encoding="utf-8")
    return folder


@pytest.mark.parametrize(("command", "printed"), list(console()), ids=lambda said: said[:60])
def test_an_error_on_the_page_still_comes(
    command: str, printed: str, damaged: Path, run_here, monkeypatch, capsys
) -> None:
    if any(name in command for name in ("mine.py", "watch", "zero-shot", "evaluate")):
        for package in ("torch", "snntorch", "open_clip", "tonic", "sklearn"):
            pytest.importorskip(package)
    monkeypatch.chdir(damaged)
    before = sorted(path.name for path in damaged.iterdir())
    status = run_here(command)
    told = capsys.readouterr()
    # Newer releases of torch name their own function first.
    assert (told.out, told.err.replace("Error: addmm: ", "Error: ")) == ("", printed)
    assert status == (1 if "cores exceed" in printed else 2)
    assert sorted(path.name for path in damaged.iterdir() if path.name != "__pycache__") == before


@pytest.mark.skipif(shutil.which("make") is None, reason="there is no make")
def test_make_has_the_targets_that_are_named(tmp_path: Path) -> None:
    """Dry, so that only what they would do is told."""
    text = "\n".join(page.read_text(encoding="utf-8") for page in PAGES)
    named = set(re.findall(r"(?:^|`)make ([a-z.][a-z./-]*)", text, re.MULTILINE))
    assert {"demo", "test", "docs", ".venv/.installed"} <= named
    for target in sorted(named):
        done = subprocess.run(
            ["make", "-n", target], cwd=ROOT, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, (target, done.stderr)


def test_scripts_that_are_named_are_there() -> None:
    text = "\n".join(page.read_text(encoding="utf-8") for page in PAGES)
    named = set(re.findall(r"\b((?:examples|tests|tools)/[\w/]+\.(?:py|ipynb|sh))\b", text))
    assert len(named) > 8 and [name for name in named if not (ROOT / name).is_file()] == []
