"""Where results that can be computed again are kept between runs."""

import os
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from deploy.errors import BadInput
from deploy.files import read_npz, write_npz


def cache_folder() -> Path:
    """The cache folder: the environment variable NEUROCLIP_CACHE, else ~/.cache/neuroclip.

    Raises BadInput where there is no home folder.
    """
    chosen = os.environ.get("NEUROCLIP_CACHE")
    try:
        return Path(chosen) if chosen else Path.home() / ".cache" / "neuroclip"
    except RuntimeError as error:
        raise BadInput(f"{error}; NEUROCLIP_CACHE names a folder for what is kept") from error


def read_cached(name: str) -> dict[str, NDArray[Any]] | None:
    """The arrays kept under a file name, or None where there are none or the file is damaged."""
    try:
        return read_npz(cache_folder() / name)
    except BadInput:
        # Not the user's error: what is missing or damaged is computed again.
        return None


def keep(name: str, arrays: Mapping[str, NDArray[Any]]) -> None:
    """Keep arrays under a file name; where that fails, warn: results do not depend on the cache."""
    try:
        write_npz(cache_folder() / name, arrays)
    except BadInput as error:
        warnings.warn(f"not cached, will be computed again: {error}", stacklevel=2)
