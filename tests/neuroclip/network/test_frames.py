"""Frames as a network takes them: nothing is lost but by what is said."""

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("snntorch")
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from deploy.errors import BadInput
from neuroclip.network.frames import Fit, fit_of_module, fit_of_shape, fits


@settings(max_examples=50, deadline=None)
@given(
    st.integers(1, 4), st.integers(1, 4), st.sampled_from([1, 2, 3]), st.booleans(), st.booleans()
)
def test_every_event_is_counted_where_it_was(
    rows: int, columns: int, pool: int, polarities: bool, flat: bool
) -> None:
    height, width = rows * pool, columns * pool
    frames = np.random.default_rng(rows).integers(0, 4, (2, 3, 2, height, width), np.uint8)
    fit = Fit(pool, polarities, flat)
    made = fit(frames)
    assert made.shape == (2, 3, *fit.shape((2, height, width))) and made.dtype == np.uint8
    expected = np.zeros((2, 3, 2 if polarities else 1, rows, columns), int)
    for index in np.ndindex(frames.shape):
        n, t, p, y, x = index
        expected[n, t, p if polarities else 0, y // pool, x // pool] += frames[index]
    assert np.array_equal(made.reshape(expected.shape), expected)


def test_the_fit_that_changes_least_is_taken() -> None:
    frame = (2, 12, 12)
    assert fits(frame)[0] == Fit()
    assert fit_of_shape("data", frame, (2, 6, 6)) == Fit(2)
    assert fit_of_shape("data", frame, (144,)) == Fit(1, False, True)
    assert fit_of_shape("data", frame, (1, 4, 4)) == Fit(3, False)
    with pytest.raises(BadInput, match=r"shape \(2, 12, 12\), the network takes \(2, 5, 5\)"):
        fit_of_shape("data", frame, (2, 5, 5))
    flat = nn.Sequential(nn.Linear(72, 4))
    assert fit_of_module("data", flat, frame, 3, None) == Fit(2, True, True)
    image = nn.Sequential(nn.Conv2d(2, 3, 3), nn.Flatten(), nn.Linear(48, 4))
    assert fit_of_module("data", image, frame, 3, None) == Fit(2)
    with pytest.raises(
        BadInput, match=r"data: its frames have the shape \(2, 12, 12\), layer '0' .* \(5, …"
    ):
        fit_of_module("data", nn.Sequential(nn.Conv2d(5, 3, 3)), frame, 3, None)


def test_a_sum_that_no_byte_holds_is_refused() -> None:
    with pytest.raises(BadInput, match="256 events in one pixel of a frame pooled 2×2"):
        Fit(2)(np.full((1, 2, 2, 2), 64, np.uint8))
