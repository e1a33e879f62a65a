"""The page in a real headless browser: light, dark, narrow, and printed."""

import io
import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from deploy.emulate.reference import emulate
from deploy.program.program import Dense, Program, make_input, make_population
from deploy.report import compare_html, write_report

Image = pytest.importorskip("PIL.Image", reason="Pillow is not installed")
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "chrome")
BROWSER = next((path for name in BROWSERS if (path := shutil.which(name))), None)
pytestmark = pytest.mark.skipif(BROWSER is None, reason=f"none of {', '.join(BROWSERS)} installed")
SYNTHETIC = json.loads(Path(__file__).with_name("report_synthetic.json").read_text())
LIGHT, DARK = (251, 251, 250), (20, 23, 26)  # --page of both themes


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> Path:
    rng = np.random.default_rng(1)
    weight = (2 * rng.integers(-20, 90, (20, 12))).astype(np.int32)
    program = Program(
        (make_input("features", (12,)),),
        (make_population("hidden", (20,), vth=90),),
        (Dense("fc1", "features", "hidden", weight),),
        (),
    )
    x = rng.integers(0, 2, (3, 16, 12))
    trace = emulate(program, {"features": x})
    recordings = {f"{n}/{q}": a for n, q, a in trace.recorded()} | {"features/s": x}
    folder = tmp_path_factory.mktemp("pages")
    write_report(folder / "run.html", SYNTHETIC, recordings, program)
    (folder / "two.html").write_text(compare_html(SYNTHETIC, SYNTHETIC), encoding="utf-8")
    return folder


def browse(folder: Path, page: str, *options: str) -> str:
    """Run the browser on a page with a profile of its own; what it said on its error stream."""
    command = [str(BROWSER), "--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars"]
    command += [f"--user-data-dir={folder / 'profile'}", "--enable-logging=stderr", *options]
    done = subprocess.run(
        [*command, (folder / page).as_uri()],
        capture_output=True, text=True, timeout=120, check=True,
    )  # fmt: skip
    return done.stderr


def pixels(folder: Path, page: str, size: tuple[int, int], *options: str) -> Any:
    shot = folder / "shot.png"
    shot.unlink(missing_ok=True)
    said = browse(
        folder, page, f"--screenshot={shot}", f"--window-size={size[0]},{size[1]}", *options
    )
    assert "CONSOLE" not in said, said  # refused by the page's own policy, or not understood
    return np.asarray(Image.open(io.BytesIO(shot.read_bytes())).convert("RGB"))


@pytest.mark.parametrize("page", ["run.html", "two.html"])
def test_light_and_dark_are_drawn_and_nothing_leaves_the_page(pages: Path, page: str) -> None:
    for ground, options in ((LIGHT, ()), (DARK, ("--force-dark-mode",))):
        shot = pixels(pages, page, (1100, 3000), *options)
        assert tuple(shot[5, 5]) == ground
        # Both margins are empty from top to bottom: no table or figure runs out of the column.
        for margin in (shot[:, :40], shot[:, -40:]):
            assert (margin == ground).all()
        drawn = (np.abs(shot.astype(int) - ground).max(axis=2) > 90).mean(axis=1)
        assert (drawn > 0).mean() > 0.25  # text and figures over the height, not a blank page


def test_a_narrow_screen_scrolls_tables_and_not_the_page(pages: Path) -> None:
    shot = pixels(pages, "run.html", (500, 4000))
    assert (shot[:, -8:] == LIGHT).all()
    assert (np.abs(shot.astype(int) - LIGHT).max(axis=2) > 90).any()


def test_it_prints_on_several_pages(pages: Path) -> None:
    paper = pages / "run.pdf"
    browse(pages, "run.html", "--no-pdf-header-footer", f"--print-to-pdf={paper}")
    content = paper.read_bytes()
    assert content.startswith(b"%PDF")
    counts = [int(n) for n in re.findall(rb"/Count (\d+)", content)]
    assert counts and 3 <= max(counts) <= 12


@pytest.mark.skipif(shutil.which("pdftotext") is None, reason="pdftotext is not installed")
def test_the_last_printed_page_is_not_empty(pages: Path) -> None:
    paper = pages / "run.pdf"
    browse(pages, "run.html", "--no-pdf-header-footer", f"--print-to-pdf={paper}")
    done = subprocess.run(["pdftotext", paper, "-"], capture_output=True, text=True, check=True)
    sheets = done.stdout.split("\f")[:-1]  # every page ends with a form feed
    assert len(sheets) >= 3 and all(sheet.strip() for sheet in sheets)
