"""`make audit`: which faults concern the pinned versions, and which of them are answered."""

import json
import runpy
from pathlib import Path
from types import SimpleNamespace

import pytest

pytest.importorskip("packaging")
tool = SimpleNamespace(**runpy.run_path(str(Path(__file__).parents[1] / "tools" / "audit.py")))


@pytest.mark.parametrize(
    ("name", "versions", "names", "status"),
    [
        ("torch", "<2.6.0", ("CVE-2025-32434", "GHSA-53q9-r3pm-6pq6"), 0),
        ("torch", "<2.6.0", ("CVE-2025-999999", "GHSA-aaaa-bbbb-cccc"), 1),
        ("torch", "<2.3.1", ("CVE-2025-999999", "GHSA-aaaa-bbbb-cccc"), 0),
        ("Torch", ">=2.3,<=2.3.1", ("N/A", "GHSA-aaaa-bbbb-cccc"), 1),
        ("gt_all.MiniLM-L6-v2", "<2", ("N/A", "GHSA-aaaa-bbbb-cccc"), 1),
        ("asteval", "<1.0.6", ("N/A", "GHSA-vp47-9734-prjw"), 0),
        ("nobody-pins-this", "<99", ("N/A", "GHSA-aaaa-bbbb-cccc"), 0),
        # Neither a longer name nor none at all is an answer.
        ("torch", "<9", ("CVE-2025-3243", "N/A"), 1),
        ("torch", "<9", ("N/A", "N/A"), 1),
    ],
)
def test_a_fault_of_a_pin_needs_an_answer(tmp_path, capsys, name, versions, names, status):
    said = {"cve": names[0], "id": names[1], "v": versions, "advisory": "what it is"}
    (tmp_path / "faults.json").write_text(json.dumps({name: [said]}))
    assert tool.main([str(tmp_path / "faults.json")]) == status
    assert ("what it is" in capsys.readouterr().out) == bool(status)
