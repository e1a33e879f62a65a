"""The reading policy: what kind of file, what size, how much memory; and what a terminal shows."""

import argparse
import sys
import tracemalloc
import zipfile
from pathlib import Path

import pytest

from deploy.command import memory_argument
from deploy.errors import BadInput
from deploy.reading import (
    limit_memory,
    memory_limit,
    opened_zip,
    read_content,
    read_text,
    require_memory,
)
from deploy.shown import shown

ROOT = Path(__file__).parents[2]


@pytest.fixture
def limited():
    yield limit_memory
    limit_memory(None)


def test_a_limit_is_told_with_what_exceeds_it(limited):
    limited(1000)
    require_memory("a", 1000)
    with pytest.raises(BadInput, match=r"^a takes 1001 bytes, more than the limit of 1000 \(--max"):
        require_memory("a", 1001)


@pytest.mark.skipif(sys.platform != "linux", reason="limits of the address space")
def test_by_default_it_is_half_of_what_there_is_for_the_process(own_python):
    script = (
        "import resource; resource.setrlimit(resource.RLIMIT_AS, (1 << 30, 1 << 30)); "
        "from deploy.reading import memory_limit; print(memory_limit())"
    )
    said = own_python("-c", script, OMP_NUM_THREADS="1")
    assert int(said) <= 1 << 29
    assert int(said) < memory_limit() or memory_limit() <= 1 << 29


@pytest.mark.parametrize(
    ("text", "value"), [("1M", 1 << 20), ("2G", 2 << 30), ("1.5g", 3 << 29), ("1048576", 1 << 20)]
)
def test_amounts_of_memory(text, value):
    assert memory_argument(text) == value


@pytest.mark.parametrize("text", ["", "0", "-1G", "nan", "inf", "1K", "2X", "9" * 400 + "G"])
def test_amounts_that_are_none(text):
    with pytest.raises(argparse.ArgumentTypeError, match="is no memory of 1M or more"):
        memory_argument(text)


def test_text_is_utf8_of_a_size(tmp_path):
    (tmp_path / "a").write_bytes(b"ab\xe9")
    with pytest.raises(BadInput, match="a: not text in UTF-8: byte 2 is 0xe9"):
        read_text(tmp_path / "a", 10)
    with pytest.raises(BadInput, match="a: a list of 3 bytes exceeds the limit of 2"):
        read_text(tmp_path / "a", 2, "a list")


def test_no_more_room_is_taken_than_there_is_to_read(tmp_path):
    """However much is allowed: a limit of address space would refuse a file of three bytes."""
    (tmp_path / "a").write_bytes(b"abc")
    tracemalloc.start()
    try:
        assert read_content(tmp_path / "a", 1 << 32) == b"abc"
        assert tracemalloc.get_traced_memory()[1] < 1 << 20
    finally:
        tracemalloc.stop()


@pytest.mark.skipif(
    not Path("/proc/self/status").is_file(), reason="a file that does not say its size"
)
def test_a_file_that_says_to_be_empty_is_read():
    status = Path("/proc/self/status")
    assert status.stat().st_size == 0
    assert read_content(status, 1 << 16).startswith(b"Name:")
    with pytest.raises(BadInput, match="bytes exceeds the limit of 9"):
        read_content(status, 9)


def test_entries_that_overlap_are_refused(tmp_path):
    """Many names for the same bytes: a small file that holds much."""
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("a", bytes(1000))
        again = archive.infolist()[0]
        archive.filelist += [again] * 9
    with pytest.raises(BadInput, match="its entries overlap"), opened_zip(tmp_path / "a.zip"):
        pass


def test_what_a_terminal_would_obey_is_escaped_and_letters_stay():
    said = shown("a\x1b[2J\r\x07\x9b\u202eb\u2066\u200b\ud800\U000e0041")
    assert said == r"a\x1b[2J\r\x07\x9b\u202eb\u2066\u200b\ud800\U000e0041"
    letters = "é × σ 中 עברית \u0645\u06cc\u200c\u062e 👩\u200d🚀\tand\nlines"
    assert shown(letters) == letters
