"""`neuroclip models`: the models that come with the package, each usable by its name."""

import argparse

HELP = "the models that come with the package, each usable by its name"
EXAMPLES = "neuroclip models"

_WORDS = {"neuroclip-adapter": "NeuroCLIP adapter", "spikeclip": "SpikeCLIP"}


def add_options(parser: argparse.ArgumentParser) -> None:
    """It has none."""


def run(options: argparse.Namespace) -> int:
    """Print name, kind, size and classes of every bundled model."""
    from deploy.files import read_json
    from deploy.report.inspect import aligned
    from neuroclip.storage.checkpoint_files import MODELS

    rows = []
    for config in sorted(MODELS.glob("*/config.json")):
        held = read_json(config)
        labels = ", ".join(held.get("labels", []))
        size = sum(file.stat().st_size for file in config.parent.iterdir()) // 1000
        kind = _WORDS.get(held.get("format"), "CLIP, which adapters read")
        rows.append([config.parent.name, kind, f"{size} kB", labels or "any, by text"])
    print("\n".join(aligned(["name", "kind", "size", "classes"], rows, "llrl")))
    return 0
