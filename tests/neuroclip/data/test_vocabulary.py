"""Class names of known data sets by name, and labels exchanged or added."""

import json

import pytest

pytest.importorskip("torch")
for package in ("snntorch", "open_clip", "sklearn"):
    pytest.importorskip(package)

from deploy.errors import BadInput
from neuroclip.data.images.class_names import class_names
from neuroclip.data.images.vocabulary import expanded, replaced, vocabulary, with_vocabularies
from neuroclip.spikeclip.training.settings import read_settings

SIZES = {
    "cifar10": 10, "cifar100": 100, "flowers102": 102, "caltech101": 101, "oxford-pets": 37,
    "stl10": 10,
}  # fmt: skip


@pytest.mark.parametrize("name", SIZES)
def test_a_vocabulary_has_every_class_once(name):
    names = vocabulary(name)
    assert len(names) == len(set(names)) == SIZES[name]
    assert all(x == x.strip() and "_" not in x and x for x in names)


def test_the_vocabularies_are_those_of_the_data_sets():
    assert set(class_names()) == set(SIZES)
    assert vocabulary("cifar10")[7:9] == ("horse", "ship")
    # In the authors' release the names of CIFAR-10 are those of STL-10.
    assert vocabulary("stl10") != vocabulary("cifar10") and "monkey" in vocabulary("stl10")
    assert vocabulary("cifar100") == tuple(sorted(vocabulary("cifar100")))
    assert vocabulary("oxford-pets") == tuple(sorted(vocabulary("oxford-pets")))
    assert vocabulary("caltech101") == tuple(sorted(vocabulary("caltech101")))
    flowers = vocabulary("flowers102")
    assert (flowers[0], flowers[53], flowers[101]) == (
        "pink primrose", "sunflower", "blackberry lily",
    )  # fmt: skip


def test_an_unknown_vocabulary_is_refused_by_name():
    with pytest.raises(BadInput, match="vocabulary 'imagenet': none of cifar10, cifar100"):
        vocabulary("imagenet")
    with pytest.raises(BadInput, match="vocabulary ''"):
        with_vocabularies(["a", "@"])


def test_vocabularies_among_labels():
    assert with_vocabularies(["zebra", "boat"]) == ("zebra", "boat")
    assert with_vocabularies(["zebra", "@stl10"]) == ("zebra", *vocabulary("stl10"))
    both = with_vocabularies(["@stl10", "@cifar10"])
    assert len(both) == len(set(both)) == 12 and both[:10] == vocabulary("stl10")
    # A label of one's own keeps its place; one given twice is left for `fill` to refuse.
    assert with_vocabularies(["@stl10", "cat"])[-1] == "cat"
    assert with_vocabularies(["cat", "cat"]) == ("cat", "cat")


def test_protocols():
    labels = vocabulary("cifar10")
    made = replaced(labels, "horse=zebra,ship=boat")
    assert made[7:9] == ("zebra", "boat") and len(made) == 10
    assert expanded(labels, "zebra,boat") == (*labels, "zebra", "boat")
    wide = expanded(labels, "@cifar100")
    assert wide[:10] == labels and len(wide) == len(set(wide)) == 110
    with pytest.raises(BadInput, match="'cat' is given more than once"):
        expanded(labels, "zebra,cat")
    with pytest.raises(BadInput, match="LABEL=NAME"):
        replaced(labels, "zebra=horse")


def test_settings_name_vocabularies(tmp_path):
    path = tmp_path / "settings.json"
    path.write_text(json.dumps({"labels": ["zebra", "@cifar100", "@stl10"]}))
    labels = read_settings(str(path)).labels
    assert labels[0] == "zebra" and set(vocabulary("cifar100")) | set(vocabulary("stl10")) < set(
        labels
    )
    assert len(labels) == len(set(labels))
    path.write_text(json.dumps({"labels": ["@nowhere"]}))
    with pytest.raises(BadInput, match=r"settings\.json: vocabulary 'nowhere'"):
        read_settings(str(path))
