"""Where results that can be computed again are kept between runs."""

import os
from pathlib import Path


def cache_folder() -> Path:
    """The cache folder: the environment variable NEUROCLIP_CACHE, else ~/.cache/neuroclip."""
    chosen = os.environ.get("NEUROCLIP_CACHE")
    return Path(chosen) if chosen else Path.home() / ".cache" / "neuroclip"
