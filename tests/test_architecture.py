"""How the packages are arranged: who may import whom, what an import costs, small folders on floors, tables
in place of ladders, ways to add to them, and what no file of this repository may contain.
"""

import ast
import re
import shutil
import subprocess
import sys
from functools import cache
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

import deploy.connections
import deploy.neurons
from export.frontends.table import BUILT_IN as FRONTENDS
from export.targets.table import BUILT_IN as TARGETS

ROOT = Path(__file__).parents[1]
PACKAGES = ("deploy", "neuroclip", "export")
FILES = {
    package: [
        path for path in sorted((ROOT / package).rglob("*.py")) if "__pycache__" not in path.parts
    ]
    for package in PACKAGES
}
ALL_FILES = [path for files in FILES.values() for path in files]
FOLDERS = sorted({path.parent for path in ALL_FILES})
# What one look can take in.
MAX_LINES, MAX_FILES = 500, 15
# The one door for Python reaches, when a name is first used, what stands above it.
FACADE = ROOT / "neuroclip" / "__init__.py"

LEARNING = {"torch", "torchvision", "snntorch", "open_clip", "nirtorch", "tonic", "safetensors"}
# All that `deploy` may use besides the standard library.
DEPLOY_USES = {"numpy", "tqdm", "msgspec", "jinja2"}
# Optional libraries, each in one file, which is imported, or imports it, only where it is installed.
OPTIONAL = {
    "deploy/command.py": {"shtab"},
    "deploy/emulate/fast/kernels.py": {"numba", "llvmlite"},
    "deploy/emulate/fast/neuron_kernels.py": {"numba", "llvmlite"},
    "deploy/emulate/fast/sum_kernels.py": {"numba", "llvmlite"},
    "deploy/compiled.py": {"numba"},
    "deploy/emulate/edge_kernel.py": {"numba"},
    "deploy/map/improve/anneal_kernel.py": {"numba"},
    "deploy/map/improve/settle_kernel.py": {"numba"},
    "deploy/map/improve/tabu_kernel.py": {"numba"},
    "deploy/jobs.py": {"distributed", "joblib"},
    "deploy/map/improve/mtkahypar.py": {"mtkahypar"},
}

# Each is written so that it does not match itself.
FORBIDDEN = {
    "a path of one machine": r"(?<![\w.}])/(?:work|root|home|Users|opt|tmp)/\w",
    "a path beside the repository": r"\.\./sh[a]red|\.\./\.\./",
    "a package registry": r"p[y]pi\.|pythonh[o]sted|pytorch\.[o]rg/whl|--(?:extra-)?index-u[r]l|"
    r"--find-l[i]nks",
}


@cache
def parsed(path):
    return ast.parse(path.read_text(encoding="utf-8"), str(path))


def imported(path):
    """Top-level names of every module that a file imports, inside functions too."""
    tree = parsed(path)
    names = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names.add("a relative import" if node.level else str(node.module).split(".")[0])
    return names


def relative(path):
    return path.relative_to(ROOT).as_posix()


def tracked():
    """The files under version control, as far as they are there."""
    if shutil.which("git") is None or not (ROOT / ".git").exists():
        pytest.skip("not a git checkout")
    listed = subprocess.run(
        ["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout
    return [ROOT / name for name in listed.split("\0") if name and (ROOT / name).is_file()]


def test_every_package_is_there():
    for package in PACKAGES:
        assert (ROOT / package / "__init__.py") in FILES[package]


@pytest.mark.parametrize("path", FILES["deploy"], ids=relative)
def test_deploy_uses_few_libraries(path):
    allowed = DEPLOY_USES | OPTIONAL.get(relative(path), set())
    assert imported(path) - set(sys.stdlib_module_names) - allowed <= {"deploy"}


@pytest.mark.parametrize("path", FILES["neuroclip"], ids=relative)
def test_neuroclip_knows_neither_lava_nor_export(path):
    # The facade is the one door to all three, each name resolved when it is used. No other file goes
    # through it, nor names a module of theirs in a text.
    inside = list(ast.walk(parsed(path)))
    said = {n.value for n in inside if isinstance(n, ast.Constant) and isinstance(n.value, str)}
    named = {text for text in said if re.match(r"(export|lava)\.\w[\w.:]*$", text)}
    if path == FACADE:
        assert named == {"export.facade:Report", "export.facade:export"}
        assert imported(path) & {*PACKAGES} == {"deploy", "export"}
        return
    assert not imported(path) & {"lava", "export", "a relative import"}
    assert not named and "neuroclip" not in modules_imported(path)


@pytest.mark.parametrize("path", ALL_FILES, ids=relative)
def test_every_module_says_what_it_is(path):
    assert ast.get_docstring(parsed(path))


@pytest.mark.parametrize(
    "module",
    [
        "deploy",
        "neuroclip",
        "export",
        "export.targets.lava",
        "export.commands.main",
        "neuroclip.commands.main",
    ],
)
def test_importing_needs_neither_torch_nor_lava(own_python, module):
    code = f"import {module}, sys; print(*sorted({{name.split('.')[0] for name in sys.modules}}))"
    loaded = own_python("-c", code).split()
    assert module.split(".")[0] in loaded
    assert not set(loaded) & (LEARNING | {"lava", "numba", "mtkahypar", "jinja2"})


# Where `kind` may be a population's or a connection's; elsewhere it is the float graph's or a module's.
SAY_KIND = ("deploy/", "export/targets/", "export/net_format/", "export/peers/")


def asked_of_kinds(path, kinds, classes):
    """Where a file compares the names of kinds, or their classes, under whatever names it has them."""
    tree, known = parsed(path), {of.__name__ for of in classes}
    called, modules = set(), set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            modules |= {a.asname or "deploy" for a in node.names if a.name.startswith("deploy")}
        elif isinstance(node, ast.ImportFrom) and str(node.module).startswith("deploy"):
            called |= {a.asname or a.name for a in node.names if a.name in known}
            modules |= (
                {a.asname or a.name for a in node.names} if node.module == "deploy" else set()
            )
    for node in ast.walk(tree):
        if getattr(getattr(node, "func", None), "id", "") in ("isinstance", "issubclass"):
            inside = list(ast.walk(node.args[1]))
        elif isinstance(node, ast.Compare | ast.MatchValue | ast.MatchClass):
            inside = list(ast.walk(node))
        else:
            continue
        names = {n.id for n in inside if isinstance(n, ast.Name)}
        asked = names & called
        if names & modules:
            asked |= {n.attr for n in inside if isinstance(n, ast.Attribute)} & known
        if relative(path).startswith(SAY_KIND):
            asked |= {n.value for n in inside if isinstance(n, ast.Constant)} & {*kinds}
        if asked:
            yield f"{relative(path)}:{node.lineno}: {sorted(asked)}"


@pytest.mark.parametrize("of", [deploy.neurons, deploy.connections], ids=["neurons", "connections"])
def test_no_ladder_over_kinds(of):
    """What is asked of a kind is asked of its class or of a table: nobody else compares kinds."""
    own = Path(of.__file__).parent
    classes = [of.KINDS[name] for name in of.BUNDLED]
    guilty = [
        line
        for path in ALL_FILES
        if path.parent != own
        for line in asked_of_kinds(path, of.BUNDLED, classes)
    ]
    assert guilty == []


@pytest.mark.parametrize(
    "line",
    [
        "from deploy.connections import Conv2d as C\nisinstance(c, list | C)",
        "from deploy.program.program import Dense\ntype(c) is Dense",
        "import deploy.connections as k\nissubclass(c, k.Sparse)",
        "from deploy.connections import Dense\nmatch c:\n    case Dense(): pass",
        "c.kind in ('conv2d', 'other')",
    ],
)
def test_a_ladder_over_kinds_would_be_found(line, tmp_path, monkeypatch):
    path = tmp_path / "deploy" / "ladder.py"
    path.parent.mkdir()
    path.write_text(line, encoding="utf-8")
    monkeypatch.setattr(sys.modules[__name__], "ROOT", tmp_path)
    of = deploy.connections
    assert list(asked_of_kinds(path, of.BUNDLED, of.KINDS.values()))


@pytest.mark.parametrize("path", (ROOT / "deploy/emulate/fast").glob("*.py"), ids=relative)
def test_the_fast_emulator_shares_no_arithmetic_with_the_reference(path):
    tree = parsed(path)
    modules = {str(n.module) for n in ast.walk(tree) if isinstance(n, ast.ImportFrom)}
    assert "deploy.arithmetic.integers" not in modules
    # A kind of one's own has no other equation than its own, and is traced; the bundled ones have theirs.
    known = {"deploy.neurons.edges"} | (
        {"deploy.neurons.tracing"} if path.stem == "forms" else set()
    )
    assert {name for name in modules if name.startswith("deploy.neurons.")} <= known


def test_no_bundled_kind_is_computed_by_the_references_equation():
    from deploy.emulate.fast.forms import _FORMS
    from deploy.neurons import BUNDLED, KINDS

    assert {KINDS[name] for name in BUNDLED} == set(_FORMS)


def test_the_reference_emulator_computes_everything_itself():
    """It knows the program, its kinds' own equations and the chip's integers, and nothing fast."""
    tree = parsed(ROOT / "deploy/emulate/reference.py")
    modules = {str(n.module) for n in ast.walk(tree) if isinstance(n, ast.ImportFrom)}
    modules |= {a.name for n in ast.walk(tree) if isinstance(n, ast.Import) for a in n.names}
    assert {name for name in modules if name.startswith("deploy")} == {
        "deploy.arithmetic.integers",
        "deploy.emulate.edge_counts",
        "deploy.emulate.trace",
        "deploy.errors",
        "deploy.neurons",
        "deploy.neurons.base",
        "deploy.program.program",
    }


@pytest.mark.parametrize("path", FILES["export"], ids=relative)
def test_no_ladder_over_targets_and_front_ends(path):
    """What a target does is asked of the target, who reads a model of the table of front ends."""
    names, suffixes, guilty = set(TARGETS), {x for f in FRONTENDS for x in f.suffixes}, []
    for node in ast.walk(parsed(path)):
        inside = list(ast.walk(node))
        said = {n.value for n in inside if isinstance(n, ast.Constant) and isinstance(n.value, str)}
        of = {getattr(n, "attr", getattr(n, "id", "")) for n in inside}
        compared = isinstance(node, ast.Compare | ast.MatchValue)
        if compared and "target" in of | said and said & names:
            guilty.append(node.lineno)
        ends = isinstance(node, ast.Call) and getattr(node.func, "attr", "") == "endswith"
        if (ends or (compared and of & {"suffix", "suffixes"})) and said & suffixes - {".npz"}:
            guilty.append(node.lineno)
    assert guilty == []


def test_no_ladder_over_data_sets_and_sections():
    """What a data set is stands on its card; "digits", which is bundled, is a set of images too."""
    from deploy.report.sections import sections
    from neuroclip.data.events.cards import cards
    from neuroclip.data.images.torchvision_sets import IMAGE_SETS

    sets, shown = {*cards(), *IMAGE_SETS} - {"digits"}, {s.identity for s in sections()}
    tables, guilty = (
        ("neuroclip/data/events/cards.py", "neuroclip/data/images/torchvision_sets.py"),
        [],
    )
    for path in ALL_FILES:
        for node in ast.walk(parsed(path)):
            if relative(path) in tables or not isinstance(node, ast.Compare | ast.MatchValue):
                continue
            inside = list(ast.walk(node))
            said = {
                n.value for n in inside if isinstance(n, ast.Constant) and isinstance(n.value, str)
            }
            of_a_section = any(getattr(n, "attr", "") == "identity" for n in inside)
            if said & sets or (of_a_section and said & shown):
                guilty.append(f"{relative(path)}:{node.lineno}: {ast.unparse(node)}")
    assert guilty == []


def module_of(path):
    """The dotted name of a file: `deploy.files` of deploy/files.py, `deploy` of deploy/__init__.py."""
    return relative(path).removesuffix(".py").removesuffix("/__init__").replace("/", ".")


MODULES = {module_of(path): path for path in ALL_FILES}


def modules_imported(path):
    """The modules of ours that a file imports, inside functions too."""
    found = set()
    for node in ast.walk(parsed(path)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            inner = {f"{node.module}.{alias.name}" for alias in node.names}
            found |= inner & MODULES.keys() or {node.module}
    return found & MODULES.keys()


@pytest.mark.parametrize("of", [Path, lambda path: path.parent], ids=["files", "folders"])
def test_none_import_each_other(of):
    imports = {of(path): set() for path in ALL_FILES}
    for path in ALL_FILES:
        if path != FACADE:
            imports[of(path)] |= {of(MODULES[m]) for m in modules_imported(path)} - {of(path)}
    try:
        tuple(TopologicalSorter(imports).static_order())
    except CycleError as error:
        pytest.fail(" imports ".join(relative(each) for each in reversed(error.args[1])))


@pytest.mark.parametrize("folder", FOLDERS, ids=relative)
def test_a_folder_says_what_lives_there_what_goes_in_and_what_comes_out(folder):
    said = ast.get_docstring(parsed(folder / "__init__.py")) or ""
    if folder != FACADE.parent:
        assert re.search(r"^In: .+ Out: .+", said.replace("\n", " \n"), re.DOTALL | re.MULTILINE), (
            said
        )


@pytest.mark.parametrize("folder", FOLDERS, ids=relative)
def test_a_folder_is_taken_in_at_a_glance(folder):
    files = [path.name for path in folder.iterdir() if path.is_file()]
    assert len(files) <= MAX_FILES, files


@pytest.mark.parametrize("path", ALL_FILES, ids=relative)
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


def test_nobody_imports_tests():
    # Lava's wheels install a top-level package of this name.
    guilty = [relative(p) for p in tracked() if p.suffix == ".py" and "tests" in imported(p)]
    assert guilty == []


@pytest.mark.parametrize("what", FORBIDDEN)
def test_no_file_contains(what):
    pattern, found = re.compile(FORBIDDEN[what]), []
    for path in tracked():
        try:
            text = path.read_text(encoding="utf-8")
        except UnicodeDecodeError:
            continue
        for number, line in enumerate(text.splitlines(), start=1):
            if pattern.search(line):
                found.append(f"{relative(path)}:{number}: {line.strip()[:100]}")
    assert found == []


@pytest.mark.parametrize(
    ("what", "text"),
    [
        ("a path of one machine", "Path('/ro" + "ot/data')"),
        ("a path beside the repository", "../sha" + "red/data"),
        ("a package registry", "https://py" + "pi.org/simple"),
    ],
)
def test_what_is_forbidden_would_be_found(what, text):
    assert re.search(FORBIDDEN[what], text)
