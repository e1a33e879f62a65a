"""McNemar's exact test against SciPy's binomial test, and the pairs that it counts."""

import pytest

from deploy.compare.mcnemar import discordant, mcnemar


@pytest.mark.parametrize(
    ("b", "c"),
    [
        *((b, c) for b in range(12) for c in range(12) if b + c),
        *((100, 140), (5000, 5000), (4900, 5100), (30000, 31000), (0, 60), (1, 900)),
    ],
)
def test_it_is_the_two_sided_binomial_test(b, c):
    stats = pytest.importorskip("scipy.stats", reason="SciPy is not installed")
    assert mcnemar(b, c) == pytest.approx(stats.binomtest(b, b + c, 0.5).pvalue, rel=1e-8)
    assert mcnemar(b, c) == mcnemar(c, b)


def test_runs_that_never_disagree_do_not_differ():
    assert mcnemar(0, 0) == 1


def test_only_samples_that_one_alone_has_right_are_counted():
    assert discordant("110100", "011001") == (2, 2)
    assert discordant("1111", "1000") == (3, 0)
    with pytest.raises(ValueError):
        discordant("11", "1")
