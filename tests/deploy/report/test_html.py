"""The page: self-contained, well formed, escaped, complete, and whole when figures are missing."""

import base64
import copy
import json
import re
import struct
import zlib
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from deploy.emulate.reference import emulate
from deploy.errors import BadInput
from deploy.program.program import Dense, Output, Program, make_input, make_population
from deploy.report import compare, compare_html, html, render, summary, write_report
from deploy.report.html import show
from deploy.report.sections import Run, sections
from deploy.report.text import MAX_LINES

# Every figure in it is made up; only the shape of it is that of a run.
SYNTHETIC = json.loads(Path(__file__).with_name("report_synthetic.json").read_text())
LEVELS = 6
HOSTILE = "<script>alert('1')</script>\"&"
VOID = {"meta", "br", "link", "img", "input", "hr"}


class Page(HTMLParser):
    """Elements of a page in order; fails on a tag that is closed out of order."""

    def __init__(self, text):
        super().__init__()
        self.open, self.elements, self.texts = [], [], []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.open and self.open.pop() == tag, tag

    def handle_data(self, data):
        if self.open[-1:] != ["style"]:
            self.texts.append(data)

    @property
    def text(self):
        # Narrow spaces group digits and hard ones hold units; a reader sees spaces.
        return re.sub(r"\s+", " ", " ".join(self.texts))

    def with_class(self, name):
        return [e for e in self.elements if name in (e[1].get("class") or "").split()]


def pixels(source):
    """The values of a PNG in a data URI, whose rows are not filtered, read by the specification."""
    content = base64.b64decode(source.removeprefix("data:image/png;base64,"), validate=True)
    assert content[:8] == b"\x89PNG\r\n\x1a\n"
    parts, at = {}, 8
    while at < len(content):
        (size,) = struct.unpack(">I", content[at : at + 4])
        name, data = content[at + 4 : at + 8], content[at + 8 : at + 8 + size]
        assert struct.unpack(">I", content[at + 8 + size : at + 12 + size])[0] == zlib.crc32(
            name + data
        )
        parts[name] = data
        at += 12 + size
    width, height, depth, kind = struct.unpack(">2I2B", parts[b"IHDR"][:10])
    assert depth == 8 and kind in (2, 3) and at == len(content) and b"IEND" in parts
    rows = np.frombuffer(zlib.decompress(parts[b"IDAT"]), np.uint8).reshape(height, -1)
    assert not rows[:, 0].any()
    found = rows[:, 1:].reshape((height, width) if kind == 3 else (height, width, 3))
    assert kind == 2 or found.max(initial=0) < len(parts[b"PLTE"]) // 3 == len(parts[b"tRNS"])
    return found


def small_program(hidden="hidden"):
    rng = np.random.default_rng(7)

    def weights(target, source):
        return (2 * rng.integers(-120, 128, size=(target, source))).astype(np.int32)

    return Program(
        (make_input("features", (32,), -255, 255),),
        (
            make_population(hidden, (16,), du=4095, dv=400, vth=12000),
            make_population("up", (64,), du=4095, dv=800, vth=900),
            make_population("scores", (10,), du=4095, dv=300, kind="integrator"),
        ),
        (
            Dense("fc1", "features", hidden, weights(16, 32)),
            Dense("fc2", hidden, "up", weights(64, 16)),
            Dense("loop", "up", "up", weights(64, 64), exponent=-3, delay=1),
            Dense("fc3", "up", "scores", weights(10, 64)),
        ),
        (Output("scores", "scores", "v"),),
    )


def run(program, samples=6):
    rng = np.random.default_rng(8)
    x = rng.integers(-255, 256, size=(samples, 16, 32)).astype(np.int32)
    trace = emulate(program, {"features": x})
    return {f"{name}/{q}": array for name, q, array in trace.recorded()} | {"features/s": x}


@pytest.fixture(scope="module")
def program():
    return small_program()


@pytest.fixture(scope="module")
def recordings(program):
    return run(program)


def test_page_is_well_formed_and_holds_every_section(report, recordings, program):
    page = Page(render(report, recordings, program))
    sections = [a["id"] for tag, a in page.elements if tag == "section"]
    assert sections == [
        *("network", "accuracy", "parity", "activity", "cores", "traffic", "counts"),
        *("energy", "latency", "crosscheck", "proof", "placement", "coverage", "repeat"),
    ]
    links = [a["href"] for tag, a in page.elements if tag == "a"]
    assert links == [f"#{name}" for name in sections]
    identities = [a["id"] for _, a in page.elements if "id" in a]
    assert len(identities) == len(set(identities))


def test_what_went_beyond_an_edge_is_counted_beside_it(report, recordings, program):
    assert "happened" not in Page(render(report, recordings, program)).text
    report["proof"]["observed"] = {"up": {"fc2": 1200, "loop": 0}}
    text = Page(render(report, recordings, program)).text
    assert "happened" in text and "1 200 ×" in text and "0 ×" in text


def test_page_loads_nothing(report, recordings, program):
    text = render(report, recordings, program)
    for tag, attributes in Page(text).elements:
        assert tag not in ("script", "link", "iframe", "object", "use", "image")
        assert "src" not in attributes or (
            tag == "img" and attributes["src"].startswith("data:image/png;base64,")
        )
        assert (attributes.get("href") or "#").startswith("#")
    style = text[text.index("<style>") : text.index("</style>")]
    assert "url(" not in style and "@import" not in style
    assert "default-src 'none'" in text.replace("&#x27;", "'")


def test_no_template_switches_escaping_off():
    templates = list(Path(html.__file__).parent.rglob("*.html"))
    assert len(templates) > 20
    for path in templates:
        assert not re.search(r"\|\s*safe\b|autoescape", path.read_text(encoding="utf-8")), path


def test_figures_are_those_of_the_report(report, recordings, program):
    text = Page(render(report, recordings, program)).text
    for expected in (
        *("94.0 %", "87.5 – 97.2 %", "93 / 100", "128 000", "288 000", "5 of 120 on 1 chip"),
        *("20 515", "10 880", "18.5 nJ", "954 nJ", "Davies et al. 2018, table 2"),
        "Not portable: a limit may be reached, so only the executors that were compared",
        *("static power", "observed only", "−5 200 000 … 5 100 000", "38.0 %"),
        *("CLIP image encoder", "lava-nc", "0.10.0", "21.4 s", "100 samples × 16 timesteps"),
        "neuroclip-export checkpoints/synthetic --target lava --samples 100 --seed 7",
        "torch = emulator = lava: all 128 000 spike values and 288 000 states are equal.",
        "takes 2.27 nJ, 0.82× the 2.76 nJ of the same layers as a dense ANN at every time step",
    ):
        assert expected in text, expected


def test_raster_draws_every_spike_of_the_first_sample(report, recordings, program):
    page = Page(render(report, recordings, program))
    for name in ("features", "hidden", "up"):
        # The input is drawn again for the other samples.
        shown = [a["src"] for _, a in page.elements if a.get("alt", "").startswith(f"{name}: ")]
        drawn = pixels(shown[0])
        sent = recordings[f"{name}/s"][0].T.astype(int)
        assert ((drawn > 0) == (sent != 0)).all() and ((drawn > LEVELS) == (sent < 0)).all()
    # The first sample is unfolded, and nothing else.
    assert sum("open" in a for tag, a in page.elements if tag == "details") == 1


def test_potentials_mark_the_highest_and_the_label(report, recordings, program):
    v = recordings["scores/v"][0, -1]
    best, worst = int(v.argmax()), int(v.argmin())
    labels = report["predictions"]["labels"]
    report["predictions"]["first"] = [{"sample": 0, "label": worst, "predicted": best}]
    only = {name: array[:1] for name, array in recordings.items()}
    page = Page(render(report, only, program))
    assert f"{labels[best]} ◂ highest" in page.text
    assert f"{labels[worst]} ◂ label" in page.text
    assert f"label {labels[worst]}, predicted {labels[best]}" in page.text
    lines = [a for tag, a in page.elements if tag == "polyline"]
    assert len(lines) == 10
    assert all(len(a["points"].split()) == 16 for a in lines)


def test_core_map_has_every_core_and_names_its_slices(report, recordings, program):
    report["cores"]["list"][0]["load"]["neurons"] = 1.3
    page = Page(render(report, recordings, program))
    assert len(page.with_class("core")) == 5
    drawn = {a["class"]: a["d"].count("M") for _, a in page.with_class("cell")}
    assert sum(drawn.values()) == 120 and drawn["cell unused"] == 115 and drawn["cell load4"] == 1
    titles = [a["title"] for _, a in page.with_class("core")]
    assert "core 2: up 32–63; neurons 44.0\u00a0%; synapse words 64.0\u00a0%" in titles


def test_the_mesh_shows_every_router_link_and_heaviest_pair(report, program):
    page = Page(render(report, {}, program))
    routers = [a for tag, a in page.with_class("router") if tag == "rect"]
    assert len(routers) == 4 and sum("unused" in a["class"] for a in routers) == 1
    links = page.with_class("link")
    assert len(links) == 8 and len(page.with_class("idle")) == 3
    widths = [float(a["stroke-width"]) for _, a in links]
    assert max(widths) == 8 and min(widths) == 1 and widths.count(8) == 1
    # Cores 0 to 2 share a router: 400 + 100 + 350 + 200 + 300 packets in and out.
    assert "router (0, 0), cores 0, 1, 2: 1 350 packets in and out" in page.text
    assert "The busiest link carries 90 packets, 3.26× the mean of the 5 in use" in page.text
    assert "the first 2 of 7" in page.text and "core 0 core 1 310.5" in page.text


def test_a_mesh_of_one_router_is_drawn_no_larger_than_others(report, program):
    report["traffic"] |= {"columns": 1, "rows": 1}
    page = Page(render(report, {}, program))
    (mesh,) = [a for tag, a in page.elements if "Mesh" in a.get("aria-label", "") and tag == "svg"]
    width, height = (float(n) for n in mesh["viewbox"].split()[2:])
    assert width == height <= 110


def test_a_mesh_too_large_to_draw_is_said(report, program):
    report["traffic"] |= {"columns": 10**6, "rows": 10**6}
    assert "too large to draw" in Page(render(report, {}, program)).text


def test_time_cross_check_steps_and_what_is_not_covered(report, program):
    page = Page(render(report, {}, program))
    for expected in (
        *("24.0 µs – 40.0 µs per inference", "1.50 µs – 2.50 µs", "core 3, in 75 % of the steps"),
        "SANA-FE 2.2.9, 4 samples: it counts as we do, in all 2 quantities.",
        *("700 nJ – 900 nJ 800 nJ 800 nJ", "20.0 µs – 40.0 µs 30.0 µs", "512 512 equal"),
        *("loihi1-sanafe: synapse: a guess", "congestion on the links", "Synaptic operations of"),
    ):
        assert expected in page.text, expected
    assert "SANA-FE did not count" not in page.text and "Lava did not run" not in page.text
    areas = [a["d"] for _, a in page.with_class("area")]
    assert len(areas) == 4 + 1 and all(d.count("L") == 4 * 16 - 1 for d in areas)
    label = "Synaptic operations by core and step"
    (cells,) = [pixels(a["src"]) for tag, a in page.elements if a.get("alt") == label]
    assert cells.shape == (5, 16) and (cells[1:] > 0).all()
    assert not cells[0].any()  # core 0 did nothing


def test_a_cross_check_that_fails_is_an_alarm(report, program):
    report["sanafe"]["ok"] = report["sanafe"]["counts"][0]["equal"] = False
    page = Page(render(report, {}, program))
    assert page.with_class("alarm")
    assert "it counts otherwise: packets to other cores." in page.text
    report["sanafe"] = None
    text = Page(render(report, {}, program)).text
    assert "Did not run: SANA-FE (--target sanafe). No chip ran" in text
    assert "Cross-check" not in text


def test_core_map_of_an_absurd_chip_stays_small(report, recordings, program):
    report["cores"] |= {"available": 10**15}
    report["cores"]["list"][4]["index"] = 10**14
    page = Page(render(report, {}, program))
    assert len(page.with_class("core")) == 5
    assert sum(a["d"].count("M") for _, a in page.with_class("cell")) == 5


def test_numpy_scalars_are_numbers_and_giants_are_not(report, program):
    report["counts"]["spikes"]["total"] = np.int64(31415926)
    report["counts"]["neuron_updates"]["total"] = 10**400
    text = Page(render(report, {}, program)).text
    assert "31 415 926" in text and "0" * 400 not in text


def test_energy_bars_are_proportional(report, recordings, program):
    page = Page(render(report, recordings, program))
    bars = [a for _, a in page.with_class("energy")]
    assert len(bars) == 3 + 3 + 1  # the sets alone: an ANN's arithmetic is not beside them
    left = min(float(a["x"]) for a in bars)
    starts = [i for i, a in enumerate(bars) if float(a["x"]) == left]
    # Each part begins where the ones before it end, so the last part's x is the sum before it.
    davies, sanafe = bars[starts[0] + 1], bars[starts[1] + 1]
    ratio = (float(davies["x"]) - left) / (float(sanafe["x"]) - left)
    assert ratio == pytest.approx(4.84e-7 / 7.28e-7, abs=1e-3)


def test_the_ann_is_compared_in_one_convention_only(report, program):
    text = Page(render(report, {}, program)).text
    for expected in (
        "INT8 arithmetic: this spiking network takes 2.27 nJ, 0.82× the 2.76 nJ of the same layers "
        "as a dense ANN at every time step.",
        "given the whole input in one pass it takes 172 pJ, and against it, at 13×, "
        "the spiking network loses .",
        "8 192 MAC + 12 799 add 12 000 1.75× 750 28×",
        "FP32 arithmetic, as SNN papers quote 49.2 nJ 55.2 nJ 0.89× 3.45 nJ 14×, loses 1326 % more",
        "28.1 % below 5.7 % above: an ANN is expected to win Yan, Bai, Wong 2024, at T = 5; "
        "here T = 16",
        "0.62 0.15 – 1.38 between: it depends on the hardware",
    ):
        assert expected in text, expected
    # No ratio of a chip's energy, memory included, to an ANN's arithmetic: 954 nJ / 2.76 nJ.
    assert "346×" not in text and "218×" not in text


def test_the_comparison_says_who_wins_either_way(report, program):
    first = report["baseline"]["like_for_like"][0]
    first |= {"snn_j": 2e-9, "ann_j": 1e-9, "ann_skipping_j": 5e-10, "ann_one_pass_j": 4e-9}
    text = Page(render(report, {}, program)).text
    # Nothing is won or lost against an ANN at every step: it needs none.
    assert "4.00 nJ 0.50×, wins 50 % less" in text
    assert "at 0.50×, the spiking network wins, in arithmetic alone ." in text
    report["baseline"]["break_even"] |= {"spike_rate": 0.01, "messages_per_synapse": 0.1}
    assert Page(render(report, {}, program)).text.count("below: a gain is expected") == 2


def test_nothing_is_won_that_is_lost_to_an_ann_that_skips_its_zeros(report, program):
    first = report["baseline"]["like_for_like"][0]
    first |= {"snn_j": 2e-9, "ann_j": 1e-9, "ann_skipping_j": 5e-10, "ann_one_pass_j": 4e-9}
    first |= {"snn_not_skipping_j": 8e-9, "ann_one_pass_skipping_j": 1.6e-9}
    known = {"input_sparsity": 0.1, "hidden_sparsity": 0.6, "source": "measured"}
    skipping = {"input_sparsity": 0.2, "hidden_sparsity": None}
    report["baseline"]["skipping"] = known | {"one_pass": skipping}
    report["baseline"]["trained"] = {
        key: {"value": v} for key, v in (("accuracy", 0.875), ("one_pass_accuracy", 0.75))
    }
    text = Page(render(report, {}, program)).text
    assert "it takes 4.00 nJ, 1.60 nJ where it skips its zeros, and against it, at 1.25×, " in text
    assert "the spiking network loses ." in text and "wins" not in text
    assert "4.00 nJ 0.50×, but for its zeros 50 % less" in text
    assert "2.00 nJ 8.00 nJ 1.00 nJ 500 pJ 4.00 nJ 1.60 nJ 1.25×, loses" in text
    assert "reaches 87.5 % at every step, 75.0 % in one pass." in text
    shares = "inputs at every step 10.0 %, hidden 60.0 %, inputs in one pass 20.0 %, hidden unknown"
    assert f"zeros of the ANN: {shares} (measured)" in text
    said = " ".join(summary(report).split())
    assert "in one pass 4.00 nJ (0.50×), its zeros skipped 1.60 nJ (1.25×, spiking loses)" in said
    first["ann_one_pass_skipping_j"] = None
    assert "not measured unknown" in Page(render(report, {}, program)).text


def test_a_baseline_without_common_convention_is_not_divided_by(report, program):
    del report["baseline"]["like_for_like"]
    text = Page(render(report, {}, program)).text
    assert "Dense ANN: 2.76 nJ. No comparison in one convention was recorded." in text
    assert "wins" not in text and "loses" not in text


def test_core_table_shows_limits_and_assumptions(report, program):
    text = Page(render(report, {}, program)).text
    assert "input axons 100 (assumed) 5 11 11.0 %" in text
    assert "synapse formats not public 1.5 2" in text
    assert "5 of 120 on 1 chip (loihi2)" in text


def test_parts_of_a_stage_are_not_summed_twice(report, program):
    text = Page(render(report, {}, program)).text
    assert "lava 21.4 s …start 1.40 s …run 19.5 s report 110 ms sum 26.0 s" in text


def test_a_real_program_proves_cores_and_baseline_as_the_page_reads_them(recordings, program):
    """What the pipeline puts into a report, not a made-up one: every table is filled from it."""
    from deploy.count.ann_baseline import baseline
    from deploy.count.operations import count
    from deploy.count.operations import to_json as counts_json
    from deploy.hardware.chip import load_chip
    from deploy.map.core.costs import core_report
    from deploy.map.partition import partition
    from deploy.prove.proof import prove

    chip = load_chip("loihi2")
    mapping = partition(program, chip)
    sent = {
        key[:-2]: (values != 0).sum(axis=(0, 1))
        for key, values in recordings.items()
        if key.endswith("/s")
    }
    sent |= {p.name: np.zeros(p.shape, int) for p in program.populations if p.name not in sent}
    counts = count(program, sent, 6, 16, mapping)
    report = {
        "proof": prove(program, 16).to_json(),
        "cores": core_report(program, chip, mapping),
        "counts": counts_json(counts),
        "baseline": baseline(program, counts),
    }
    page = Page(render(report, {}, program))
    assert len(page.with_class("core")) == 3
    assert sum(a["d"].count("M") for _, a in page.with_class("cell")) == 120
    for expected in (
        "membrane potential v clips",
        "integrator fires",
        "synapse formats not public",
    ):
        assert expected in page.text
    assert "added at register width: this spiking network takes" in page.text
    assert "expected" in page.text or "depends on the hardware" in page.text


def test_divergence_is_spelled_out(report, recordings, program):
    report["ok"] = False
    report["parity"]["pairs"][1] |= {
        "spike_mismatches": 1,
        "first_divergence": {
            **{"quantity": "s", "node": "up", "sample": 3, "step": 7, "index": [12]},
            **{"a": 1, "b": 0},
        },
    }
    report["parity"]["pairs"][0] |= {
        "registers_equal": False,
        "first_register": {"register": "hidden/du", "index": [4], "a": 4095, "b": 4094},
    }
    page = Page(render(report, recordings, program))
    assert page.with_class("bad") and not page.with_class("ok")
    assert (
        "spike of node 'up', sample 3, step 7, index [12]: emulator has 1, lava has 0" in page.text
    )
    assert "register 'hidden/du', index [4]: torch holds 4095, emulator holds 4094" in page.text
    assert "are equal" not in page.text


def test_pairs_that_compared_different_amounts_are_summed(report, program):
    report["parity"]["pairs"][1] |= {"spikes_compared": 1000, "states_compared": 2000}
    text = Page(render(report, {}, program)).text
    assert "all 129 000 spike values and 290 000 states that were compared are equal." in text


def test_unequal_registers_alone_are_a_failure(report, program):
    report["parity"]["pairs"][0]["registers_equal"] = False
    text = Page(render(report, {}, program)).text
    assert "torch and emulator differ" in text and "are equal" not in text


def test_failure_without_divergence_points_at_the_other_checks(report, recordings, program):
    report["ok"] = False
    assert "a limit of the chip or another check" in Page(render(report, {}, program)).text


# Objects whose keys are names that somebody chose: nodes, stages, packages, resources, categories.
NAMED = {
    *("latency_steps", "timings", "versions", "per_node", "nodes", "arithmetic"),
    *("input_ranges", "utilisation", "load", "joules", "operations"),
}


def hostile(value, named=0):
    """The same report with every text and every name in it replaced by a hostile one.

    named: for how many levels down the keys are names; a proof's nodes hold named cases.
    """
    if isinstance(value, dict):
        levels = {k: max(named - 1, 0) or (k in NAMED and not named) for k in value}
        return {
            f"{HOSTILE}{k}" if named else k: hostile(v, 2 if k == "nodes" else levels[k])
            for k, v in value.items()
        }
    if isinstance(value, list):
        return [hostile(v) for v in value]
    return HOSTILE if isinstance(value, str) else value


def test_hostile_names_are_escaped(report):
    program = small_program(hidden=HOSTILE.replace("/", "|"))
    recordings = run(program)
    attack = hostile(report)
    attack["parity"]["pairs"][0]["first_divergence"] = {
        **{"quantity": HOSTILE, "node": HOSTILE, "sample": 0, "step": 0, "index": HOSTILE},
        **{"a": HOSTILE, "b": HOSTILE},
    }
    text = render(attack, recordings, program)
    page = Page(text)
    assert "<script" not in text.lower()
    assert not [tag for tag, _ in page.elements if tag == "script"]
    assert not [a for _, attributes in page.elements for a in attributes if a.startswith("on")]
    # It is shown, as text, wherever a name is.
    for part in ("<script>alert('1')</script>", "<script>alert('1')<|script>"):
        assert part in page.text


def test_control_characters_and_broken_unicode_do_not_stop_the_page(
    report, recordings, program, tmp_path
):
    report["placement"]["host"] = ["a\x00b\x1b[31m", "\ud800"]
    path = tmp_path / "out" / "report.html"
    write_report(path, report, recordings, program)
    text = path.read_text(encoding="utf-8")
    assert "\x1b" not in text and "\x00" not in text


def test_an_empty_report_says_not_measured(program):
    text = Page(render({}, {}, program)).text
    assert text.count("not measured") >= 15
    assert "None" not in text and "nan" not in text


def paths(value, prefix=()):
    """Every place of a nested report."""
    entries = value.items() if isinstance(value, dict) else enumerate(value)
    for key, entry in entries:
        yield (*prefix, key)
        if isinstance(entry, dict | list):
            yield from paths(entry, (*prefix, key))


def trimmed(value):
    """A report with an entry per list, two of numbers, and one per named object: few of each kind."""
    if isinstance(value, dict):
        kept = {
            k: dict(list(v.items())[:1]) if k in NAMED and isinstance(v, dict) else v
            for k, v in value.items()
        }
        return {k: trimmed(v) for k, v in kept.items()}
    if isinstance(value, list):  # two numbers may be the ends of a range
        kept = 2 if all(isinstance(x, int | float) for x in value) else 1
        return [trimmed(v) for v in value[:kept]]
    return value


class Watched(dict):
    """A report that notes which of its entries are read."""

    def __init__(self, report):
        super().__init__(report)
        self.read = set()

    def get(self, key, default=None):
        self.read.add(key)
        return super().get(key, default)


def readers(whole, recordings, program):
    """{an entry of the report: the sections that read it, whatever else is missing}."""
    found = {key: [] for key in whole}
    for section in sections():
        read = set()
        for without in (None, *whole):
            report = Watched({key: x for key, x in whole.items() if key != without})
            show(section, Run(report, recordings, program))
            read |= report.read
        for key in read & set(whole):
            found[key].append(section)
    return found


@pytest.mark.parametrize("every", [4, pytest.param(1, marks=pytest.mark.long)])
def test_no_missing_or_mistyped_entry_stops_the_report(recordings, program, monkeypatch, every):
    """Each entry in one of four ways, which of them goes round; in all of them in the long run."""
    only = {name: array[:1, :2] for name, array in recordings.items()}
    whole = trimmed(SYNTHETIC)
    whole["cores"] |= {"available": 4}
    # A section that never reads an entry is the same whatever is in it: it need not be made again.
    concerned = readers(whole, only, program)
    assert {key for key, found in concerned.items() if not found} == {"schema", "ok"}
    damages = 0
    for number, path in enumerate(paths(whole)):
        monkeypatch.setattr(html, "sections", lambda key=path[0]: concerned[key])
        ways = ("remove", None, "text", {} if isinstance(path[-1], int) else [])
        for damage in ways[number % every :: every]:
            report = copy.deepcopy(whole)
            holder = report
            for key in path[:-1]:
                holder = holder[key]
            if damage == "remove":
                del holder[path[-1]]
            else:
                holder[path[-1]] = damage
            # Only the predictions are read beside the recordings.
            assert render(report, only if path[0] == "predictions" else {}, program)
            assert len(summary(report).splitlines()) <= MAX_LINES
            assert compare(report, whole)
            damages += 1
    assert damages > 400 / every


ODD = [
    *(None, True, 0, -1, 3, 2.5, 1e308, 10**400, -(10**9), float("nan"), float("inf"), "", "text"),
    *(HOSTILE, "a\x00\ud800", [], {}, [1, 2], [2, 1], [None, None], [[1, 2], [3]], {"a": 1}, [{}]),
    *([[]], {"x": {}}, {HOSTILE: {HOSTILE: 1}}),
]
PLACES = list(paths(trimmed(SYNTHETIC)))


@settings(max_examples=40, deadline=None, derandomize=True)
@given(st.lists(st.tuples(st.sampled_from(PLACES), st.sampled_from(ODD)), min_size=2, max_size=6))
def test_several_odd_entries_at_once_leave_a_well_formed_page(recordings, program, changes):
    report = trimmed(SYNTHETIC)
    for path, value in changes:
        holder = report
        for key in path[:-1]:
            within = isinstance(holder, dict) and key in holder
            within |= isinstance(holder, list) and isinstance(key, int) and key < len(holder)
            holder = holder[key] if within else None
        if isinstance(holder, dict) or (isinstance(holder, list) and len(holder) > path[-1]):
            holder[path[-1]] = copy.deepcopy(value)
    only = {name: array[:1, :2] for name, array in recordings.items()}
    page = Page(render(report, only, program))
    assert not [tag for tag, _ in page.elements if tag == "script"] and "\x00" not in page.text
    assert len(summary(report).splitlines()) <= MAX_LINES
    assert compare(report, SYNTHETIC) and Page(compare_html(SYNTHETIC, report))


def test_missing_lava_accuracy_and_hops(report, recordings, program):
    report["accuracy"] = {"emulator": {"value": 0.5}, "lava": None}
    page = Page(render(report, recordings, program))
    assert "50.0 %" in page.text and "Lava not measured" in page.text


def test_recordings_may_be_spikes_only_or_large(report, program, recordings):
    spikes = {k: a for k, a in recordings.items() if k.endswith("/s")}
    assert not [e for e in Page(render(report, spikes, program)).elements if e[0] == "polyline"]
    wide = Program(
        (make_input("frames", (2, 34, 34)),), (make_population("wide", (5000,)),), (), ()
    )
    many = {"wide/s": np.ones((1, 3, 5000), np.uint8)}
    page = Page(render(report, many, wide))
    assert "5 000 neurons" in page.text and "40 a row" in page.text
    (drawn,) = [pixels(a["src"]) for _, a in page.elements if a.get("alt", "").startswith("wide: ")]
    assert drawn.shape == (125, 3) and (drawn > 0).all()


def test_silent_network_is_called_silent(report, program, recordings):
    silent = {k: np.zeros_like(a) for k, a in recordings.items()}
    text = Page(render(report, silent, program)).text
    assert text.count("silent") == 3 + 3  # every node of the first sample, the input of the others


def test_write_report_replaces_the_file_whole(report, recordings, program, tmp_path):
    path = tmp_path / "report.html"
    path.write_text("old")
    write_report(path, report, recordings, program)
    assert path.read_text(encoding="utf-8") == render(report, recordings, program)
    assert list(tmp_path.iterdir()) == [path]
    with pytest.raises(BadInput, match="cannot write"):
        write_report(path / "below-a-file.html", report, recordings, program)


def test_style_covers_dark_and_print(report, recordings, program):
    text = render(report, recordings, program)
    assert "prefers-color-scheme: dark" in text and "@media print" in text


def contrast(first, second):
    """WCAG 2 contrast ratio of two #rrggbb colours."""

    def luminance(colour):
        parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
        linear = [c / 12.92 if c <= 0.03928 else ((c + 0.055) / 1.055) ** 2.4 for c in parts]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    light, dark = sorted((luminance(first), luminance(second)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def test_text_contrast_is_accessible_in_light_and_dark(report, program):
    text = render(report, {}, program)
    themes = [
        dict(re.findall(r"--([\w-]+): (#[0-9a-f]{6})", block))
        for block in re.findall(r":root \{([^}]*--ink[^}]*)\}", text)
    ]
    assert len(themes) == 2
    for theme in themes:
        grounds = dict.fromkeys(("ink", "soft", "accent", "second"), ("page", "card"))
        grounds |= {"good": ("page", "good-wash"), "bad": ("page", "bad-wash"), "warn": ("page",)}
        grounds |= {f"l{i}t": (f"l{i}",) for i in range(5)}
        for front, backs in grounds.items():
            for back in backs:
                assert contrast(theme[front], theme[back]) >= 4.5, (front, back)
        for i in range(7):  # areas need 3:1 only where no text says the same; the legend does
            assert contrast(theme[f"c{i}"], theme["page"]) >= 1.5


def test_a_quantized_graph_has_a_section_of_its_own(report, recordings, program):
    node = {
        "scale_per": "channel",
        "scale": [101.5, 230],
        "weight_error": 0.0041,
        "rate_float": 0.03125,
        "rate_quantized": 0.03,
        "spike_mismatches": 1200,
        "spikes_compared": 60000,
        "spikes_float": 1875,
    }
    report["quantization"] = {
        "exact": False,
        "why": "node 'a' <b>: no integers",
        "calibration": "calib.npz",
        "calibration_samples": 20,
        "nodes": {"a": node, "b": {"scale_per": "layer"}},
    }
    page = Page(render(report, recordings, program))
    assert "#quantization" in [a["href"] for tag, a in page.elements if tag == "a"]
    for expected in (
        *("node 'a' <b>: no integers", "calibrated on 20 samples of calib.npz", "0.4 %"),
        *("channel (101.5 to 230)", "0.03125", "1 200 beside 1 875 spikes"),
    ):
        assert expected in page.text
    report["quantization"] = {"exact": True, "nodes": {}}
    assert "nothing was rounded" in Page(render(report, recordings, program)).text
