"""A picture without its descriptions has the pixels it had, and no description reaches Pillow."""

import io
import struct
import zlib

import numpy as np
import pytest

pytest.importorskip("PIL")
from PIL import Image

from neuroclip.data.images.bare import bare
from neuroclip.data.images.folders import decoded

RNG = np.random.default_rng(0)


def picture(mode: str) -> Image.Image:
    colours = Image.fromarray(RNG.integers(0, 256, (19, 23, 4), np.uint8), "RGBA")
    if mode == "I;16":
        return Image.fromarray(RNG.integers(0, 1 << 16, (19, 23)).astype(np.uint16))
    return (
        colours.convert("RGB").convert(mode)
        if mode in ("1", "P", "CMYK")
        else colours.convert(mode)
    )


def saved(image: Image.Image, kind: str, **how) -> bytes:
    stream = io.BytesIO()
    image.save(stream, kind, **how)
    return stream.getvalue()


def described() -> dict:
    exif = Image.Exif()
    exif[0x0112], exif[0x010E] = 6, "turned"
    return {"exif": exif, "icc_profile": bytes(70_000), "dpi": (72, 72), "comment": b"a comment"}


def chunk(kind: bytes, content: bytes) -> bytes:
    return (
        struct.pack(">I", len(content))
        + kind
        + content
        + struct.pack(">I", zlib.crc32(kind + content))
    )


def segment(content: bytes) -> bytes:
    return b"\xff\xe1" + struct.pack(">H", len(content) + 2) + content


JPEGS = [
    ("JPEG", mode, how)
    for mode in ("L", "RGB", "CMYK")
    for how in ({}, {"progressive": True}, {"subsampling": 2})
]
PNGS = [("PNG", mode, {}) for mode in ("1", "L", "LA", "P", "RGB", "RGBA", "I;16")]


@pytest.mark.parametrize(
    ("kind", "mode", "how"), [*JPEGS, *PNGS, ("PNG", "P", {"transparency": 3})]
)
def test_pixels_are_those_of_the_whole_file(kind, mode, how):
    whole = saved(picture(mode), kind, **how, **described())
    made = bare(whole)
    assert b"turned" in whole and b"turned" not in made and len(made) < len(whole)
    there, here = Image.open(io.BytesIO(whole)), decoded(whole)
    assert here.mode == there.mode and here.format == kind
    assert np.array_equal(np.asarray(here.convert("RGBA")), np.asarray(there.convert("RGBA")))
    assert not {"exif", "icc_profile", "comment"} & set(here.info)
    assert bare(made) == made


def test_of_several_pictures_the_first_is_read():
    """Pillow has readers of their own for animations and for a JPEG that holds more of them."""
    first, second = picture("RGB"), picture("RGB")
    for kind in ("PNG", "MPO"):
        whole = saved(first, kind, save_all=True, append_images=[second])
        assert getattr(Image.open(io.BytesIO(whole)), "n_frames", 1) == 2
        here = decoded(whole)
        assert getattr(here, "n_frames", 1) == 1
        assert np.array_equal(np.asarray(here), np.asarray(Image.open(io.BytesIO(whole))))


def test_a_jpeg_of_two_frames_is_refused_whatever_it_says_to_be():
    """libjpeg fills the size of one, Pillow made room for that of the other."""
    again = {"save_all": True, "append_images": [picture("RGB")]}
    for kind, how in (("JPEG", {}), ("MPO", again)):
        whole = saved(picture("RGB"), kind, **how)
        at = whole.index(b"\xff\xc0")
        frame = whole[at : at + 2 + int.from_bytes(whole[at + 2 : at + 4], "big")]
        wide = frame[:5] + b"\x40\x00\x40\x00" + frame[9:]
        for more in (wide + frame, frame + b"\xff\xff" + wide, frame + b"junk" + wide):
            with pytest.raises(ValueError, match="a JPEG of 2 frames"):
                decoded(whole[:at] + more + whole[at + len(frame) :])


@pytest.mark.parametrize("cut", [1, 3, 5, 40, 0.5, 0.9])
def test_a_cut_picture_is_refused(cut):
    for kind in ("JPEG", "PNG"):
        whole = saved(picture("RGB"), kind)
        with pytest.raises((ValueError, OSError, SyntaxError)):
            decoded(whole[: int(cut * len(whole)) if cut < 1 else cut]).load()


def test_many_descriptions_never_reach_pillow():
    """It would copy the first's again for each, 60 GB in all."""
    jpeg, png = saved(picture("L"), "JPEG"), saved(picture("L"), "PNG")
    described = {
        jpeg: jpeg[:2] + segment(b"Exif\0\0" + bytes(290)) * 20_000 + jpeg[2:],
        png: png[:33] + chunk(b"tEXt", b"a\0b") * 20_000 + png[33:],
    }
    assert [bare(whole) for whole in described.values()] == [
        bare(bare_one) for bare_one in described
    ]
    for many in (
        jpeg[:2] + b"\xff" * (1 << 18) + jpeg[2:],
        png[:33] + chunk(b"tEXt", b"") * (1 << 17) + png[33:],
    ):
        with pytest.raises(ValueError, match="more than 131072 parts"):
            decoded(many)
