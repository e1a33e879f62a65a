"""`ImageSource`: labelled images of which none is decoded yet, and the pixels of one that is."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from deploy.reading import require_memory

# A larger picture is none that a data set for these sizes holds: 8192 × 8192 take 200 MB as colours.
_MAX_PIXELS, _MAX_SIDE = 1 << 26, 1 << 15
# Of a pixel as it is decoded, converted and scaled.
_BYTES = 12
# Of PIL's modes with 16 bits a pixel, "I" is what some of its versions make of a gray PNG of 16 bits.
_SIXTEEN_BITS = ("I", "I;16", "I;16L", "I;16B", "I;16N")


@dataclass(frozen=True, eq=False)
class ImageSource:
    """Labelled images.

    name: of the data set. labels: int64 [N]. tests: bool [N], of a test part of its own.
    class_names: by label. title: what an error calls an image. read: an image by its index; raises
    what PIL and the file's container do, of many types, where it cannot be read.
    """

    name: str
    labels: NDArray[np.int64]
    tests: NDArray[np.bool_]
    class_names: tuple[str, ...]
    title: Callable[[int], str]
    read: Callable[[int], Image.Image]


def pixels(image: Image.Image, size: int, channels: int) -> NDArray[np.uint8]:
    """Pixels uint8 [C, size, size] of an image of any size and colour mode; channels: 1 gray, 3 colours.

    Palettes and CMYK become colours, 16 bits become 8, what is under transparency shows (all as CLIP's
    own preprocessing has it, but 16 bits, which PIL alone would clip). Stretched bilinearly to the
    square. Raises ValueError or BadInput for more than 2^26
    pixels, or than memory holds.
    """
    width, height = image.size
    if width * height > _MAX_PIXELS:
        raise ValueError(f"its {width} × {height} pixels exceed {_MAX_PIXELS}")
    # Of a row Pillow holds a pointer and more, however short it is.
    if max(width, height) > _MAX_SIDE:
        raise ValueError(f"its {width} × {height} pixels exceed a side of {_MAX_SIDE}")
    require_memory(f"its {width} × {height} pixels: what they are", _BYTES * width * height)
    if image.mode in _SIXTEEN_BITS:
        deep = np.asarray(image).astype(np.int64)
        if deep.min() < 0 or deep.max() > 0xFFFF:
            raise ValueError(f"its pixels {deep.min()}..{deep.max()} are not of 16 bits")
        image = Image.fromarray(np.rint(deep / 257).astype(np.uint8))
    made = image.convert("L" if channels == 1 else "RGB")
    if made.size != (size, size):
        made = made.resize((size, size), Image.Resampling.BILINEAR)
    flat = np.asarray(made, np.uint8).reshape(size, size, channels)
    return np.ascontiguousarray(flat.transpose(2, 0, 1))
