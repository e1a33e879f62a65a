"""Labels are matched by name: in any order, any spelling of the list, and never by position."""

from pathlib import Path
from unicodedata import normalize

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from deploy.errors import BadInput
from neuroclip.data.images.class_names import class_names
from neuroclip.data.images.vocabulary import read_labels
from neuroclip.text.labels import (
    Labels,
    joined_labels,
    meanings,
    required,
    split_labels,
    stands_for,
)

WORD = st.text(st.characters(whitelist_categories=("Lu", "Ll", "Nd"), whitelist_characters=' ,"'))
NAMES = st.lists(
    WORD.map(str.strip).filter(bool),
    min_size=2,
    max_size=8,
    unique_by=lambda x: " ".join(x.split()).casefold(),
)


@settings(max_examples=60, deadline=None)
@given(NAMES, st.randoms())
def test_the_order_of_classes_and_labels_means_nothing(names: list[str], random) -> None:
    shuffled = random.sample(names, len(names))
    found = required(Labels(tuple(shuffled)), names, "data")
    assert [shuffled[i] for i in found] == names
    folders = [name.replace(" ", "_").swapcase() for name in names]
    plain = stands_for(Labels(tuple(shuffled)), folders)
    assert all(
        i < 0 or shuffled[i].casefold().split() == name.casefold().split()
        for i, name in zip(plain, names, strict=True)
    )
    without = Labels(tuple(shuffled[1:]))
    assert (stands_for(without, names) < 0).sum() == 1
    with pytest.raises(BadInput, match="1 are none of the model's"):
        required(without, names, "data")


@settings(max_examples=60, deadline=None)
@given(NAMES)
def test_names_with_commas_and_quotes_go_through_a_list(names: list[str]) -> None:
    assert split_labels(joined_labels(names)) == tuple(names)


def test_one_label_tells_nothing_apart() -> None:
    with pytest.raises(BadInput, match="data: 'cat' is the only label"):
        required(Labels(("cat",)), ["cat"], "data")


def test_another_word_is_said_for_a_class() -> None:
    labels = read_labels("dog=hound, cat, @stl10, ship=boat")
    assert labels.names[:2] == ("hound", "cat") and labels.names[-1] == "boat"
    assert labels.given == {"dog": "hound", "ship": "boat"}
    assert set(class_names()["stl10"]) < {*labels.names}
    found = stands_for(labels, ["ship", "Dog", "cat", "zebra"])
    assert [labels.names[i] for i in found[:3]] == ["boat", "hound", "cat"] and found[3] == -1
    told = meanings(labels, ["ship", "Dog", "cat", "zebra"], found)
    assert told[0] == "label 'hound': class 'Dog'" and "class 'zebra': no label" in told
    with pytest.raises(BadInput, match="'wolf' is no class of the data"):
        stands_for(read_labels("wolf=hound"), ["dog"])
    with pytest.raises(BadInput, match="named twice"):
        read_labels("dog=hound,dog=cur")
    # A word that was given for one class stands for no other, though that one is called so.
    swapped = stands_for(read_labels("a=b,b=a"), ["a", "b"])
    assert swapped.tolist() == [0, 1]
    with pytest.raises(BadInput, match="differ from it only in case"):
        stands_for(Labels(("Cat", "CAT")), ["cat"])
    assert stands_for(Labels(("Cat", "cat")), ["cat"]).tolist() == [1]


@pytest.mark.parametrize(
    ("name", "content", "names", "given"),
    [
        ("a.txt", "tench, Tinca tinca\n\ngold fish\n", ("tench, Tinca tinca", "gold fish"), {}),
        ("b.tsv", "c0\tcat\nc1\tdog, old\n", ("cat", "dog, old"), {"c0": "cat", "c1": "dog, old"}),
        ("q.txt", '"a, b"\n"c"\t" d "\n5" disk\n', ("a, b", "d", '5" disk'), {"c": "d"}),
        ("c.txt", "n01440764 tench, x\n", ("tench, x",), {"n01440764": "tench, x"}),
        ("h.txt", "# of the zoo\n#1 dog\ncat\n", ("#1 dog", "cat"), {}),
        ("d.json", '["a", "b"]', ("a", "b"), {}),
        ("e.json", '{"x": "a"}', ("a",), {"x": "a"}),
    ],
)
def test_files_of_labels(tmp_path: Path, name: str, content: str, names, given) -> None:
    (tmp_path / name).write_text("\ufeff" + content, encoding="utf-8")
    assert read_labels(str(tmp_path / name)) == Labels(names, given)


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("none.txt", None, r"none\.txt"),
        ("bytes.txt", b"\xff\xfe\xff", "not text in UTF-8"),
        ("empty.txt", b"\n \n", "empty"),
        ("bad.json", b"{", "not valid JSON"),
        ("deep.json", b"[" * 100_000, "not valid JSON"),
        ("numbers.json", b"[1]", "neither a list"),
        ("null.json", b"null", "neither a list"),
        ("number.json", b"5", "neither a list"),
        ("nested.json", b'[{"a": "b"}]', "neither a list"),
        ("twice.json", b'{"a": "b", "a": "c"}', "class 'a' is named twice"),
        ("labels.csv", b"a,b", r"labels\.csv: a file of labels is called \.txt, \.tsv, \.json"),
    ],
)
def test_files_that_hold_no_labels(tmp_path: Path, name: str, content, says: str) -> None:
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(BadInput, match=says):
        read_labels(str(tmp_path / name))


def test_random_orders_keep_the_truth() -> None:
    """What is counted right is the same, however classes and labels are sorted."""
    rng = np.random.default_rng(0)
    names = np.array([f"class {i}" for i in range(9)])
    truth, guess = rng.integers(0, 9, (2, 50))
    for _ in range(5):
        classes, words = rng.permutation(9), rng.permutation(9)
        found = required(Labels(tuple(names[words])), list(names[classes]), "data")
        own = np.argsort(classes)[truth]
        assert np.array_equal(found[own] == np.argsort(words)[guess], truth == guess)


def test_many_labels_of_another_case_are_found_in_linear_time() -> None:
    names = [f"Class_{i}" for i in range(20_000)]
    found = stands_for(Labels(tuple(n.upper() for n in reversed(names))), names)
    assert np.array_equal(found, np.arange(20_000)[::-1])
    with pytest.raises(BadInput, match="'a': 2 names differ from it only in case"):
        stands_for(Labels(("A", "A_")), ["a"])


def test_accents_in_two_spellings_are_one() -> None:
    found = required(Labels((normalize("NFD", "Äpfel"), "Öl")), ["Öl", "äpfel"], "data")
    assert list(found) == [1, 0]
