"""Open vocabulary: zero-shot by replacing labels or adding distractors, and what new labels cost."""

from deploy.errors import BadInput
from neuroclip.commands import split_labels
from neuroclip.prompts import fill


def replaced(labels: tuple[str, ...], pairs: str) -> tuple[str, ...]:
    """The protocol "replace": "horse=zebra,ship=boat". Raises BadInput naming a label not there."""
    made = list(labels)
    for pair in split_labels(pairs):
        old, _, new = (part.strip() for part in pair.partition("="))
        if old not in labels or not new:
            raise BadInput(f"--replace '{pair}': expected LABEL=NAME, LABEL of {list(labels)}")
        made[labels.index(old)] = new
    fill(made, "{}")
    return tuple(made)


def expanded(labels: tuple[str, ...], distractors: str) -> tuple[str, ...]:
    """The protocol "expand": distractors after the labels. Raises BadInput for one twice."""
    made = (*labels, *split_labels(distractors))
    fill(made, "{}")
    return made
