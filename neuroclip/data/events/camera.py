"""An event camera in front of a still picture: N-MNIST's three saccades, log-intensity thresholds.

The parameters were fixed before the first accuracy was measured on the streams they make, and are
never tuned on one. `dark_level` was set so that the digits of the training part give as many events
as real N-MNIST recordings do (4 133 on average over 1 000 of them); nothing else was fitted.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from neuroclip.data.events.formats.nmnist import NMNIST_HEIGHT, NMNIST_WIDTH
from neuroclip.data.events.recording import Recording

# Recordings simulated at once: what keeps one step's arrays in a core's cache.
_CHUNK = 64


@dataclass(frozen=True)
class CameraParameters:
    """Everything the simulator depends on; the sources are

    width, height: N-MNIST's sensor crop, pixels (Orchard et al. 2015, Front. Neurosci. 9:437).
    path: picture positions (x, y) in pixels that the three saccades join, a triangle; the data
        set's own stabilisation code (event-Python, tonic's `stabilize`) undoes exactly these.
    saccade_us: µs of one saccade: 105 000 in the same code. Speed along it is a raised cosine, as
        smooth as the event rates of real recordings.
    threshold_on, threshold_off: contrast thresholds in log intensity, 0.2: nominal in v2e (Hu,
        Liu, Delbruck 2021) and within the range of ESIM (Rebecq et al. 2018).
    mismatch: standard deviation of a pixel's thresholds, log intensity, fixed for the sensor;
        2.1 % contrast (Lichtsteiner, Posch, Delbruck 2008).
    refractory_us: µs after an event in which a pixel stays silent; 500 (v2e).
    noise_hz: background events per pixel and second, random polarity; 0.35, the rate in the
        corner pixels of real N-MNIST recordings, which no digit reaches.
    dark_level: intensity of black relative to white minus black on the display; calibrated to
        N-MNIST's mean number of events, see the module's docstring.
    step_us: µs between rendered pictures, event times are interpolated linearly between them: the
        picture moves at most 0.3 pixel a step, under the half pixel that ESIM samples by.
    on_polarity: polarity bit of a brightness increase. In real N-MNIST recordings a digit's leading
        edge carries 0 (mean position of the two polarities in each saccade).
    seed: of the sensor's mismatch and of the noise.
    """

    width: int = NMNIST_WIDTH
    height: int = NMNIST_HEIGHT
    path: tuple[tuple[float, float], ...] = ((0.0, 0.0), (3.5, 7.0), (7.0, 0.0), (0.0, 0.0))
    saccade_us: int = 105_000
    threshold_on: float = 0.2
    threshold_off: float = 0.2
    mismatch: float = 0.021
    refractory_us: int = 500
    noise_hz: float = 0.35
    dark_level: float = 0.47
    step_us: int = 2_000
    on_polarity: int = 0
    seed: int = 0


def simulate(
    images: NDArray[np.uint8],
    parameters: CameraParameters,
    names: tuple[str, ...],
    first_index: int = 0,
) -> Iterator[Recording]:
    """Event streams of still pictures seen through the saccades, one `Recording` a picture.

    images: uint8 [pictures, rows, columns], 0 black, 255 white; the path's bounding box is centred
    on the sensor, what leaves the sensor is lost, around the picture it is black. A pixel emits an
    event each time log(intensity + dark_level) has moved by its threshold since the level of its
    last crossing (ESIM's model). Deterministic: a stream depends on its picture, the parameters and
    its index (`first_index` + position) only.
    """
    for start in range(0, len(images), _CHUNK):
        chunk = images[start : start + _CHUNK]
        yield from _simulate_chunk(
            chunk, parameters, names[start : start + _CHUNK], first_index + start
        )


def picture_position(
    t_us: NDArray[np.float64], parameters: CameraParameters
) -> NDArray[np.float64]:
    """Position [times, 2] (x, y) of the picture in pixels, relative to the path's start, at µs."""
    corners = np.asarray(parameters.path, dtype=np.float64)
    phase = np.clip(t_us / parameters.saccade_us, 0, len(corners) - 1)
    leg = np.minimum(phase.astype(np.int64), len(corners) - 2)
    u = phase - leg
    way = (u - np.sin(2 * np.pi * u) / (2 * np.pi))[:, None]
    return corners[leg] * (1 - way) + corners[leg + 1] * way


def _simulate_chunk(
    images: NDArray[np.uint8],
    parameters: CameraParameters,
    names: tuple[str, ...],
    first_index: int,
) -> Iterator[Recording]:
    count = len(images)
    pixels = parameters.height * parameters.width
    on, off = _sensor_thresholds(parameters)
    on, off = np.tile(on, count), np.tile(off, count)
    duration = parameters.saccade_us * (len(parameters.path) - 1)
    times = np.append(np.arange(0, duration, parameters.step_us), duration).astype(np.float64)
    canvas, origin = _canvas(images, parameters)
    positions = origin - picture_position(times, parameters)
    before = _log_intensity(canvas, positions[0], parameters)
    level = before.copy()
    last = np.full(count * pixels, -np.inf)
    found: list[tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.bool_]]] = []
    for step in range(1, len(times)):
        after = _log_intensity(canvas, positions[step], parameters)
        rise = after - level
        active = np.flatnonzero((rise >= on) | (rise <= -off))
        while len(active):
            brighter = after[active] > level[active]
            level[active] += np.where(brighter, on[active], -off[active])
            part = (level[active] - before[active]) / (after[active] - before[active])
            # Rounding may leave a crossing a hair outside the step it was found in.
            t = times[step - 1] + np.clip(part, 0, 1) * (times[step] - times[step - 1])
            awake = t - last[active] >= parameters.refractory_us
            last[active[awake]] = t[awake]
            found.append((active[awake], t[awake].astype(np.int64), brighter[awake]))
            rise = after[active] - level[active]
            active = active[(rise >= on[active]) | (rise <= -off[active])]
        before = after
    where = np.concatenate([events[0] for events in found]) if found else np.zeros(0, np.int64)
    t_us = np.concatenate([events[1] for events in found]) if found else np.zeros(0, np.int64)
    up = np.concatenate([events[2] for events in found]) if found else np.zeros(0, bool)
    p = np.where(up, parameters.on_polarity, 1 - parameters.on_polarity).astype(np.uint8)
    # Grouped by picture, then by time: one slice of the sorted order is one recording.
    order = np.lexsort((where, t_us, where // pixels))
    where, t_us, p = where[order], t_us[order], p[order]
    ends = np.searchsorted(where // pixels, np.arange(count + 1))
    for i, name in enumerate(names):
        own = slice(ends[i], ends[i + 1])
        noise = _noise(parameters, first_index + i, duration)
        pixel = np.concatenate([where[own] % pixels, noise[0]])
        t_all = np.concatenate([t_us[own], noise[1]])
        p_all = np.concatenate([p[own], noise[2]])
        order = np.argsort(t_all, kind="stable")
        y, x = np.divmod(pixel[order], parameters.width)
        yield Recording(x, y, t_all[order], p_all[order], parameters.width, parameters.height, name)


def _sensor_thresholds(
    parameters: CameraParameters,
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    pixels = parameters.height * parameters.width
    spread = np.random.default_rng([parameters.seed, 0]).normal(0, parameters.mismatch, (2, pixels))
    # v2e's floor: a pixel of almost no threshold would fire without end.
    on = np.maximum(parameters.threshold_on + spread[0], 0.01).astype(np.float32)
    off = np.maximum(parameters.threshold_off + spread[1], 0.01).astype(np.float32)
    return on, off


def _canvas(
    images: NDArray[np.uint8], parameters: CameraParameters
) -> tuple[NDArray[np.float32], NDArray[np.float64]]:
    """Pictures with a black margin, and the sensor's corner on them with the path centred."""
    corners = np.asarray(parameters.path, dtype=np.float64)
    extent = corners.max(0) - corners.min(0)
    size = np.array([parameters.width, parameters.height])
    picture = np.array([images.shape[2], images.shape[1]])
    margin = int(np.ceil(np.maximum(size - picture, 0).max() + extent.max())) + 2
    canvas = np.pad(images.astype(np.float32) / 255, ((0, 0), (margin, margin), (margin, margin)))
    middle = (corners.max(0) + corners.min(0)) / 2
    return canvas, margin + (picture - size) / 2 + middle


def _log_intensity(
    canvas: NDArray[np.float32], corner: NDArray[np.float64], parameters: CameraParameters
) -> NDArray[np.float32]:
    """Log intensity float32 [pictures · pixels] of the view at `corner` (x, y), bilinear."""
    x, y = int(np.floor(corner[0])), int(np.floor(corner[1]))
    fx, fy = np.float32(corner[0] - x), np.float32(corner[1] - y)
    view = canvas[:, y : y + parameters.height + 1, x : x + parameters.width + 1]
    rows = view[:, :-1] * (1 - fy) + view[:, 1:] * fy
    seen = rows[:, :, :-1] * (1 - fx) + rows[:, :, 1:] * fx
    return np.log(seen + np.float32(parameters.dark_level)).reshape(-1)


def _noise(
    parameters: CameraParameters, index: int, duration: int
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.uint8]]:
    random = np.random.default_rng([parameters.seed, 1, index])
    pixels = parameters.height * parameters.width
    count = int(random.poisson(parameters.noise_hz * pixels * duration * 1e-6))
    t = np.sort(random.integers(0, duration, count))
    return random.integers(0, pixels, count), t, random.integers(0, 2, count).astype(np.uint8)
