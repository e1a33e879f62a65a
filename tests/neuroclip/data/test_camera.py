"""The event camera: determinism, thresholds, polarity, and likeness to real N-MNIST recordings."""

import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from neuroclip.data.events.camera import CameraParameters, picture_position, simulate
from neuroclip.data.events.digits import digit_pictures
from neuroclip.data.events.recording import Recording, read_recording

PARAMETERS = CameraParameters()
QUIET = replace(PARAMETERS, noise_hz=0.0, mismatch=0.0)


def one(picture: np.ndarray, parameters: CameraParameters, index: int = 0) -> Recording:
    return next(iter(simulate(picture[None], parameters, ("one",), index)))


def leading_edge_first(recording: Recording) -> float:
    """Mean column of polarity 0 less that of polarity 1 in saccade 3, which moves left."""
    third = recording.t > 2 * PARAMETERS.saccade_us
    x, p = recording.x[third], recording.p[third]
    return float(x[p == 0].mean() - x[p == 1].mean())


def test_a_stream_depends_on_picture_parameters_and_index_only() -> None:
    pictures = digit_pictures()[0][:70]
    names = tuple(map(str, range(70)))
    together = list(simulate(pictures, PARAMETERS, names))
    alone = one(pictures[66], PARAMETERS, 66)
    for field in ("x", "y", "t", "p"):
        assert np.array_equal(getattr(alone, field), getattr(together[66], field))
    other = one(pictures[66], replace(PARAMETERS, seed=1), 66)
    assert len(other) != len(alone) or not np.array_equal(other.x, alone.x)


def test_event_count_follows_contrast_over_threshold() -> None:
    """One bar swept over one pixel: ⌊log-contrast / threshold⌋ events up, as many down."""
    picture = np.zeros((28, 28), np.uint8)
    picture[:, 10:16] = 255
    recording = one(picture, QUIET)
    contrast = np.log((1 + QUIET.dark_level) / QUIET.dark_level)
    # Row 17 is inside the bar all through saccade 3, in which the picture moves 7 pixels left.
    swept = (recording.y == 17) & (recording.t > 2 * QUIET.saccade_us)
    peak = max(np.bincount(recording.x[swept & (recording.p == QUIET.on_polarity)]))
    assert peak == int(contrast / QUIET.threshold_on)
    doubled = one(picture, replace(QUIET, threshold_on=0.4, threshold_off=0.4))
    assert len(doubled) < 0.6 * len(recording)


def test_a_still_or_empty_scene_gives_noise_only() -> None:
    black = np.zeros((28, 28), np.uint8)
    noise = one(black, replace(PARAMETERS, noise_hz=50.0))
    expected = 50.0 * 34 * 34 * 0.315
    assert abs(len(noise) - expected) < 5 * np.sqrt(expected)
    still = replace(QUIET, path=((0.0, 0.0), (0.0, 0.0)), noise_hz=50.0)
    assert abs(len(one(digit_pictures()[0][0], still)) - expected / 3) < 5 * np.sqrt(expected / 3)


def test_refractory_period_separates_the_events_of_a_pixel() -> None:
    recording = one(digit_pictures()[0][0], replace(QUIET, refractory_us=5_000))
    pixel = recording.y * 34 + recording.x
    gaps = np.concatenate([np.diff(recording.t[pixel == k]) for k in np.unique(pixel)])
    # Times are written as whole µs.
    assert gaps.min() >= 4_999


def test_path_closes_and_moves_less_than_half_a_pixel_a_step() -> None:
    t = np.arange(0, 315_001, PARAMETERS.step_us, dtype=np.float64)
    position = picture_position(t, PARAMETERS)
    assert np.allclose(position[0], 0)
    assert np.allclose(picture_position(np.array([315_000.0]), PARAMETERS), 0)
    corners = picture_position(np.array([105_000.0, 210_000.0]), PARAMETERS)
    assert np.allclose(corners, [[3.5, 7], [7, 0]])
    assert np.linalg.norm(np.diff(position, axis=0), axis=1).max() < 0.5


def test_leading_edge_has_polarity_0() -> None:
    picture = digit_pictures()[0][0]
    assert leading_edge_first(one(picture, PARAMETERS)) < -1


@pytest.mark.skipif(
    "NEUROCLIP_DATA" not in os.environ, reason="NEUROCLIP_DATA (folder of real data) is not set"
)
def test_likeness_to_real_recordings() -> None:
    folder = Path(os.environ["NEUROCLIP_DATA"]) / "nmnist" / "Train"
    real = [read_recording(path) for path in sorted(folder.glob("*/*.bin"))[::10]]
    pictures = digit_pictures()[0][:200]
    ours = list(simulate(pictures, PARAMETERS, tuple(map(str, range(200)))))
    assert np.mean([leading_edge_first(r) for r in real]) < -1
    counts = [np.mean([len(r) for r in group]) for group in (real, ours)]
    assert 0.8 < counts[1] / counts[0] < 1.25
    ends = [np.mean([r.t[-1] for r in group]) for group in (real, ours)]
    assert 0.95 < ends[1] / ends[0] < 1.05
