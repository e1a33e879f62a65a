"""open_clip, imported in a way that leaves nothing of a process that is killed.

What it imports, torch.distributed.nn, makes a temporary folder and keeps it, empty, until the process ends.
It is made in a folder of ours, which goes at once; where the process is killed within, the next one sweeps
it.
"""

import tempfile

from deploy.files import temporary_folder

with temporary_folder("neuroclip-import-") as _folder:
    _before, tempfile.tempdir = tempfile.tempdir, str(_folder)
    try:
        import open_clip
    finally:
        tempfile.tempdir = _before

__all__ = ["open_clip"]
