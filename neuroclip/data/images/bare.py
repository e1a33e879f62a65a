"""JPEG and PNG as what their pixels come from, and nothing else.

What describes a picture (EXIF, colour profiles, comments, frames of an animation, further pictures) never
reaches Pillow: none of it changes the pixels that we take, and its readers are where most faults were, e.g.
memory written beside an image (CVE-2026-112403), or minutes for a JPEG of many short descriptions.
"""

# Markers of JPEG (ITU-T T.81, table B.1): frames, the scan that ends the head, and those without content.
_FRAMES = {*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC}
_SCAN, _ALONE = 0xDA, {0x00, 0x01, *range(0xD0, 0xD9)}
# Descriptions: applications' but for JFIF's and Adobe's, which say what the colours are;
# extensions; comments.
_DESCRIBING = {*range(0xE1, 0xEE), 0xEF, *range(0xF0, 0xFF)}
_PNG, _PNG_KEPT = b"\x89PNG\r\n\x1a\n", {b"IHDR", b"PLTE", b"tRNS", b"IDAT", b"IEND"}
# A picture of 200 MB in the pieces of 8 KiB that libpng writes has a fifth of it.
_MAX_PARTS = 1 << 17


def bare(content: bytes) -> bytes:
    """The file without its descriptions; others than JPEG and PNG as they are.

    Raises ValueError for a JPEG of another number of frames than one, and for too many parts.
    """
    if content.startswith(b"\xff\xd8"):
        return _bare_jpeg(content)
    return _bare_png(content) if content.startswith(_PNG) else content


def _bare_jpeg(content: bytes) -> bytes:
    kept, frames, parts, at = [content[:2]], 0, 0, 2
    while 0 <= (at := content.find(b"\xff", at)) < len(content) - 4:
        parts = _counted(parts)
        marker, length = content[at + 1], int.from_bytes(content[at + 2 : at + 4], "big")
        if marker == _SCAN:
            break
        if marker == 0xFF:  # fills
            at += 1
            continue
        end = at + 2 + (0 if marker in _ALONE else length)
        frames += marker in _FRAMES
        if marker not in _DESCRIBING and marker not in _ALONE:
            kept.append(content[at:end])
        at = end
    # Pillow before 13 has room for the size of the last, and libjpeg fills that of another.
    if frames != 1 or at < 0:
        raise ValueError(f"a JPEG of {frames} frames, expected one, and a scan of it")
    return b"".join([*kept, content[at:]])


def _bare_png(content: bytes) -> bytes:
    kept, parts, at = [_PNG], 0, len(_PNG)
    while at + 8 <= len(content):
        parts = _counted(parts)
        end = at + 12 + int.from_bytes(content[at : at + 4], "big")
        if content[at + 4 : at + 8] in _PNG_KEPT:
            kept.append(content[at:end])
        at = end
    return b"".join(kept)


def _counted(parts: int) -> int:
    if parts >= _MAX_PARTS:
        raise ValueError(f"more than {_MAX_PARTS} parts in one picture")
    return parts + 1
