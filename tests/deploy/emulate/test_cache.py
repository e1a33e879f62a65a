"""Compiled code that is kept on disk is made again where what it rests on has changed."""

import ast
import importlib.util
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
COMPILED = (
    "deploy/emulate/edge_kernel.py",
    "deploy/emulate/fast/kernels.py",
    "deploy/emulate/fast/neuron_kernels.py",
    "deploy/emulate/fast/sum_kernels.py",
    "deploy/map/improve/anneal_kernel.py",
    "deploy/map/improve/settle_kernel.py",
    "deploy/map/improve/tabu_kernel.py",
    "export/graph/simulate_kernel.py",
    "neuroclip/chip/recurrence_numba.py",
    "neuroclip/storage/text_kernel.py",
)

RUN = """
import sys
import numpy as np
import deploy
from deploy.connections import Conv2d
from deploy.emulate.fast import emulate_fast
from deploy.emulate.reference import emulate
from deploy.neurons import make_ternary
from deploy.program.program import Output, Program, make_input
assert deploy.__file__.startswith(sys.argv[1]), deploy.__file__
rng = np.random.default_rng(0)
weight = (2 * rng.integers(-60, 61, (3, 2, 3, 3))).astype(np.int32)
program = Program(
    (make_input("i", (2, 5, 6)),),
    (make_ternary("n", (3, 5, 6), vth=40, vth_lo=-40, dv=900),),
    (Conv2d("c", "i", "n", weight, (5, 6), padding=(1, 1)),),
    (Output("o", "n", "s"),),
)
inputs = {"i": rng.random((3, 8, 2, 5, 6)) < 0.1}
expected = emulate(program, inputs).s["n"]
assert expected.any()
print(int((emulate_fast(program, inputs, kernel="numba").s["n"] != expected).sum()), "wrong")
from deploy.emulate.fast import kernels
print(sum(kernels.run_block.stats.cache_hits.values()), "from the cache")
"""


@pytest.mark.skipif(importlib.util.find_spec("numba") is None, reason="numba is not installed")
def test_an_edit_of_the_layout_is_seen(
    own_python: Callable[..., str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(ROOT / "deploy", tmp_path / "deploy", ignore=shutil.ignore_patterns("__py*"))
    monkeypatch.delenv("NUMBA_CACHE_DIR", raising=False)

    def run() -> list[str]:
        printed = own_python("-c", RUN, tmp_path, cwd=tmp_path, PYTHONPATH=str(tmp_path))
        return printed.splitlines()

    assert run() == ["0 wrong", "0 from the cache"]
    assert run() == ["0 wrong", "1 from the cache"]
    layout = tmp_path / "deploy" / "emulate" / "fast" / "layout.py"
    before = layout.read_text()
    after = before.replace('"graded", "words"', '"spare", "graded", "words"')
    assert after != before
    layout.write_text(after)
    assert run() == ["0 wrong", "0 from the cache"]


@pytest.mark.parametrize("path", COMPILED)
def test_compiled_functions_take_nothing_from_other_files_of_ours(path: str) -> None:
    """numba's cache watches the file of a function alone."""
    for node in ast.walk(ast.parse((ROOT / path).read_text())):
        names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        names += [str(node.module)] if isinstance(node, ast.ImportFrom) else []
        ours = {n for n in names if n.split(".")[0] in ("deploy", "neuroclip", "export")}
        assert ours <= {
            "deploy.compiled"
        }  # which decides whether there is a cache, and is not compiled


def test_every_file_of_compiled_functions_is_known() -> None:
    found = {
        path.relative_to(ROOT).as_posix()
        for package in ("deploy", "neuroclip", "export")
        for path in (ROOT / package).rglob("*.py")
        if "njit" in path.read_text() and path != ROOT / "deploy" / "compiled.py"
    }
    assert found == set(COMPILED)
