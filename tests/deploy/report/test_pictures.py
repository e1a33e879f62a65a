"""What the page shows as pictures: frames, maps, classes, the network; and that it stays small."""

import base64
import io
import re

import numpy as np
import pytest

from deploy.emulate.reference import emulate
from deploy.program.program import Conv2d, Dense, Output, Program, make_input, make_population
from deploy.report import render
from deploy.report.charts.confusion import matrix
from deploy.report.charts.maps import channel_maps, gray_frames, input_frames
from deploy.report.charts.pixels import LEVELS, binned, png, strengths

Image = pytest.importorskip("PIL.Image", reason="Pillow is not installed")


def pictures(drawing: str) -> list[np.ndarray]:
    """The images of a drawing as a library of others reads them: RGBA."""
    return [
        np.asarray(Image.open(io.BytesIO(base64.b64decode(data))).convert("RGBA")).astype(int)
        for data in re.findall(r'src="data:image/png;base64,([^"]+)"', drawing)
    ]


@pytest.mark.parametrize("seed", range(5))
def test_a_picture_has_each_value_at_its_place(seed: int) -> None:
    rng = np.random.default_rng(seed)
    values = rng.integers(-9, 10, rng.integers(1, 40, 2))
    (shown,) = pictures(
        f'src="data:image/png;base64,{base64.b64encode(png(strengths(values))).decode()}"'
    )
    opacity = shown[..., 3]
    assert ((opacity > 0) == (values != 0)).all()
    blue = shown[..., 2] > shown[..., 0]
    assert (blue[values > 0]).all() and not blue[values < 0].any()
    # Of one sign what is larger is never fainter.
    flat, strength = np.abs(values).ravel(), opacity.ravel()
    order = np.argsort(flat, kind="stable")
    assert (np.diff(strength[order]) >= 0).all()


def test_neighbours_drawn_as_one_leave_nothing_out() -> None:
    rng = np.random.default_rng(2)
    values = (rng.random((2312, 300)) < 0.001).astype(int)
    drawn = binned(values, (128, 256))
    assert drawn.shape == (122, 150) and drawn.sum() == values.sum()


def test_host_frames_are_shown_as_they_were_seen() -> None:
    frames = np.random.default_rng(3).integers(0, 256, (4, 9, 7)).astype(np.uint8)
    shown = pictures(gray_frames(frames, "seen"))
    assert len(shown) == 4
    assert all((s[..., c] == f).all() for s, f in zip(shown, frames, strict=True) for c in range(3))


def test_polarities_colours_and_channels_are_told_apart() -> None:
    sent = np.zeros((2, 2, 5, 6), int)
    sent[0, 0, 1, 2] = sent[1, 1, 3, 4] = 1
    first, second = pictures(input_frames(sent, "events"))
    assert first[1, 2, 2] > first[1, 2, 0] and np.count_nonzero(first[..., 3]) == 1
    assert second[3, 4, 0] > second[3, 4, 2] and np.count_nonzero(second[..., 3]) == 1
    image = np.random.default_rng(4).integers(0, 16, (3, 8, 8))
    image[0, 0, 0] = 15
    (shown,) = pictures(input_frames(np.stack([image] * 4), "an image, four times"))
    assert np.abs(shown[..., :3] - np.moveaxis(image, 0, 2) * 17).max() <= 1
    maps = pictures(channel_maps(sent, "channels"))
    assert [tuple(np.argwhere(m[..., 3])[0]) for m in maps] == [(1, 2), (3, 4)]


def test_a_matrix_holds_every_count_and_names_both_classes() -> None:
    counts = np.array([[7, 1], [0, 12]])
    drawn = matrix(counts, ["no<b>", "yes"])
    assert re.findall(r'title="([^"]*taken for[^"]*)"', drawn) == [
        "no&lt;b&gt; taken for no&lt;b&gt;: 7", "no&lt;b&gt; taken for yes: 1", "yes taken for yes: 12",
    ]  # fmt: skip


def network(
    channels: int, side: int, classes: int, seed: int = 0
) -> tuple[Program, dict[str, np.ndarray]]:
    """A convolution and a read-out, and what went through them."""
    rng = np.random.default_rng(seed)
    kernel = (2 * rng.integers(-20, 60, (channels, 2, 3, 3))).astype(np.int32)
    size = channels * side * side
    weight = (2 * rng.integers(-60, 60, (classes, size))).astype(np.int32)
    program = Program(
        (make_input("events", (2, side, side)),),
        (make_population("features", (channels, side, side), vth=90),
         make_population("scores", (classes,), kind="integrator")),
        (Conv2d("conv1", "events", "features", kernel, (side, side), (1, 1), (1, 1)),
         Dense("head", "features", "scores", weight)),
        (Output("scores", "scores", "v"),),
    )  # fmt: skip
    x = (rng.random((5, 12, 2, side, side)) < 0.1).astype(np.int32)
    trace = emulate(program, {"events": x})
    return program, {f"{n}/{q}": a for n, q, a in trace.recorded()} | {"events/s": x}


def test_spatial_layers_are_maps_and_the_network_is_drawn_with_its_own_names(report) -> None:
    program, recordings = network(4, 9, 3)
    report["counts"]["spikes"]["per_node"] = {"features": 97.2}
    report["counts"]["neuron_updates"]["per_node"] = {"features": 972, "scores": 36}
    report["predictions"]["confusion"] = {"executor": "emulator", "counts": [[0, 0, 3], [1, 2, 1]]}
    frames = np.full((2, 3, 9, 9), 127, np.uint8)
    page = render(report, recordings, program, frames)
    for said in ("Maps of events, sample 0", "Maps of features, sample 0", "Frames of sample 1"):
        assert f'aria-label="{said}"' in page
    assert "Spike raster" not in page and "Maps of features, sample 1" not in page
    boxes = re.findall(r'<g><title>([^<]*)</title><rect [^>]*class="box"', page)
    assert boxes == [
        "events: 2 × 9 × 9 input",
        "features: 4 × 9 × 9 lif; 10.0\u00a0% of its neurons a step",
        "scores: 3 integrator, read",
    ]
    assert re.findall(r'<path d="[^"]*" class="line"><title>([^<]*)', page) == [
        "conv2d 4 × 2 × 3 × 3", "dense 3 × 324",
    ]  # fmt: skip
    assert "1 of 1" not in page and "3 of 3" in page and "0 of 1" in page


def test_confusions_that_cannot_be_are_not_drawn(report) -> None:
    program, _ = network(2, 5, 3)
    for counts in (
        [[10**30, 0, 1]],
        [[-1, 0, 2]],
        [[0, 1]],
        "all",
        [[0.5, 1, 1]],
        [[0, 1, 0]],
        None,
    ):
        report["predictions"]["confusion"] = {"executor": "emulator", "counts": counts}
        assert 'id="classes"' not in render(report, {}, program)


def test_the_page_of_a_large_network_stays_small(report) -> None:
    program, recordings = network(64, 40, 300)
    many = range(5000)
    report["counts"]["spikes"]["per_node"] = {f"node{i}": float(i) for i in many}
    report["cores"]["list"] = [
        {
            "index": i,
            "slices": [{"population": "features", "start": 0, "stop": 9}],
            "load": {"neurons": 0.5},
        }
        for i in many
    ]
    report["cores"] |= {"available": 6000, "chips": 50, "chips_available": 50}
    labels = np.random.default_rng(1).integers(0, 300, (2000, 2))
    report["predictions"] |= {
        "labels": [f"class {i}" for i in range(300)],
        "confusion": {"executor": "emulator", "counts": [[int(a), int(b), 1] for a, b in labels]},
    }
    page = render(report, recordings, program)
    assert len(page) < 600_000
    assert "100 of 5" in page and "of 300 with the fewest right" in page.replace("\n", " ")


def test_levels_are_those_of_the_legend() -> None:
    assert strengths(np.array([0, 1, 5, 10])).tolist() == [0, 1, LEVELS // 2, LEVELS]
