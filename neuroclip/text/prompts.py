"""Prompts: the sentence around a class name that the text encoder sees."""

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

from deploy.errors import BadInput

# For data sets that have no prompt of their own; CLIP's first template (Radford et al. 2021).
DEFAULT_TEMPLATE = "a photo of a {}."

# ImageNet-21k has 21 841 classes. Each is a sentence to encode and a neuron of the last layer.
MAX_LABELS = 1 << 15


def fill(labels: Sequence[str], template: str) -> list[str]:
    """One prompt per label, in order: the template's `{}` replaced by the label, without underscores.

    Raises BadInput: no labels, an empty or repeated label, a template without exactly one `{}`.
    """
    if not labels:
        raise BadInput("labels: the list is empty, at least one label is needed")
    names = [label.replace("_", " ").strip() for label in labels]
    if "" in names:
        raise BadInput(f"labels: label {names.index('')} is empty")
    if len(names) > MAX_LABELS:
        raise BadInput(f"labels: {len(names)} labels, at most {MAX_LABELS} are read")
    if len(set(names)) < len(names):
        repeated = next(name for name, times in Counter(names).items() if times > 1)
        raise BadInput(f"labels: label '{repeated}' is given more than once")
    if template.count("{}") != 1:
        raise BadInput(f"template '{template}': expected exactly one {{}} for the label")
    return [template.replace("{}", name) for name in names]


def require_content(labels: Sequence[str], tokenize: Callable[[list[str]], Any]) -> None:
    """Raise BadInput for a label that its tokenizer reads nothing of, such as "&nbsp;" in CLIP's, or that it
    reads as it does another, such as "Cat" and "cat": nothing could tell them apart.

    tokenize: texts → token ids [texts, length], padded alike. In a template such a label would be a
    sentence about nothing, like that of any other.
    """
    *ids, nothing = tokenize([*(label.strip() for label in labels), ""])
    read: dict[tuple[int, ...], str] = {}
    for label, row in zip(labels, ids, strict=True):
        if bool((row == nothing).all()):
            raise BadInput(f"labels: label {label!r} holds nothing that the tokenizer reads")
        other = read.setdefault(tuple(row.tolist()), label)
        if other != label:
            raise BadInput(f"labels: the tokenizer reads {other!r} and {label!r} as one text")
