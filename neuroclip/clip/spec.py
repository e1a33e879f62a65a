"""Which CLIP is meant, and whether there can be one of that name: told without torch."""

from collections.abc import Collection
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from deploy.errors import BadInput

BUNDLED = "digits"
LOCAL = "local-dir:"
"""What open_clip puts before a folder."""
BUNDLED_FOLDER = Path(__file__).parents[1] / "models" / "digits-clip"


@dataclass(frozen=True)
class ClipSpec:
    """Which CLIP: the bundled one, a folder of `neuroclip.clip.pretrain`, or one of open_clip.

    model: "digits" (bundled); a folder, perhaps with "local-dir:" before it: of our own CLIP, of
    open_clip's, or of Hugging Face's; or an open_clip architecture such as "ViT-B-32". pretrained: only
    for the last, its tag of pretrained weights (downloaded by open_clip) or a local weight file.
    """

    model: str = BUNDLED
    pretrained: str | None = None

    @property
    def folder(self) -> Path | None:
        """Where a CLIP of our own lies; None for one of others."""
        if self.model == BUNDLED:
            return BUNDLED_FOLDER
        folder = self._local
        return folder if folder is not None and self.others is None else None

    @property
    def others(self) -> Path | None:
        """The folder of a CLIP of open_clip or Hugging Face."""
        folder = self._local
        if folder is None:
            return None
        if (folder / "open_clip_config.json").is_file():
            return folder
        # Options are checked with this module, and reading a file imports NumPy.
        from deploy.files import read_json

        try:
            raw = read_json(folder / "config.json")
        except BadInput:  # whoever reads it says what is wrong
            return None
        return folder if isinstance(raw, dict) and "model_type" in raw else None

    @property
    def _local(self) -> Path | None:
        folder = Path(self.model.removeprefix(LOCAL))
        return folder if self.model != BUNDLED and folder.is_dir() else None

    @property
    def named(self) -> "ClipSpec":
        """What a checkpoint says of it to its reader: names without the folders they lie in."""
        names = (
            None if name is None else Path(name).name for name in (self.model, self.pretrained)
        )
        return ClipSpec(*names) if self.model != BUNDLED else self  # type: ignore[arg-type]


def check_spec(spec: ClipSpec, known: Collection[str] = ()) -> None:
    """Raises BadInput where no CLIP has this name, or no weights of open_clip's are named.

    known: names of open_clip's architectures. Left out, they are those of its JSON files: to read their
    names it is not imported.
    """
    if spec.folder is not None or spec.others is not None:
        return
    if spec.model.startswith(LOCAL):
        raise BadInput(f"CLIP '{spec.model}': no such folder")
    package = find_spec("open_clip")
    if not known and package is not None and package.origin is not None:
        known = {path.stem for path in Path(package.origin).parent.glob("model_configs/*.json")}
    if known and spec.model not in known:
        raise BadInput(
            f"CLIP '{spec.model}': neither '{BUNDLED}', a folder, nor an open_clip architecture"
        )
    if not spec.pretrained:
        raise BadInput(f"CLIP '{spec.model}': no weights given (a tag of open_clip, or a file)")
