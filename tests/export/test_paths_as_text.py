"""Where a path is asked for in Python, a text will do."""

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

nir = pytest.importorskip("nir")

import neuroclip as nc
from deploy.emulate.trace import load_trace, save_trace
from deploy.hardware.mapping import load_mapping, save_mapping
from deploy.program.file import save_program
from deploy.report import summary, write_report
from deploy.report.words.read import read_report
from deploy.run.evidence import changed
from deploy.run.verify import verify
from export.frontends.nir import from_nir
from export.net_format.read import read_net
from export.net_format.write import write_net
from export.nir_format.read.file import read_nir
from export.nir_format.write.file import write_nir
from export.run.options import Options
from export.run.pipeline import run


def test_a_text_will_do_for_every_path(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    nodes = {
        "input": nir.Input({"input": np.array([6])}),
        "fc": nir.Linear(rng.integers(-9, 9, (4, 6)).astype(float)),
        "lif": nir.IF(r=np.full(4, 1e4), v_threshold=np.full(4, 9.0)),
        "output": nir.Output({"output": np.array([4])}),
    }
    write_nir("n.nir", nir.NIRGraph(nodes, list(pairwise(nodes))))
    assert set(read_nir("n.nir").nodes) == set(nodes)
    np.save("x.npy", rng.integers(0, 2, (3, 5, 6)))
    options = Options(target="emulator", out="out", lava_python="python3.10")
    assert (options.out, options.lava_python) == (Path("out"), Path("python3.10"))
    report = run(from_nir("n.nir", "x.npy", None), options)

    assert read_report("out/report.json")["ok"] is report["ok"]
    assert changed("out", report) == []
    assert all(each.holds is not False for each in verify("out", report))
    program, trace = nc.load("out/program.npz"), load_trace("out/trace.npz")
    save_program("again.npz", program)
    save_mapping("again.json", load_mapping("out/mapping.json"))
    save_trace("trace.npz", nc.emulate(program, {"input": np.load("x.npy")}))
    write_report("page.html", report, trace, program)
    assert "page.html" in summary(report, "page.html")
    write_net("again.net", program)
    assert read_net("again.net").populations
    made = {"again.npz", "again.json", "trace.npz", "page.html", "again.net"}
    assert made <= {path.name for path in Path().iterdir()}
