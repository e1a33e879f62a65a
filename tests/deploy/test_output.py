"""An output folder is empty or ours, and holds nothing that is read."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from deploy.errors import BadInput
from deploy.files import write_json
from deploy.output import claim, claim_page

MODELS = Path(__file__).parents[2] / "neuroclip" / "models"


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("notes.txt", "mine"),
        ("config.json", json.dumps({"name": "a package"})),
        ("config.json", "[1]"),
        ("report.json", json.dumps({"schema": 1})),
        ("table.json", "{"),
        ("program.npz", "no archive"),
        ("model.safetensors", "no tensors at all"),
        ("model.nir", ""),
    ],
)
def test_a_folder_of_somebody_elses_is_refused_whatever_its_files_are_called(
    tmp_path, name, content
):
    (tmp_path / name).write_text(content)
    with pytest.raises(BadInput, match=f"no output folder of ours and not empty \\('{name}'"):
        claim(tmp_path)
    assert [p.name for p in tmp_path.iterdir()] == [name]


def test_a_folder_of_ours_is_taken_again_though_more_is_in_it(tmp_path):
    for number, model in enumerate(["digits-clip", "neuroclip-digits", "spikeclip-digits"]):
        folder = tmp_path / str(number)
        shutil.copytree(MODELS / model, folder)
        (folder / "notes.txt").write_text("mine")
        claim(folder)
        (folder / "config.json").unlink()
        (folder / "ann.safetensors").unlink(missing_ok=True)  # its metadata say who wrote it
        with pytest.raises(BadInput, match="no output folder"):
            claim(folder)
    np.savez(tmp_path / "0" / "program.npz", **{"program.json": np.zeros(3, np.uint8)})
    claim(tmp_path / "0")
    write_json(tmp_path / "1" / "cells" / "shots-1.json", {"identity": "a", "result": {}})
    claim(tmp_path / "1")
    write_json(tmp_path / "2" / "report.json", {"schema": 1, "target": "nir", "ok": True})
    claim(tmp_path / "2")


def test_what_a_killed_run_left_is_no_foreign_file(tmp_path):
    (tmp_path / ".unfinished").mkdir()
    (tmp_path / ".neuroclip-x.part").write_text("")
    for part in ("cells", "teacher"):
        (tmp_path / part).mkdir()
        (tmp_path / part / ".neuroclip-y.part").write_text("")
    claim(tmp_path)
    claim(tmp_path / "new")
    assert not (tmp_path / "new").exists()


def test_an_input_in_the_folder_is_refused_by_its_option_and_name(tmp_path):
    out = tmp_path / "out"
    write_json(out / "report.json", {"schema": 1, "target": "nir", "ok": True})
    (out / "deep").mkdir()
    (tmp_path / "link").symlink_to(out / "report.json")
    for given in (out, out / "report.json", str(out / "deep"), tmp_path / "link"):
        with pytest.raises(BadInput, match=f"--data {given}: lies in the output folder {out}"):
            claim(out, {"MODEL": None, "--data": given})
    claim(out, {"--data": tmp_path, "MODEL": object(), "--chip": "loihi2", "--labels": "x" * 5000})


def test_a_page_is_written_over_a_page_only(tmp_path):
    page = tmp_path / "page.html"
    claim_page(page)
    page.write_text("<title>my own</title>")
    with pytest.raises(BadInput, match="no report of ours"):
        claim_page(page)
    page.write_text("<html><title>a beside b – neuroclip report</title>")
    claim_page(page)


def test_a_folder_by_the_name_of_ours_that_holds_another_s_file_is_refused(tmp_path):
    (tmp_path / "cells").mkdir()
    (tmp_path / "cells" / "blood.json").write_text("{}")
    with pytest.raises(BadInput, match="no output folder"):
        claim(tmp_path)
    (tmp_path / "cells" / "blood.json").unlink()
    (tmp_path / "cells").rmdir()
    (tmp_path / "cells").write_text("a file")
    with pytest.raises(BadInput, match="no output folder"):
        claim(tmp_path)
