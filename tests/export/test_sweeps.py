"""A sweep that several runs share: each part counts once, and only where it passed."""

from pathlib import Path

import pytest


def test_parts_add_up_over_runs(
    monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    done = tmp_path / "done.txt"
    monkeypatch.setenv("NEUROCLIP_SWEEP", str(done))
    once = request.getfixturevalue("once")
    with once("a", range(0, 8)):
        pass
    with pytest.raises(ValueError), once("a", range(8, 16)):
        raise ValueError
    with once("b", range(0, 8)):
        pass
    assert done.read_text() == "a 0 8\nb 0 8\n"
    ran = []
    for first in (0, 8):
        try:
            with once("a", range(first, first + 8)):
                ran.append(first)
        except pytest.skip.Exception as skipped:
            assert "a 0 8" in str(skipped)
    assert ran == [8]
    assert done.read_text() == "a 0 8\nb 0 8\na 8 16\n"
