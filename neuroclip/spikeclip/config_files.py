"""Where the settings of a SpikeCLIP's training lie, by name or path; told without torch."""

from pathlib import Path

from deploy.errors import BadInput

CONFIGS = Path(__file__).parent / "training" / "configs"


def config_file(name_or_file: str) -> Path:
    """The JSON file of bundled settings, or the file at a path. Raises BadInput where there is none."""
    bundled = CONFIGS / f"{name_or_file}.json"
    path = bundled if bundled.is_file() else Path(name_or_file)
    if not path.is_file():
        known = sorted(p.stem for p in CONFIGS.glob("*.json"))
        raise BadInput(f"{name_or_file}: no such configuration file; bundled ones are {known}")
    return path
