"""Where in a person's own code an error arose: what they can change."""

import sysconfig
import traceback
from pathlib import Path

# What stops in a library or in here was called from a line of theirs.
_NOT_THEIRS = (
    *(sysconfig.get_path(name) for name in ("stdlib", "purelib", "platlib")),
    *(str(Path(__file__).parents[3] / ours) for ours in ("deploy", "export", "neuroclip")),
    "<",
)


def where(error: BaseException) -> str:
    """ "in line N of FILE with KIND: what it says", of the innermost line of the person's own."""
    line = str(error).splitlines()[0] if str(error) else ""
    kind = type(error).__name__
    if isinstance(error, SyntaxError) and error.filename is not None:
        return f"in line {error.lineno} of {Path(error.filename).name} with {kind}: {error.msg}"
    frames = traceback.extract_tb(error.__traceback__)
    theirs = [f for f in frames if not f.filename.startswith(_NOT_THEIRS)]
    at = f"in line {theirs[-1].lineno} of {Path(theirs[-1].filename).name} " if theirs else ""
    return f"{at}with {kind}: {line}" if line else f"{at}with {kind}"
