"""How the packages are arranged: floors of folders, each small, and ways to add to them."""

import ast
import re
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PATHS = [
    path
    for package in ("deploy", "neuroclip", "export")
    for path in sorted((ROOT / package).rglob("*.py"))
]
FOLDERS = sorted({path.parent for path in PATHS})
# What one look can take in.
MAX_LINES, MAX_FILES = 500, 15
# The one door for Python reaches, when a name is first used, what stands above it.
FACADE = ROOT / "neuroclip" / "__init__.py"


def relative(path):
    return path.relative_to(ROOT).as_posix()


def module_of(path):
    """The dotted name of a file: `deploy.files` of deploy/files.py, `deploy` of deploy/__init__.py."""
    return relative(path).removesuffix(".py").removesuffix("/__init__").replace("/", ".")


MODULES = {module_of(path): path for path in PATHS}


def modules_imported(path):
    """The modules of ours that a file imports, inside functions too."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"), str(path))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            inner = {f"{node.module}.{alias.name}" for alias in node.names}
            found |= inner & MODULES.keys() or {node.module}
    return found & MODULES.keys()


def test_no_folders_import_each_other():
    imports = {folder: set() for folder in FOLDERS}
    for path in PATHS:
        if path != FACADE:
            imports[path.parent] |= {MODULES[m].parent for m in modules_imported(path)} - {
                path.parent
            }
    try:
        tuple(TopologicalSorter(imports).static_order())
    except CycleError as error:
        pytest.fail(" imports ".join(relative(folder) for folder in reversed(error.args[1])))


@pytest.mark.parametrize("folder", FOLDERS, ids=relative)
def test_a_folder_says_what_lives_there_what_goes_in_and_what_comes_out(folder):
    said = ast.get_docstring(ast.parse((folder / "__init__.py").read_text(encoding="utf-8"))) or ""
    if folder != FACADE.parent:
        assert re.search(r"^In: .+ Out: .+", said.replace("\n", " \n"), re.DOTALL | re.MULTILINE), (
            said
        )


@pytest.mark.parametrize("folder", FOLDERS, ids=relative)
def test_a_folder_is_taken_in_at_a_glance(folder):
    files = [path.name for path in folder.iterdir() if path.is_file()]
    assert len(files) <= MAX_FILES, files


@pytest.mark.parametrize("path", PATHS, ids=relative)
def test_a_file_is_not_to_be_feared(path):
    assert len(path.read_text(encoding="utf-8").splitlines()) <= MAX_LINES


def test_what_contributing_says_to_add_and_to_look_at_is_there():
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    rows = text.split("## I want to add")[1].split("\n## ")[0].split("| --- |")[-1].splitlines()[1:]
    rows = [row for row in rows if row.startswith("|")]
    assert len(rows) >= 8
    for row in rows:
        named = re.findall(r"`((?:deploy|neuroclip|export|examples|tests|docs)/[\w./]*)`", row)
        assert len(named) >= 2, row
        assert [name for name in named if not (ROOT / name).exists()] == []
