"""Small pictures of numbers: a pixel a value, as PNG files inside the page.

The PNG specification, third edition: signature, IHDR, PLTE, tRNS, IDAT, IEND; colour types 0, 2 and 3.
"""

import base64
import struct
import zlib
from typing import Any

import numpy as np
from numpy.typing import NDArray

from deploy.report.charts.svg import Drawing, el

# Strengths of a colour. More cannot be told apart.
LEVELS = 6
# Of both colours, which stand out from light and dark grounds alike.
_POSITIVE, _NEGATIVE = (31, 127, 196), (204, 98, 34)
# The longest side of a picture, pixels; what is larger is summed in blocks.
MAX_SIDE = 64


def strengths(values: NDArray[Any], largest: float | None = None) -> NDArray[np.uint8]:
    """Signed values as palette entries: 0 for 0, 1 … LEVELS by size, then as many for negative ones.

    largest: what has full strength; the largest of |values| where none is given. No value but 0 is 0.
    """
    found = np.asarray(values, np.float64)
    top = max(largest or float(np.abs(found).max(initial=0)), 1e-300)
    level = np.ceil(np.minimum(np.abs(found) / top, 1) * LEVELS).astype(np.uint8)
    return np.where(found < 0, level + np.uint8(LEVELS) * (level > 0), level).astype(np.uint8)


def binned(values: NDArray[Any], size: tuple[int, int]) -> NDArray[np.float64]:
    """[rows, columns, …] summed in blocks, so that there are at most `size` of them; none is left out."""
    found = np.asarray(values, np.float64)
    for axis, most in enumerate(size):
        block = -(-found.shape[axis] // most)
        if block > 1:
            found = np.add.reduceat(found, np.arange(0, found.shape[axis], block), axis=axis)
    return found


def image(pixels: NDArray[np.uint8], label: str, **attributes: str | int | None) -> Drawing:
    """An `<img>` that holds its picture itself.

    pixels: palette entries of `strengths` [height, width], or colours [height, width, 3].
    """
    source = base64.b64encode(png(pixels)).decode()
    return el("img", src=f"data:image/png;base64,{source}", alt=label, **attributes)


def png(pixels: NDArray[np.uint8]) -> bytes:
    """A PNG file of palette entries uint8 [height, width], or of colours uint8 [height, width, 3]."""
    height, width = pixels.shape[:2]
    rows = np.ascontiguousarray(pixels).reshape(height, -1)
    # Each row begins with its filter, none.
    content = np.concatenate([np.zeros((height, 1), np.uint8), rows], axis=1).tobytes()
    head = struct.pack(">2I5B", width, height, 8, 3 if pixels.ndim == 2 else 2, 0, 0, 0)
    parts = [(b"IHDR", head), (b"IDAT", zlib.compress(content, 9)), (b"IEND", b"")]
    if pixels.ndim == 2:
        parts[1:1] = [(b"PLTE", _PALETTE), (b"tRNS", _ALPHA)]
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
        for name, data in parts
    )


_PALETTE = bytes([0, 0, 0, *_POSITIVE * LEVELS, *_NEGATIVE * LEVELS])
# Silence shows the ground; the weakest message is still seen.
_STRENGTHS = [round(60 + 195 * i / (LEVELS - 1)) for i in range(LEVELS)]
_ALPHA = bytes([0, *_STRENGTHS, *_STRENGTHS])
