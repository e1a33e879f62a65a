"""Lists of labels as a command line gives them, and what each of them stands for.

Between data and model only names decide: the label "dog" stands for the class "dog" of any data, in
whatever order either has them, and another word for a class only where it is said so, "dog=hound".
"""

import csv
import json
import os
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from io import StringIO
from pathlib import Path
from typing import Any
from unicodedata import normalize

import numpy as np
from numpy.typing import NDArray

from deploy.errors import BadInput
from deploy.reading import read_text

# What is called so is a file, and no label.
_FILES = (".txt", ".tsv", ".json")
_MAX_BYTES = 16 << 20
# A WordNet number and its words, as ImageNet's lists of classes have them.
_SYNSET = re.compile(r"(n\d{8})\s+(.+)")
_SHOWN = 12


@dataclass(frozen=True)
class Labels:
    """names: the words, in the model's order. given: {class of the data: the word for it}, where that is
    another than its name."""

    names: tuple[str, ...]
    given: Mapping[str, str] = field(default_factory=dict)


def split_labels(labels: str) -> tuple[str, ...]:
    """Labels given as 'a,b,"c, with a comma"'. Raises BadInput for an empty list."""
    try:
        rows = [*csv.reader([labels], skipinitialspace=True, strict=True)]
    except csv.Error as error:
        raise BadInput(f"--labels {labels!r}: {error}") from error
    names = tuple(name.strip() for row in rows for name in row if name.strip())
    if not names:
        raise BadInput(f"--labels {labels!r}: the list of labels is empty")
    return names


def joined_labels(names: Iterable[str]) -> str:
    """Names as `split_labels` takes them."""
    out = StringIO()
    csv.writer(out, lineterminator="").writerow(names)
    return out.getvalue()


def label_pairs(labels: str) -> list[tuple[str | None, str]]:
    """(class, word) of each label of `--labels`, the class where it is said: of a list, whose entries may
    be "CLASS=WORD"; or of a file.

    A file holds a name a line, or CLASS, a tab and its word, beside comments ("# …"); or JSON, a list of
    names or an object {class: word}. Raises BadInput naming the file and the label.
    """
    path = Path(labels)
    if path.suffix.lower() in _FILES and "," not in labels:
        return _of_file(path)
    if os.path.isfile(labels):
        raise BadInput(f"--labels {labels}: a file of labels is called {', '.join(_FILES)}")
    return [_pair(label) for label in split_labels(labels)]


def _pair(label: str) -> tuple[str | None, str]:
    of_class, equals, word = (part.strip() for part in label.partition("="))
    return (of_class, word) if equals and of_class and word else (None, label)


def _of_file(path: Path) -> list[tuple[str | None, str]]:
    text = read_text(path, _MAX_BYTES, "a file of labels").removeprefix("\ufeff")
    found: list[tuple[str | None, str]]
    if path.suffix.lower() == ".json":
        try:
            held = json.loads(text, object_pairs_hook=_Pairs)
        except (ValueError, RecursionError) as error:
            raise BadInput(f"{path}: not valid JSON: {error}") from error
        entries: list[Any] = held if isinstance(held, list) else [None]
        found = held if isinstance(held, _Pairs) else [(None, x) for x in entries]
        if not all(isinstance(x, str) for _, x in found):
            raise BadInput(
                f"{path}: neither a list of names nor an object of a word for each class"
            )
    else:
        lines = [line.strip() for line in text.splitlines()]
        lines = [line for line in lines if line and not line.startswith("# ")]
        found = [_of_line(line) for line in lines]
    if not found:
        raise BadInput(f"{path}: the list of labels is empty")
    return found


class _Pairs(list[tuple[str | None, Any]]):
    """The members of a JSON object, those that are there twice too."""


def _of_line(line: str) -> tuple[str | None, str]:
    synset = _SYNSET.fullmatch(line)
    if synset:
        return synset[1], synset[2]
    of_class, tab, word = line.partition("\t")
    return (_unquoted(of_class), _unquoted(word)) if tab else (None, _unquoted(line))


def _unquoted(name: str) -> str:
    """A name without the quotes around it, which in a list would keep its commas together."""
    name = name.strip()
    whole = len(name) > 1 and name[0] == name[-1] == '"' and '"' not in name[1:-1]
    return name[1:-1].strip() if whole else name


def stands_for(labels: Labels, class_names: Sequence[str]) -> NDArray[np.int64]:
    """For each class of the data the number of the label that stands for it, -1 where none does.

    A label stands for the class of the same name, whatever its case and whether spaces are underscores,
    or for the one that it was given for. Raises BadInput for a class that the data do not have, and for
    names that are the same but for these.
    """
    own = _Names({name: i for i, name in enumerate(class_names)})
    given: dict[int, str] = {}
    for of_class, word in labels.given.items():
        number = own.number(of_class)
        if number is None:
            raise BadInput(f"--labels: '{of_class}' is no class of the data, {some(class_names)}")
        given[number] = word
    taken = set(labels.given.values())
    words = {word: i for i, word in enumerate(labels.names)}
    free = _Names({word: i for word, i in words.items() if word not in taken})
    found = np.full(len(class_names), -1, np.int64)
    for i, name in enumerate(class_names):
        if i in given:
            found[i] = words[given[i]]
        elif (label := free.number(name)) is not None:
            found[i] = label
    return found


def required(labels: Labels, class_names: Sequence[str], data: str) -> NDArray[np.int64]:
    """As `stands_for`; raises BadInput where no label stands for a class of the data, or for one label."""
    found = stands_for(labels, class_names)
    missing = [name for name, label in zip(class_names, found, strict=True) if label < 0]
    if missing:
        raise BadInput(
            f"{data}: of its {len(class_names)} classes {some(class_names)}, {len(missing)} are none of "
            f"the model's {len(labels.names)} labels {some(labels.names)}; name them by --labels, such as "
            f"'{missing[0]}=LABEL'"
        )
    if len(labels.names) < 2:
        raise BadInput(f"{data}: '{labels.names[0]}' is the only label: nothing is told apart")
    return found


def meanings(labels: Labels, class_names: Sequence[str], found: NDArray[np.int64]) -> list[str]:
    """Which class of the data each label stands for, a line each, the first ones of many."""
    classes = {int(label): class_names[i] for i, label in enumerate(found) if label >= 0}
    lines = [
        f"label '{name}': " + (f"class '{classes[i]}'" if i in classes else "no class of the data")
        for i, name in enumerate(labels.names)
    ]
    unnamed = [name for name, label in zip(class_names, found, strict=True) if label < 0]
    lines += [f"class '{name}': no label" for name in unnamed]
    if len(lines) <= 2 * _SHOWN:
        return lines
    return [*lines[:_SHOWN], f"… and {len(lines) - _SHOWN} more"]


def some(names: Sequence[str]) -> str:
    """The first few names."""
    return ", ".join(names[:_SHOWN]) + (", …" if len(names) > _SHOWN else "")


class _Names:
    """Names with their numbers, to be found by the very same, else by what is the same but for its case."""

    def __init__(self, numbers: Mapping[str, int]) -> None:
        self._exact = numbers
        self._alike: dict[str, list[int]] = {}
        for name, number in numbers.items():
            self._alike.setdefault(_plain(name), []).append(number)

    def number(self, name: str) -> int | None:
        """The number of a name, None where there is none. Raises BadInput where several are alike."""
        if name in self._exact:
            return self._exact[name]
        alike = self._alike.get(_plain(name), [])
        if len(alike) > 1:
            raise BadInput(
                f"label '{name}': {len(alike)} names differ from it only in case or spaces"
            )
        return alike[0] if alike else None


def _plain(name: str) -> str:
    return " ".join(normalize("NFC", name).replace("_", " ").split()).casefold()
