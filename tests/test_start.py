"""Commands start at once: counted in modules, since a busy machine tells nothing by its clock."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
HEAVY = {
    "numpy", "torch", "nir", "h5py", "msgspec", "jinja2", "tqdm", "zipfile", "hashlib", "dataclasses",
    "importlib.metadata", "numba", "lava", "shtab",
}  # fmt: skip


def run(code):
    made = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    return made.stdout.splitlines()


def imported(code):
    """The modules that some code imports, beyond those of a Python that does nothing."""
    return set(
        run(f"import sys; before = set(sys.modules)\n{code}\nprint(*set(sys.modules) - before)")[
            0
        ].split()
    )


@pytest.mark.parametrize(
    ("module", "most"),
    [("neuroclip", 8), ("neuroclip.commands.main", 45), ("export.commands.main", 60)],
)
def test_what_is_imported_to_start(module, most):
    found = imported(f"import {module}")
    assert not found & HEAVY
    assert len(found) <= most, sorted(found)


def test_a_subcommand_imports_none_of_the_others():
    found = imported("from neuroclip.commands.main import parser_of\nparser_of('models')")
    ours = {name for name in found if name.startswith("neuroclip.commands.")}
    assert ours == {"neuroclip.commands.main", "neuroclip.commands.models"}


def test_a_spikeclip_is_read_without_the_libraries_of_a_clip():
    pytest.importorskip("torch")
    found = imported(
        "from export.frontends.table import Request, read_model\n"
        "read_model('spikeclip-digits', Request(samples=1))"
    )
    assert "torch" in found
    # Torch itself imports the last, to compute on the meta device.
    assert not found & {"open_clip", "timm", "torchvision", "torch._dynamo", "sympy"}


UNKNOWN = {
    "export.commands.main": [
        ["nowhere"],
        ["neuroclip-digit"],
        ["nowhere.nir"],
        ["nowhere.net"],
        ["nowhere.npz"],
        ["nowhere.py:Net"],
        ["tests/test_start.py:Net", "--weights", "nowhere.pt"],
        ["--chip", "nowhere"],
        ["--coefficients", "nowhere"],
        ["--data", "nowhere"],
        ["--data", "nmnist", "--data-root", "nowhere"],
        ["--clip", "nowhere"],
        ["spikeclip-digits", "--data", "nowhere"],
        ["spikeclip-digits", "--skips", "round"],
        ["--record", "much"],
        ["--for", "norse"],
        ["--target", "nowhere"],
    ],
    "neuroclip.commands.main": [
        ["zero-shot", "--data", "nowhere"],
        ["zero-shot", "--data", "nmnist", "--data-root", "nowhere"],
        ["zero-shot", "--clip", "no-such-clip"],
        ["zero-shot", "--clip", "ViT-B-32"],
        ["train", "--data", "nowhere", "--out", "x"],
        ["train", "adapter", "--clip", "no-such-clip", "--out", "x"],
        ["train", "spikeclip", "--data", "nowhere", "--out", "x"],
        ["train", "spikeclip", "--config", "nowhere", "--out", "x"],
        ["evaluate", "nowhere"],
        ["evaluate", "--data", "nowhere"],
        ["evaluate", "--steps", "2"],
        ["evaluate", "spikeclip-digits", "--data", "nowhere"],
        ["table", "--data", "nowhere", "--out", "x"],
        ["sweep", "--clip", "nowhere", "--out", "x"],
        ["watch", "nowhere.bin"],
        ["watch", "README.md", "--like", "nowhere"],
        ["watch", "README.md", "--clip", "nowhere"],
        ["watch", "README.md", "--checkpoint", "nowhere"],
        [
            "watch",
            "README.md",
            "--checkpoint",
            "neuroclip-digits",
            "--like",
            "digits",
            "--labels=a",
        ],
    ],
}


@pytest.mark.parametrize("command", UNKNOWN)
def test_unknown_names_are_refused_before_torch_is_imported(tmp_path, command):
    """What would import torch is stopped where it would: by a hook, not by a look afterwards."""
    pytest.importorskip("sklearn")
    target = ["--target", "emulator", "--out", str(tmp_path / "out")]
    if command.startswith("neuroclip"):  # its commands have no target
        target = []
    told = run(
        "import sys, io, contextlib\n"
        "class Stop:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        if name.partition('.')[0] in ('torch', 'lava'): raise SystemExit('imported ' + name)\n"
        "sys.meta_path.insert(0, Stop())\n"
        f"from {command} import main\n"
        f"for words in {UNKNOWN[command]!r}:\n"
        "    told = io.StringIO()\n"
        "    with contextlib.redirect_stderr(told):\n"
        f"        try: status = main([*{target!r}, *words])\n"
        "        except SystemExit as end: status = end.code\n"
        "    line = told.getvalue()\n"
        "    print(status, line.count('\\n'), words, line.strip())\n"
    )
    assert len(told) == len(UNKNOWN[command])
    assert [line for line in told if not line.startswith("2 1 ")] == []
    assert not (tmp_path / "out").exists()


def test_the_digits_are_scikit_learns_and_do_not_import_it():
    datasets = pytest.importorskip("sklearn.datasets")
    from neuroclip.data.events.digits import digit_pictures

    assert digit_pictures()[1].tolist() == datasets.load_digits().target.tolist()
    read = "from neuroclip.data.events.digits import digit_pictures\ndigit_pictures()"
    assert not imported(read) & {"sklearn", "torch"}
