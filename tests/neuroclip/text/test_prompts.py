"""Prompts and what is refused."""

import numpy as np
import pytest

from deploy.errors import BadInput
from neuroclip.data.events.cards import CIFAR10_DVS, DIGITS, NMNIST
from neuroclip.text.prompts import DEFAULT_TEMPLATE, fill, require_content


def test_the_papers_prompts() -> None:
    expected = 'A black and white photo of the Arabic numeral number: "7".'
    assert fill(["7"], NMNIST.template) == [expected]
    assert fill(["7"], DIGITS.template) == [expected]
    assert fill(["cat", "{odd}"], CIFAR10_DVS.template) == [
        "A low quality stick figure of the object cat.",
        "A low quality stick figure of the object {odd}.",
    ]
    assert fill(["cat"], DEFAULT_TEMPLATE) == ["a photo of a cat."]


def test_labels_that_a_tokenizer_reads_alike_are_refused() -> None:
    def lower(texts: list[str]) -> np.ndarray:
        return np.array([[*text.lower().encode().ljust(8)] for text in texts])

    require_content(["cat", "dog"], lower)
    with pytest.raises(BadInput, match="reads 'Cat' and 'cat' as one text"):
        require_content(["Cat", "dog", "cat"], lower)


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
