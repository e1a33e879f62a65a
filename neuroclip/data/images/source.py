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

    name: of the data set. labels: int64 [N]. parts: int64 [N], the part of its own that an image is in: 0
    train, 1 validation, 2 test.
    class_names: by label. title: what an error calls an image. read: an image by its index; raises
    what PIL and the file's container do, of many types, where it cannot be read. notes: what of the
    container was left out, and why.
    """

    name: str
    labels: NDArray[np.int64]
    parts: NDArray[np.int64]
    class_names: tuple[str, ...]
    title: Callable[[int], str]
    read: Callable[[int], Image.Image]
    notes: tuple[str, ...] = ()


def of_eight_bits(image: Image.Image) -> Image.Image:
    """An image whose 16 bits a pixel, which PIL alone would clip, are 8. Raises ValueError or BadInput for
    more than 2^26 pixels, or than memory holds."""
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
        return Image.fromarray(np.rint(deep / 257).astype(np.uint8))
    return image


def colours(image: Image.Image) -> NDArray[np.uint8]:
    """All pixels of an image `of_eight_bits`, uint8 [H, W, 3]."""
    return np.asarray(image.convert("RGB"), np.uint8)


def pixels(image: Image.Image, size: int, channels: int) -> NDArray[np.uint8]:
    """Pixels uint8 [C, size, size] of an image `of_eight_bits`; channels: 1 gray, 3 colours.

    Palettes and CMYK become colours, what is under transparency shows (all as CLIP's own preprocessing
    has it). Stretched bilinearly to the square.
    """
    made = image.convert("L" if channels == 1 else "RGB")
    if made.size != (size, size):
        made = made.resize((size, size), Image.Resampling.BILINEAR)
    flat = np.asarray(made, np.uint8).reshape(size, size, channels)
    return np.ascontiguousarray(flat.transpose(2, 0, 1))
