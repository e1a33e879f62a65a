"""Pickles of plain values are read, and nothing in them runs."""

import pickle
import struct

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from deploy.errors import BadInput
from neuroclip.storage.plain_pickle import Called, bytes_array, plain_values

PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text()
    | st.binary(min_size=1),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner) | st.tuples(inner, inner),
    max_leaves=12,
)  # fmt: skip


@settings(max_examples=40, deadline=None)
@given(value=PLAIN, protocol=st.integers(0, 5))
def test_plain_values_come_back(tmp_path_factory, value, protocol):
    path = tmp_path_factory.mktemp("pickle") / "held"
    path.write_bytes(pickle.dumps(value, protocol))
    assert plain_values(path) == value


@pytest.mark.parametrize("protocol", range(5))
@pytest.mark.parametrize("order", "CF")
def test_an_array_of_bytes_comes_back(tmp_path, protocol, order):
    array = np.asarray(np.random.default_rng(0).integers(0, 256, (3, 5)), np.uint8, order=order)
    (tmp_path / "held").write_bytes(pickle.dumps({"data": array}, protocol))
    found = bytes_array(plain_values(tmp_path / "held")["data"])
    assert found.dtype == np.uint8 and np.array_equal(found, array)


def python2_batch(images, labels, key=b"labels"):
    """A batch as CIFAR's authors wrote it: Python 2's cPickle, protocol 2, text as bytes."""

    def short(text):
        return b"U" + bytes([len(text)]) + text

    rows, width = images.shape
    raw = images.tobytes()
    dtype = (
        b"cnumpy\ndtype\nq\x05U\x02u1K\x00K\x01\x87Rq\x06(K\x03U\x01|NNN" + b"J\xff\xff\xff\xff" * 2
    )
    return (
        b"\x80\x02}q\x01(" + short(b"batch_label") + b"q\x02" + short(b"testing batch 1 of 1")
        + short(key) + b"]q\x03(" + b"".join(b"K" + bytes([n]) for n in labels) + b"e" + short(b"data")
        + b"cnumpy.core.multiarray\n_reconstruct\nq\x04cnumpy\nndarray\nK\x00\x85U\x01b\x87R(K\x01"
        + b"M" + struct.pack("<H", rows) + b"M" + struct.pack("<H", width) + b"\x86" + dtype
        + b"K\x00tb\x89T" + struct.pack("<i", len(raw)) + raw + b"tb" + short(b"filenames") + b"]("
        + short(b"a.png") + short(b"b.png") + b"eu."
    )  # fmt: skip


def test_what_python_2_wrote_is_read(tmp_path):
    images = np.random.default_rng(1).integers(0, 256, (2, 3072)).astype(np.uint8)
    content = python2_batch(images, [7, 3])
    # Python's own loader agrees that this is such a file.
    assert np.array_equal(pickle.loads(content, encoding="bytes")[b"data"], images)
    (tmp_path / "batch").write_bytes(content)
    held = plain_values(tmp_path / "batch")
    assert held[b"labels"] == [7, 3] and held[b"filenames"] == [b"a.png", b"b.png"]
    assert np.array_equal(bytes_array(held[b"data"]), images)


class Evil:
    """Makes a file when it is loaded."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return open, (str(self.path), "w")


@pytest.mark.parametrize("protocol", range(6))
def test_nothing_runs(tmp_path, protocol):
    made = tmp_path / "made"
    (tmp_path / "held").write_bytes(pickle.dumps({"data": Evil(made)}, protocol))
    value = plain_values(tmp_path / "held")["data"]
    assert isinstance(value, Called) and value.name.endswith("open")
    assert value.arguments == (str(made), "w") and not made.exists()
    with pytest.raises(BadInput, match="open stands where an array of bytes was expected"):
        bytes_array(value)


@settings(max_examples=200, deadline=None)
@given(data=st.data())
def test_damage_is_bad_input(tmp_path_factory, data):
    content = bytearray(python2_batch(np.zeros((1, 6), np.uint8), [1]))
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    path = tmp_path_factory.mktemp("pickle") / "held"
    path.write_bytes(content[: data.draw(st.integers(0, len(content)))])
    try:
        value = plain_values(path)
        bytes_array(value.get(b"data") if isinstance(value, dict) else value)
    except BadInput as error:
        assert "\n" not in str(error)


@pytest.mark.parametrize("code", [b"\x8e", b"\x8d", b"\x96"])
def test_a_size_that_the_file_does_not_hold_takes_no_memory(tmp_path, code):
    """Bytes, text and a bytearray of 2^46 bytes."""
    (tmp_path / "held").write_bytes(b"\x80\x05" + code + (1 << 46).to_bytes(8, "little") + b"abc.")
    with pytest.raises(BadInput, match="held: not a pickle of plain values"):
        plain_values(tmp_path / "held")


def test_a_key_nested_too_deep_to_hash_is_refused(tmp_path):
    """Python's own stack would overflow: it ends without an error to catch."""
    (tmp_path / "held").write_bytes(b"\x80\x02})" + b"\x85" * 2_000_000 + b"K\x01s.")
    with pytest.raises(BadInput, match="a key that is no text or number"):
        plain_values(tmp_path / "held")


def test_other_arrays_are_refused(tmp_path):
    for array, says in (
        (np.zeros(3, np.int16), "type 'i2', expected 'u1'"),
        (np.zeros(2, object), "an array"),
    ):
        (tmp_path / "held").write_bytes(pickle.dumps(array, 4))
        with pytest.raises(BadInput, match=says):
            bytes_array(plain_values(tmp_path / "held"))
    with pytest.raises(BadInput, match="none: cannot read: No such file"):
        plain_values(tmp_path / "none")
