"""Data sets of event recordings: the bundled digits, and folders in N-MNIST's layout."""

from pathlib import Path

from neuroclip.data.dataset import EventDataset, few_shot
from neuroclip.data.digits import digits_dataset
from neuroclip.data.nmnist import folder_dataset

__all__ = ["EventDataset", "few_shot", "open_dataset"]


def open_dataset(name_or_path: str | Path, seed: int = 0) -> EventDataset:
    """The bundled data set ("digits") or the folder at a path; `seed` fixes the split.

    Raises BadInput as `folder_dataset` does.
    """
    if str(name_or_path) == "digits":
        return digits_dataset(seed)
    return folder_dataset(Path(name_or_path), seed)
