"""How people lay out data sets of images: which class and part each file belongs to.

    <class>/FILE                            [train|val|test]/<class>/FILE, in the usual spellings
    <class>/[train|val|test]/FILE           train/<class>/images/FILE (Tiny-ImageNet)
    val/images/FILE with val_annotations.txt (Tiny-ImageNet), or with a table of names and labels
    train/CLASS.NUMBER.jpg (Kaggle)         train/FILE with labels.csv (Kaggle)
    val/FILE with LOC_val_solution.csv (ILSVRC on Kaggle)

Parts are never merged, and no part or folder of parts becomes a class. What no rule tells is refused,
with what was seen; images without labels, as in many a test part, are left out, and a note says so.
"""

import csv
import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from io import StringIO
from unicodedata import normalize

from deploy.errors import BadInput

SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".webp")
_OTHER_IMAGES = (".tif", ".tiff", ".gif", ".ppm", ".pgm", ".jp2", ".jfif", ".heic", ".avif")
TRAIN, VALIDATION, TEST = range(3)

_SPELLINGS = {
    TRAIN: ("train", "training", "train_set", "training_set", "train_images", "trainset"),
    VALIDATION: ("val", "valid", "validation", "dev", "val_set", "validation_set", "valset"),
    TEST: ("test", "testing", "test_set", "testing_set", "test_images", "test1", "testset", "eval"),
}
_PARTS = {spelling: part for part, of in _SPELLINGS.items() for spelling in of}
# Words of longer names, such as seg_train; classes may be called with them too (bullet_train).
_WORDS_OF_PARTS = {word: part for word, part in _PARTS.items() if word.isalpha()}
_NAMES = ("train", "val", "test")
_JUNK = ("__macosx", "thumbs.db", "@eadir", "lost+found")
# The folder of a class's, or of a part's, images in Tiny-ImageNet.
_IMAGES = "images"
_ANNOTATIONS = re.compile(r"annotations?\.txt$", re.IGNORECASE)
_TABLES = re.compile(
    r"((train|val|valid|test)?[_-]?(labels?|annotations?)?|LOC_(train|val)_solution)\.csv$",
    re.IGNORECASE,
)
_FILE_COLUMNS = (
    "id",
    "image",
    "image_id",
    "imageid",
    "img",
    "file",
    "filename",
    "file_name",
    "name",
    "path",
)
# Of ILSVRC on Kaggle: a class, and boxes behind it.
_BOXES = "predictionstring"
_CLASS_COLUMNS = (_BOXES, "label", "class", "breed", "category", "class_name", "target", "species")
# What lists the images of parts, in sets that keep all of them together (Food-101, CUB).
_LISTS = re.compile(r"(train_?test_?split|(train|val|test)(list)?\d*)\.(txt|json)", re.IGNORECASE)
_NUMBERED = re.compile(r"(.+?)\.\d+\.\w+")
_SYNSET = re.compile(r"n\d{8}")
_WORDS = ("words.txt", "LOC_synset_mapping.txt", "synset_words.txt")

Path = tuple[str, ...]
Labelled = dict[str, str]
"""{a file's name in the container: its class}."""


@dataclass(frozen=True)
class Layout:
    """files: (name in the container, class, part) of each labelled image; words: of the classes, as far
    as they are not their names; notes: what was left out."""

    files: tuple[tuple[str, str, int], ...]
    words: Mapping[str, str]
    notes: tuple[str, ...]


def layout_of(title: str, names: Sequence[str], text: Callable[[str], str]) -> Layout:
    """The layout of a folder or archive. names: of all its files, "/" between folders; text: of a file.

    Raises BadInput naming the container: no images, or no layout that is known.
    """
    paths: dict[Path, str] = {}
    for name in names:
        # macOS writes an umlaut as two characters, and the same name elsewhere has one.
        path = tuple(p for p in normalize("NFC", name).split("/") if p not in ("", "."))
        if not path or _is_junk(path):
            continue
        if path in paths:
            raise BadInput(f"{title}: '{path[-1]}' is there twice, in two spellings of its accents")
        paths[path] = name
    images = {path: name for path, name in paths.items() if path[-1].lower().endswith(SUFFIXES)}
    texts = {path: name for path, name in paths.items() if path not in images}
    others = [path[-1] for path in texts if path[-1].lower().endswith(_OTHER_IMAGES)]
    unread = f"{len(others)} images in other formats ('{min(others)}')" if others else ""
    if not images:
        seen = f"; {unread} are not read" if others else ""
        raise BadInput(f"{title}: no images ({', '.join(SUFFIXES)}) in class folders{seen}")
    images, wrapped = _unwrapped(images)
    texts = {path[min(wrapped, len(path) - 1) :]: name for path, name in texts.items()}
    reader = _Reader(title, images, texts, lambda name: normalize("NFC", text(name)))
    parts, notes = _parts(reader), [f"{title}: {unread} are not read; left out"] if others else []
    lists = ["/".join(path) for path in texts if _LISTS.fullmatch(path[-1])]
    if lists and {*parts} == {TRAIN}:
        notes.append(
            f"{title}: its lists of parts ('{min(lists)}') are not read; the test part is drawn"
        )
    labelled: dict[int, Labelled] = {}
    for part, of_part in parts.items():
        found = reader.classes(of_part, part)
        if found is None:
            count = len(of_part)
            notes.append(
                f"{title}: its {_NAMES[part]} part of {count} images has no labels; left out"
            )
        else:
            labelled[part] = found
    if not labelled:
        reader.refuse("its images have no labels")
    # Where there is no other, the validation part is what people test on.
    if TEST not in labelled and VALIDATION in labelled:
        labelled[TEST] = labelled.pop(VALIDATION)
        notes.append(f"{title}: its val part is the test part")
    if any(label.lower() == _IMAGES for found in labelled.values() for label in found.values()):
        reader.refuse(f"a class would be called '{_IMAGES}', and what lies beside it another")
    files = [
        (name, label, part) for part, found in labelled.items() for name, label in found.items()
    ]
    return Layout(tuple(files), reader.words({label for _, label, _ in files}), tuple(notes))


@dataclass(frozen=True)
class _Reader:
    """images, texts: {path below the common folder: name in the container}."""

    title: str
    images: Mapping[Path, str]
    texts: Mapping[Path, str]
    text: Callable[[str], str]

    def refuse(self, why: str) -> None:
        tops = Counter(path[0] if len(path) > 1 else "files" for path in self.images)
        seen = ", ".join(
            f"{count} images in {top}/" if top != "files" else f"{count} images beside folders"
            for top, count in [*tops.items()][:8]
        )
        more = "" if len(tops) <= 8 else f" and {len(tops) - 8} more"
        raise BadInput(
            f"{self.title}: {why}. Seen: {seen}{more}. Known: [train|val|test/]<class>/FILE and "
            "Tiny-ImageNet's and Kaggle's layouts"
        )

    def classes(self, images: Mapping[Path, str], part: int) -> Labelled | None:
        """The class of each image of a part, by its path within it; None where there are no labels."""
        depths = {len(path) for path in images}
        if depths == {2} and {path[0].lower() for path in images} == {_IMAGES}:
            images, depths = {path[1:]: name for path, name in images.items()}, {1}
        if depths == {2}:
            return {name: path[0] for path, name in images.items()}
        if depths == {3} and {path[1].lower() for path in images} == {_IMAGES}:
            return {name: path[0] for path, name in images.items()}
        if depths == {1}:
            return self._flat({path[0]: name for path, name in images.items()}, part)
        shown = sorted(images, key=len)
        self.refuse(
            f"its {_NAMES[part]} images are not all in a folder of their class: "
            f"'{'/'.join(shown[0])}', '{'/'.join(shown[-1])}'"
        )
        return None

    def _flat(self, images: Mapping[str, str], part: int) -> Labelled | None:
        """Of images side by side: by a table of names and labels, or by names CLASS.NUMBER."""
        told: Labelled = {}
        for table in self._tables(part):
            stems = {file: table.get(file, table.get(file.rsplit(".", 1)[0])) for file in images}
            known = {file: label for file, label in stems.items() if label is not None}
            if known and len(known) < len(images):
                missing = next(file for file in images if file not in known)
                self.refuse(f"its table of labels names {len(known)} of them and not '{missing}'")
            other = next(
                (file for file in known if told.get(file, known[file]) != known[file]), None
            )
            if other is not None:
                self.refuse(f"its tables name two classes for '{other}'")
            told = known or told
        if told:
            return {images[file]: label for file, label in told.items()}
        numbered = {file: _NUMBERED.fullmatch(file) for file in images}
        if all(numbered.values()):
            found = {images[file]: m[1] for file, m in numbered.items() if m is not None}
            if len(set(found.values())) > 1:
                return found
        if part == TRAIN:
            self.refuse("its training images are in no folders of classes, and no table names them")
        return None

    def _tables(self, part: int) -> list[dict[str, str]]:
        """{file: class} of each table of a part: in its folder, or called so; of training, any other."""
        found = []
        for path, name in self.texts.items():
            if _part_of_table(path) != part:
                continue
            if _ANNOTATIONS.search(path[-1]):
                rows = [line.split("\t") for line in self.text(name).splitlines() if line.strip()]
                found.append(self._once(name, ((row[0], row[1]) for row in rows if len(row) > 1)))
            elif _TABLES.fullmatch(path[-1]) or path[-1].lower().endswith("labels.csv"):
                found.append(self._table(name))
        return [table for table in found if table]

    def _table(self, name: str) -> dict[str, str]:
        text = self.text(name)
        apart = next((s for s in ",;\t" if s in text.partition("\n")[0]), ",")
        rows = [row for row in csv.reader(StringIO(text), delimiter=apart) if row]
        head = [column.strip().lower() for column in rows[0]] if rows else []
        files = [i for i, column in enumerate(head) if column in _FILE_COLUMNS]
        classes = [i for i, column in enumerate(head) if column in _CLASS_COLUMNS]
        if len(files) != 1 or len(classes) != 1:
            return {}
        need = max(files[0], classes[0])
        pairs = (
            (
                re.split(r"[/\\]", row[files[0]].strip())[-1],
                _class(row[classes[0]], head[classes[0]]),
            )
            for row in rows[1:]
            if len(row) > need
        )
        return self._once(name, pairs)

    def _once(self, table: str, pairs: Iterable[tuple[str, str]]) -> dict[str, str]:
        """{file: class}. Refuses a file of two classes."""
        found: dict[str, str] = {}
        for file, label in pairs:
            if found.setdefault(file, label) != label:
                self.refuse(f"'{table}' names two classes for '{file}'")
        return found

    def words(self, classes: set[str]) -> dict[str, str]:
        """The words of classes that are WordNet numbers, where a list of them is there."""
        if not all(map(_SYNSET.fullmatch, classes)):
            return {}
        known: dict[str, str] = {}
        for path, name in self.texts.items():
            if path[-1] in _WORDS:
                pairs = (line.split(maxsplit=1) for line in self.text(name).splitlines())
                known |= {p[0]: p[1].strip() for p in pairs if len(p) == 2 and p[0] in classes}
        first = {number: words.split(",")[0].strip() for number, words in known.items()}
        times = Counter(first.values())
        whole = {n: w if times[w] == 1 else known[n] for n, w in first.items()}
        times = Counter(whole.values())
        return {n: w if times[w] == 1 else f"{w} {n}" for n, w in whole.items()}


def _class(said: str, column: str) -> str:
    words = said.split() if column == _BOXES else []
    return words[0] if words else said.strip()


def _part_of_table(path: Path) -> int:
    inside = [_PARTS[folder.lower()] for folder in path[:-1] if folder.lower() in _PARTS]
    called = [p for p, name in enumerate(_NAMES) if re.match(f"(loc_)?{name}", path[-1].lower())]
    return (*inside, *called, TRAIN)[0]


def _is_junk(path: Path) -> bool:
    return any(part.startswith(".") or part.lower() in _JUNK for part in path)


def _unwrapped(images: Mapping[Path, str]) -> tuple[dict[Path, str], int]:
    """Without the folders that all images are in and that are no part; and how many these are."""
    made, depth = dict(images), 0
    while True:
        tops = {path[0] for path in made}
        if len(tops) > 1 or min(map(len, made)) < 2 or tops.pop().lower() in _PARTS:
            return made, depth
        made, depth = {path[1:]: name for path, name in made.items()}, depth + 1


def _parts(reader: _Reader) -> dict[int, dict[Path, str]]:
    """The images of each part, by their paths within it. All are for training where there are none."""
    images = reader.images
    known = _spelled({path[0] for path in images if len(path) > 1})
    if known and {*known} == {path[0] for path in images}:
        found = _grouped(reader, {path: (known[path[0]], path[0], path[1:]) for path in images})
        return {part: _within(of_part, known) for part, of_part in found.items()}
    if known:
        reader.refuse(f"beside its parts {', '.join(sorted(known))} are other images")
    if all(len(path) > 2 and path[1].lower() in _PARTS for path in images):
        return _grouped(
            reader,
            {path: (_PARTS[path[1].lower()], path[1], (path[0], *path[2:])) for path in images},
        )
    return {TRAIN: dict(images)}


def _spelled(tops: set[str]) -> dict[str, int]:
    """{folder: its part}: of those called so, else where each one has a word of a part of its own."""
    known = {top: _PARTS[top.lower()] for top in tops if top.lower() in _PARTS}
    if known:
        return known
    for top in tops:
        words = re.split(r"[^a-z]+", top.lower())
        parts = {_WORDS_OF_PARTS[word] for word in words if word in _WORDS_OF_PARTS}
        if len(parts) == 1:
            known[top] = parts.pop()
    own = TRAIN in known.values() and len(set(known.values())) == len(tops) > 1
    return known if own else {}


def _grouped(
    reader: _Reader, places: Mapping[Path, tuple[int, str, Path]]
) -> dict[int, dict[Path, str]]:
    """The images of each part. places: {path: part, its folder's name, path within it}."""
    found: dict[int, dict[Path, str]] = {}
    spelled: dict[int, str] = {}
    for path, (part, top, rest) in places.items():
        if spelled.setdefault(part, top) != top:
            reader.refuse(f"its {_NAMES[part]} part is there twice: '{spelled[part]}' and '{top}'")
        found.setdefault(part, {})[rest] = reader.images[path]
    return found


def _within(images: dict[Path, str], known: Mapping[str, int]) -> dict[Path, str]:
    """The images of a part that is once more in a folder so called, as in archives of archives."""
    tops = {path[0] for path in images}
    if len(tops) > 1 or min(map(len, images)) < 2:
        return images
    top = tops.pop()
    nested = top in known or top.lower() in _PARTS
    return {path[1:]: name for path, name in images.items()} if nested else images
