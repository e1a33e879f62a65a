"""What a terminal shows of a text: characters that would move its cursor or turn its letters are escaped.

Names come from files of strangers. A terminal obeys the control characters in them, and characters that
set the direction of writing make one name look like another.
"""

import re

# C0 and C1 controls; what sets the direction of letters; what is invisible; lines and halves of characters.
_UNSEEN = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb"
    "\ud800-\udfff\U000e0000-\U000e007f]"
)


def shown(text: str) -> str:
    """A text with each such character as Python would write it in quotes; tabs and newlines stay."""
    return _UNSEEN.sub(lambda found: ascii(found[0])[1:-1], text)
