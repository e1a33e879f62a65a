"""What a person is told of samples that a model was trained on."""

import sys

from neuroclip.data.seen import UNRECORDED, Seen, left_out


def tell_seen(seen: Seen, count: int, total: int, part: str) -> None:
    """Say how many of a part's samples a model has seen, which were left out, and where nobody knows."""
    if count:
        print(left_out(count, total, part))
    if not seen.complete:
        print(f"note: {UNRECORDED}", file=sys.stderr)
