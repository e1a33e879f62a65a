"""The compiled reader of numbers gives what NumPy's gives, and leaves every fault to it."""

import random
import sys
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("numba")

from deploy.errors import BadInput
from neuroclip.data.events.formats import text

CLEAN = (
    lambda r: str(r.randrange(-(10**r.randrange(1, 18)), 10 ** r.randrange(1, 18))),
    lambda r: f"{r.randrange(10**10)}.{r.randrange(10**5):05d}",
    lambda r: f"{r.choice(('', '-', '+'))}{r.random() * 10 ** r.randrange(-3, 9):.{r.randrange(5)}f}",
    lambda r: r.choice(("0", "-0", "1", "+1", "-1", "00012", "0.0", "-0.0", "7.", ".5")),
)  # fmt: skip
FAULTY = (
    "1e3", "nan", "-", "+", ".", "1-2", "--1", "1.2.3", "x", "0x10", "inf", "99999999999999999999",
    "9223372036854775807", "1234567890.123456789", "1_0", "1\x0b2", "é",
)  # fmt: skip


def drawn(seed: int, faults: bool) -> bytes:
    """Lines of some columns of integers, or of numbers with points; blank lines and wide gaps among them."""
    r = random.Random(seed)
    kinds = [CLEAN[0]] if seed % 3 == 0 else CLEAN
    columns = r.randrange(1, 7)
    lines = []
    for _ in range(r.randrange(1, 30)):
        words = [r.choice(kinds)(r) for _ in range(columns)]
        if faults and r.random() < 0.1:
            words[r.randrange(columns)] = r.choice(FAULTY)
        if faults and r.random() < 0.03:
            words = words[1:] if r.random() < 0.5 else [*words, "4"]
        blanks = "  " if r.random() < 0.1 else " "
        lines.append(blanks.join(words) + (blanks if r.random() < 0.1 else ""))
        if r.random() < 0.05:
            lines.append(r.choice(("", "   ")))
    return ("\n".join(lines) + r.choice(("", "\n", "\n\n"))).encode()


def found(content: bytes, monkeypatch: pytest.MonkeyPatch, compiled: bool) -> tuple[object, ...]:
    """Type, shape and bytes of the numbers, or the line that refuses them."""
    if not compiled:
        monkeypatch.setattr(text, "_compiled", lambda _: None)
    try:
        table = text.numbers(Path("a.csv"), content, 3)
    except BadInput as error:
        return (str(error),)
    finally:
        monkeypatch.undo()
    return table.dtype.str, table.shape, np.ascontiguousarray(table).tobytes()


@pytest.mark.parametrize("faults", [False, True])
def test_equal_to_numpy(monkeypatch: pytest.MonkeyPatch, faults: bool) -> None:
    import numba  # noqa: F401  # with which short texts are read by the kernel too

    told = 0
    for seed in range(400):
        content = drawn(seed, faults)
        ours = found(content, monkeypatch, compiled=True)
        assert ours == found(content, monkeypatch, compiled=False), content
        took = text._compiled(content) is not None
        assert took or faults
        told += not took
    assert told > 100 or not faults


def test_short_texts_do_not_wait_for_the_compiler(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "numba")
    assert text._compiled(b"1 2 3 4\n" * 1000) is None
    assert text._compiled(b"1 2 3 4\n" * (1 << 20)) is not None
