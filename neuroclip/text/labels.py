"""Lists of labels as a command line gives them."""

from deploy.errors import BadInput


def split_labels(labels: str) -> tuple[str, ...]:
    """Labels given as "a,b,c". Raises BadInput for an empty list."""
    names = tuple(name.strip() for name in labels.split(",") if name.strip())
    if not names:
        raise BadInput(f"--labels {labels!r}: the list of labels is empty")
    return names
