"""The versions of what a run rests on."""

import platform
from importlib.metadata import PackageNotFoundError, version

PACKAGES = (
    "neuroclip",
    "numpy",
    "torch",
    "snntorch",
    "open_clip_torch",
    "nir",
    "nirtorch",
    "lava-nc",
)


def versions() -> dict[str, str]:
    """{package: version} of Python and of every installed package that takes part."""
    found = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found
