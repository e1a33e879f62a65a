"""What spatial nodes sent, seen as pictures: frames over time, and a map for each channel."""

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from deploy.report.charts.bands import figure
from deploy.report.charts.pixels import MAX_SIDE, binned, image, strengths
from deploy.report.charts.svg import Drawing, el

# Pictures in a row of them.
MAX_TILES = 10


def is_spatial(shape: Sequence[int]) -> bool:
    """Whether neurons of a shape have places: rows and columns, in channels or not."""
    return len(shape) in (2, 3) and min(shape[-2:]) > 1


def gray_frames(frames: NDArray[np.uint8], label: str) -> Drawing:
    """What the host saw: gray frames [time, height, width], as even a choice as fits."""
    chosen = np.linspace(0, len(frames) - 1, min(len(frames), MAX_TILES)).round().astype(int)
    tiles = [
        _tile(np.repeat(shrunk(frames[t])[..., None], 3, axis=2), str(t + 1))
        for t in chosen.tolist()
    ]
    return figure(label, *tiles, cls="tiles-row")


def shrunk(frames: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Frames [..., height, width] with every so many pixels, so that no side is longer than a picture's.

    A mean would show grays that nobody saw.
    """
    every = -(-max(frames.shape[-2:]) // MAX_SIDE)
    return frames[..., ::every, ::every]


def input_frames(values: NDArray[Any], label: str) -> Drawing:
    """Messages of a spatial input [time, (channels,) rows, columns] as frames over time.

    Two channels are polarities, and each pixel shows the one that sent more; three are colours; of any
    other number their sum is drawn. Steps that all send the same are one frame.
    """
    sent = values.reshape(len(values), -1, *values.shape[-2:]).astype(np.float64)
    if len(sent) > 1 and (sent == sent[0]).all():
        ends = [(0, len(sent))]
        sent = sent[:1]
    else:
        edges = np.linspace(0, len(sent), min(len(sent), MAX_TILES) + 1).round().astype(int)
        ends = [(int(a), int(b)) for a, b in pairwise(edges)]
        sent = np.stack([sent[a:b].sum(axis=0) for a, b in ends])
    small = [binned(np.moveaxis(frame, 0, 2), (MAX_SIDE, MAX_SIDE)) for frame in sent]
    largest = max(float(np.abs(frame).max(initial=0)) for frame in small)
    names = [str(a) if b == a + 1 else f"{a}–{b - 1}" for a, b in ends]
    tiles = [_tile(_pixels(f, largest), n) for f, n in zip(small, names, strict=True)]
    return figure(label, *tiles, cls="tiles-row")


def channel_maps(values: NDArray[Any], label: str) -> Drawing:
    """Messages of a spatial node [time, (channels,) rows, columns], summed over time: a map a channel."""
    sums = values.astype(np.int64).sum(axis=0).reshape(-1, *values.shape[-2:])
    shown = np.linspace(0, len(sums) - 1, min(len(sums), MAX_TILES)).round().astype(int)
    small = {int(c): binned(sums[c], (MAX_SIDE, MAX_SIDE)) for c in shown}
    largest = max(float(np.abs(each).max(initial=0)) for each in small.values())
    tiles = [_tile(strengths(each, largest), str(c)) for c, each in small.items()]
    return figure(label, *tiles, cls="tiles-row")


def _pixels(frame: NDArray[np.float64], largest: float) -> NDArray[np.uint8]:
    """A frame [rows, columns, channels] as pixels."""
    channels = frame.shape[2]
    if channels == 3 and (frame >= 0).all():
        return (frame * (255 / max(largest, 1e-300))).round().astype(np.uint8)
    if channels == 2:
        first, second = frame[..., 0], frame[..., 1]
        return strengths(np.where(second > first, -second, first), largest)
    return strengths(frame.sum(axis=2))


def _tile(pixels: NDArray[np.uint8], name: str) -> Drawing:
    return el("span", image(pixels, name), el("small", name), cls="tile")
