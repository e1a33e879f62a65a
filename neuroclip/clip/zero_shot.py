"""Zero-shot classification of event recordings by text (Guo, Chen, Ma 2023, arXiv 2306.12073)."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from neuroclip.results.statistics import wilson_interval


@dataclass(frozen=True)
class Accuracy:
    """`correct` of `total`, and the 95 % Wilson interval of the proportion."""

    correct: int
    total: int

    @property
    def value(self) -> float:
        """The proportion, 0 … 1."""
        return self.correct / self.total

    @property
    def interval(self) -> tuple[float, float]:
        """The 95 % Wilson interval (low, high)."""
        return wilson_interval(self.correct, self.total)

    def __str__(self) -> str:
        low, high = (100 * bound for bound in self.interval)
        return f"{100 * self.value:.1f} % [{low:.1f}, {high:.1f}] ({self.correct} of {self.total})"


def zero_shot_scores(
    features: NDArray[np.float32], text: NDArray[np.float32]
) -> NDArray[np.float32]:
    """Mean over time of the cosines, float32 [N, classes].

    features: L2-normalised [N, T, C]; text: L2-normalised [classes, C]. Equals the paper's
    concatenation over time · text feature repeated T times and normalised, divided by √T.
    """
    return np.asarray(features.mean(axis=1) @ text.T, dtype=np.float32)


def accuracy(scores: NDArray[np.float32], labels: NDArray[np.int64]) -> Accuracy:
    """Accuracy of the largest score; scores [N, classes], labels int64 [N]."""
    return Accuracy(int((scores.argmax(axis=1) == labels).sum()), len(labels))
