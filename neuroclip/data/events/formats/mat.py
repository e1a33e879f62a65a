"""`.mat` of ASL-DVS: MATLAB 5 files with the columns x, y, ts and pol, of a DAVIS240 (Bi et al. 2019).

y counts from the bottom (tonic reads it so too). SciPy reads them, in a child process.
"""

from pathlib import Path
from typing import Any

import numpy as np

from deploy.errors import BadInput
from neuroclip.data.events.formats.columns import from_columns
from neuroclip.data.events.formats.raw import RawEvents, Sensor

ASL_DVS_SIZE: Sensor = (240, 180)
_COLUMNS = {"x": "x", "y": "y", "t": "ts", "p": "pol"}


def read(path: Path, sensor: Sensor | None = None) -> RawEvents:
    """Read the columns. Raises BadInput: unreadable, damaged, other columns, not numbers."""
    from neuroclip.storage.hdf5 import read_in_child

    try:
        # Before the child begins, so that it is there for every one.
        from scipy.io import loadmat
    except ModuleNotFoundError as error:
        raise BadInput(f"{path}: reading .mat files needs scipy: pip install scipy") from error

    def columns() -> dict[str, Any]:
        found = loadmat(str(path), variable_names=list(_COLUMNS.values()), appendmat=False)
        missing = [name for name in _COLUMNS.values() if name not in found]
        if missing:
            raise BadInput(f"{path}: no column '{missing[0]}'; ASL-DVS's files have x, y, ts, pol")
        return {c: np.asarray(found[name]).reshape(-1) for c, name in _COLUMNS.items()}

    found = read_in_child(path, columns, "a whole MATLAB 5 file")
    events = from_columns(path, found, "us", ASL_DVS_SIZE)
    return RawEvents(
        events.x, ASL_DVS_SIZE[1] - 1 - events.y.astype(np.int64), events.t, events.p, ASL_DVS_SIZE
    )
