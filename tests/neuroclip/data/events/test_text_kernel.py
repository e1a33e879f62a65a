"""The compiled reader of numbers gives what NumPy's gives, and leaves every fault to it."""

import random
import sys
from decimal import Decimal
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
        blanks = r.choice((" ", " ", ",", ";", "\t", "  ", ", ", " ;\t"))
        lines.append(blanks.join(words) + r.choice(("", "", "", blanks, "\r", " \r")))
        if r.random() < 0.05:
            lines.append(r.choice(("", "   ")))
    return ("\n".join(lines) + r.choice(("", "\n", "\n\n"))).encode()


def found(content: bytes, monkeypatch: pytest.MonkeyPatch, compiled: bool) -> tuple[object, ...]:
    """Type, shape and bytes of the numbers, or the line that refuses them."""
    if not compiled:
        monkeypatch.setattr(text, "_compiled", lambda *_: None)
    try:
        table = text.numbers(Path("a.csv"), content, 0, 3)
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
        took = text._compiled(content, 0) is not None
        assert took or faults
        told += not took
    assert told > 100 or not faults


def test_every_number_is_the_one_that_is_written() -> None:
    """Against Python's own reading of each word: the nearest double, and µs without an error."""
    import numba  # noqa: F401

    for seed in range(60):
        r = random.Random(seed)
        words = [[r.choice(CLEAN[1:])(r) for _ in range(4)] for _ in range(50)]
        content = "\n".join(r.choice(",; \t").join(row) for row in words).encode()
        table = text._compiled(b"t,x,y,p\n" + content, 8)
        assert table is not None and table.tolist() == [list(map(float, row)) for row in words]


def test_times_in_seconds_are_their_microseconds(tmp_path: Path) -> None:
    import numba  # noqa: F401

    r = random.Random(7)
    times = sorted(Decimal(r.randrange(10**9, 9 * 10**9)).scaleb(-6) for _ in range(4000))
    rows = [(t, r.randrange(640), r.randrange(480), r.randrange(2)) for t in times]
    path = tmp_path / "a.csv"
    path.write_text("t;x;y;p\r\n" + "".join(f"{t};{x};{y};{p}\r\n" for t, x, y, p in rows))
    found = text.read(path)
    assert found.t.tolist() == [int(t * 10**6) for t in times]
    assert list(zip(found.x, found.y, found.p, strict=True)) == [row[1:] for row in rows]


def test_short_texts_do_not_wait_for_the_compiler(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "numba")
    assert text._compiled(b"1 2 3 4\n" * 1000, 0) is None
    assert text._compiled(b"1 2 3 4\n" * (1 << 20), 0) is not None
