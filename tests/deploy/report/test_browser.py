"""The page in a real headless browser: 1280 and 390 pixels wide, dark, and printed."""
# ruff: noqa: E501 - what runs in the page is easier to read unbroken

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from deploy.emulate.reference import emulate
from deploy.program.program import Conv2d, Dense, Output, Program, make_input, make_population
from deploy.report import compare_html, write_report

Image = pytest.importorskip("PIL.Image", reason="Pillow is not installed")
SYNTHETIC = json.loads(Path(__file__).with_name("report_synthetic.json").read_text())
LIGHT, DARK = (251, 251, 250), (20, 23, 26)  # --page of both themes
SCREENS = [(1280, False), (390, False), (390, True)]
LONG = "a_layer_with_the_long_name_that_its_author_gave_it.block12.attention"


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A page with every section and every kind of figure, and one of two runs."""
    rng = np.random.default_rng(1)
    kernel = (2 * rng.integers(-20, 60, (6, 2, 3, 3))).astype(np.int32)
    program = Program(
        (make_input("events", (2, 12, 12)),),
        (make_population(LONG, (6, 12, 12), vth=90), make_population("hidden", (20,), vth=900),
         make_population("scores", (10,), kind="integrator")),
        (Conv2d("conv1", "events", LONG, kernel, (12, 12), (1, 1), (1, 1)),
         Dense("fc1", LONG, "hidden", (2 * rng.integers(-9, 20, (20, 864))).astype(np.int32)),
         Dense("loop", "hidden", "hidden", np.full((20, 20), 2, np.int32), delay=1),
         Dense("fc2", "hidden", "scores", (2 * rng.integers(-9, 20, (10, 20))).astype(np.int32))),
        (Output("scores", "scores", "v"),),
    )  # fmt: skip
    x = rng.integers(0, 2, (3, 16, 2, 12, 12)).astype(np.int32)
    trace = emulate(program, {"events": x})
    recordings = {f"{n}/{q}": a for n, q, a in trace.recorded()} | {"events/s": x}
    report = json.loads(json.dumps(SYNTHETIC))
    cells = [[i, (i * i) % 10, 3 + i] for i in range(10)]
    report["predictions"]["confusion"] = {"executor": "emulator", "counts": cells}
    frames = rng.integers(0, 256, (2, 10, 34, 34)).astype(np.uint8)
    folder = tmp_path_factory.mktemp("pages")
    write_report(folder / "run.html", report, recordings, program, frames)
    other = json.loads(json.dumps(report))
    other["counts"]["synaptic_ops"]["per_node"]["fc2"] *= 1.5
    other["counts"]["synaptic_ops"]["total"] *= 1.2
    (folder / "two.html").write_text(compare_html(report, other), encoding="utf-8")
    return folder


OVERFLOWING = """
(() => { const width = innerWidth, found = [];
  if (document.documentElement.scrollWidth > width) found.push('page ' + document.documentElement.scrollWidth);
  for (const e of document.querySelectorAll('body *')) {
    const box = e.getBoundingClientRect();
    if (!box.width || e.closest('details:not([open])') && !e.closest('summary')) continue;
    if (box.right > width + 1 || box.left < -1) found.push(e.tagName + '.' + e.getAttribute('class') + ' ' + box.right);
    if (e.scrollWidth > e.clientWidth + 1 && getComputedStyle(e).overflowX !== 'visible') found.push("scrolls " + e.tagName + "." + e.className + " " + e.getAttribute("aria-label"));
  }
  return found.slice(0, 8); })()
"""
# The contrast of every text with the ground below it (WCAG 2.1, 1.4.3); graphics are grounds too.
FAINT = """
(() => { const found = [], canvas = document.createElement('canvas').getContext('2d', {willReadFrequently: true});
  const rgba = c => { canvas.clearRect(0, 0, 1, 1); canvas.fillStyle = c; canvas.fillRect(0, 0, 1, 1); return canvas.getImageData(0, 0, 1, 1).data; };
  const light = c => [0, 1, 2].map(i => c[i] / 255).map(v => v <= .04045 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4).reduce((s, v, i) => s + v * [.2126, .7152, .0722][i], 0);
  const ground = e => { for (; e; e = e.parentElement) { const style = getComputedStyle(e);
      if (e.tagName === 'g') { const r = e.querySelector('rect'); if (r) return rgba(getComputedStyle(r).fill); }
      const c = rgba(style.backgroundColor); if (c[3] > 250) return c; } return rgba(getComputedStyle(document.body).backgroundColor); };
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  for (let n; n = walker.nextNode();) { const e = n.parentElement;
    if (!n.data.trim() || e.tagName === 'title' || !e.getClientRects().length) continue;
    const style = getComputedStyle(e), ink = rgba(e.tagName === 'text' ? style.fill : style.color), a = light(ink), b = light(ground(e));
    const ratio = (Math.max(a, b) + .05) / (Math.min(a, b) + .05);
    if (ratio < 4.5) found.push(n.data.trim().slice(0, 30) + ' ' + e.className + ' ' + ratio.toFixed(2)); }
  return found.slice(0, 8); })()
"""


@pytest.mark.parametrize(("width", "dark"), SCREENS)
@pytest.mark.parametrize("page", ["run.html", "two.html"])
def test_nothing_overflows_and_every_text_can_be_read(
    tab: Any, pages: Path, page: str, width: int, dark: bool
) -> None:
    tab.said.clear()
    tab.open((pages / page).as_uri(), width, dark=dark)
    tab.run("document.querySelectorAll('details').forEach(d => d.open = true)")
    assert tab.run(OVERFLOWING) == []
    assert tab.run(FAINT) == []
    assert not tab.said  # refused by the page's own policy, or not understood
    assert tab.run("[...document.images].every(i => i.complete && i.naturalWidth > 0)")


@pytest.mark.parametrize(("width", "dark"), SCREENS)
def test_its_picture_is_drawn_from_top_to_bottom(
    tab: Any, pages: Path, tmp_path: Path, width: int, dark: bool
) -> None:
    tab.open((pages / "run.html").as_uri(), width, dark=dark)
    tab.picture(tmp_path / "shot.png")
    shot = np.asarray(Image.open(tmp_path / "shot.png").convert("RGB"))
    ground = DARK if dark else LIGHT
    assert shot.shape[1] == width and tuple(shot[5, 5]) == ground
    for margin in (shot[:, :10], shot[:, -10:]):
        assert (margin == ground).all()
    drawn = (np.abs(shot.astype(int) - ground).max(axis=2) > 60).any(axis=1)
    # No screen of it is empty, and not even a fifth of one.
    edges = np.flatnonzero(np.diff(np.concatenate([[1], drawn.astype(int), [1]])))
    gaps = np.diff(edges)
    assert gaps[[not drawn[e] for e in edges[:-1]]].max() < 180


def test_all_is_reached_by_keyboard(tab: Any, pages: Path) -> None:
    tab.open((pages / "run.html").as_uri(), 390)
    wanted = tab.run(
        "[...document.querySelectorAll('a, summary, [tabindex=\"0\"]')].filter(e => e.getClientRects().length && !(e.tagName === 'SUMMARY' ? e.parentElement.parentElement : e).closest('details:not([open])')).length"
    )
    reached = []
    for _ in range(wanted):
        tab.press("Tab")
        reached.append(tab.run("(() => { const e = document.activeElement, s = getComputedStyle(e); window.n = window.n || new Map();"
                               " if (!n.has(e)) n.set(e, n.size); return [e.tagName, n.get(e), s.outlineStyle]; })()"))  # fmt: skip
    assert len({number for _, number, _ in reached}) == wanted
    assert {tag for tag, _, _ in reached} >= {"A", "SUMMARY"} and all(
        o != "none" for _, _, o in reached
    )
    # What is folded opens by a key.
    closed = tab.run("document.querySelectorAll('details:not([open])').length")
    tab.run("document.querySelector('details:not([open]) summary').focus()")
    tab.press("Enter")
    assert tab.run("document.querySelectorAll('details:not([open])').length") == closed - 1


@pytest.mark.skipif(shutil.which("pdftotext") is None, reason="pdftotext is not installed")
def test_on_paper_no_heading_is_left_alone_and_no_sheet_is_half_empty(
    tab: Any, pages: Path, tmp_path: Path
) -> None:
    tab.open((pages / "run.html").as_uri(), 1280)
    headings = tab.run(
        "[...document.querySelectorAll('h2, h3, caption, .legend, .part > p:not(:last-child)')].filter(e => e.getClientRects().length).map(e => e.innerText.trim().split('\\n').pop())"
    )
    tab.paper(tmp_path / "run.pdf")
    command = ["pdftotext", "-bbox-layout", tmp_path / "run.pdf", "-"]
    text = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    sheets = re.findall(
        r'<page width="[\d.]+" height="([\d.]+)">(.*?)</page>', text, flags=re.DOTALL
    )
    assert 3 <= len(sheets) <= 10
    for number, (height, content) in enumerate(sheets, start=1):
        lines = [
            (float(y), " ".join(re.findall(r">([^<]+)</word>", words)))
            for y, words in re.findall(
                r'<line [^>]*yMax="([\d.]+)">(.*?)</line>', content, flags=re.DOTALL
            )
        ]
        last = max(lines)
        assert last[1] not in headings, (number, last)
        if number < len(sheets):
            assert last[0] > 0.5 * float(height), (number, last)
