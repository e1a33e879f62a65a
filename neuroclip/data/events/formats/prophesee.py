"""The header of Prophesee's `.raw` and `.dat` files: lines of text that start with "%", key and value.

It ends with the line "% end", or with the first line that does not start so (RAW and DAT file format,
docs.prophesee.ai). A file may have none. Other people's writers leave the space behind "%" out, or part key
and value by a tab or colon.
"""

import re
from dataclasses import dataclass

from neuroclip.data.events.formats.raw import Sensor, header_lines

_BEGINS = re.compile(rb"%\s*[A-Za-z\r\n%]")


@dataclass(frozen=True)
class Header:
    """Keys in lower case and their values; size: the sensor's, where it is said; start: of the data."""

    fields: dict[str, str]
    sensor: Sensor | None
    start: int


def read_header(content: bytes) -> Header:
    """The header of a file: width and height from `format`, `geometry`, or lines of their own."""
    # Of data that begin like a header nearly none go on like one.
    lines, start = header_lines(content, b"%", "end") if _BEGINS.match(content) else ([], 0)
    fields: dict[str, str] = {}
    for line in lines:
        words = [*re.split(r"[\s:=]+", line, maxsplit=1), ""]
        fields[words[0].lower()] = words[1].strip()
    for part in fields.get("format", "").split(";")[1:]:
        key, _, said = part.partition("=")
        fields[f"format {key.strip().lower()}"] = said.strip()
    return Header(fields, _sensor(fields), start)


def _sensor(fields: dict[str, str]) -> Sensor | None:
    for prefix in ("format ", ""):
        size = [fields.get(f"{prefix}{side}", "") for side in ("width", "height")]
        if all(re.fullmatch(r"\d{1,5}", side) for side in size):
            return int(size[0]), int(size[1])
    geometry = re.fullmatch(r"(\d{1,5}) *[xX×] *(\d{1,5})", fields.get("geometry", ""))
    return (int(geometry[1]), int(geometry[2])) if geometry else None
