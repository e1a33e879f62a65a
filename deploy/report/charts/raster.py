"""What nodes sent in one sample: a row a node, a pixel row a neuron, a pixel column a time step."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from deploy.report.charts.bands import band, figure, steps_axis
from deploy.report.charts.pixels import binned, image, strengths
from deploy.report.charts.svg import Drawing
from deploy.report.words.figures import count, percent

# More rows and columns cannot be told apart on a page: neighbours are drawn as one.
MAX_ROWS, MAX_COLUMNS = 128, 256


@dataclass(frozen=True, eq=False)
class Band:
    """What one node sent in one sample: integers [time, *shape], 0 is silence; what its rows are."""

    name: str
    values: NDArray[Any]
    unit: str


def raster(bands: Sequence[Band], label: str) -> Drawing:
    """Draw the recordings of one sample, a band per node.

    Messages are drawn in strengths of their size, negative ones in a second colour; where neurons or
    steps are drawn as one, in strengths of how much all of them sent.
    """
    timesteps = max(len(each.values) for each in bands)
    return figure(label, *(_band(each) for each in bands), steps_axis(timesteps))


def _band(of: Band) -> Drawing:
    values = of.values.reshape(len(of.values), -1).astype(np.int64)
    neurons = values.shape[1]
    fired = int(np.count_nonzero(values))
    drawn = binned(values.T, (MAX_ROWS, MAX_COLUMNS))
    if drawn.shape != values.T.shape:  # opposite messages must not cancel each other
        sent = binned(np.abs(values.T), (MAX_ROWS, MAX_COLUMNS))
        drawn = np.where(drawn < 0, -sent, sent)
    together = -(-neurons // MAX_ROWS)
    said = f"{count(fired)} messages, {percent(fired / max(1, values.size))} of {of.unit} and steps"
    height = min(150, max(30, 4 * len(drawn)))
    return band(
        of.name,
        [f"{count(neurons)} {of.unit}", *([f"{together} a row"] if together > 1 else [])],
        image(strengths(drawn), f"{of.name}: {said}", style=f"height:{height}px"),
        [count(fired) if fired else "silent", percent(fired / max(1, values.size))],
        f"{of.name}: {said}",
    )
