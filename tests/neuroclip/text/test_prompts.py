"""Prompts and what is refused."""

import pytest

from deploy.errors import BadInput
from neuroclip.data.events.cards import CIFAR10_DVS, DIGITS, NMNIST
from neuroclip.text.prompts import DEFAULT_TEMPLATE, fill


def test_the_papers_prompts() -> None:
    expected = 'A black and white photo of the Arabic numeral number: "7".'
    assert fill(["7"], NMNIST.template) == [expected]
    assert fill(["7"], DIGITS.template) == [expected]
    assert fill(["cat", "{odd}"], CIFAR10_DVS.template) == [
        "A low quality stick figure of the object cat.",
        "A low quality stick figure of the object {odd}.",
    ]
    assert fill(["cat"], DEFAULT_TEMPLATE) == ["a photo of a cat."]


@pytest.mark.parametrize(
    ("labels", "template", "words"),
    [
        ([], "a {}", "empty"),
        (["a", " "], "a {}", "label 1 is empty"),
        (["a", "b", "a"], "a {}", "'a' is given more than once"),
        (["a"], "a photo", "exactly one"),
        (["a"], "{} and {}", "exactly one"),
    ],
)
def test_bad_prompts(labels: list[str], template: str, words: str) -> None:
    with pytest.raises(BadInput, match=words):
        fill(labels, template)
