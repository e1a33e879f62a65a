"""Open vocabulary: class names of known data sets, labels that are replaced, distractors."""

from collections.abc import Sequence

from deploy.errors import BadInput
from neuroclip.data.images.class_names import class_names
from neuroclip.text.labels import Labels, label_pairs, split_labels
from neuroclip.text.prompts import fill

_MARK = "@"


def vocabulary(name: str) -> tuple[str, ...]:
    """The class names of a data set, in the order of its labels: those of `open_images(name)`.

    Raises BadInput for a name that is none of the known.
    """
    known = class_names()
    if name not in known:
        raise BadInput(f"vocabulary '{name}': none of {', '.join(known)}")
    return known[name]


def with_vocabularies(labels: Sequence[str]) -> tuple[str, ...]:
    """Labels with, in the place of each "@NAME", the class names of that data set that are not there.

    Raises BadInput as `vocabulary` does.
    """
    made: list[str] = []
    for label in labels:
        if label.startswith(_MARK):
            names = vocabulary(label.removeprefix(_MARK))
            made += [name for name in names if name not in labels and name not in made]
        else:
            made.append(label)
    return tuple(made)


def read_labels(labels: str) -> Labels:
    """Labels as `--labels` takes them: see `label_pairs`, and `with_vocabularies`.

    Raises BadInput as these do, and for a class that is named twice.
    """
    pairs = label_pairs(labels)
    given: dict[str, str] = {}
    for of_class, word in pairs:
        if of_class is None:
            continue
        if of_class in given:
            raise BadInput(f"--labels: class '{of_class}' is named twice")
        given[of_class] = word
    return Labels(with_vocabularies([word for _, word in pairs]), given)


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
    """The protocol "expand": distractors after the labels, "@NAME" for all classes of a data set that
    are no labels. Raises BadInput for one given twice."""
    given = split_labels(distractors)
    named = with_vocabularies(given)
    made = (*labels, *(x for x in named if x in given or x not in labels))
    fill(made, "{}")
    return made
