"""Event files in HDF5 are a stranger's: read in a child process, checked before memory is taken."""

import os
import resource
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

h5py = pytest.importorskip("h5py")

from deploy.errors import BadInput
from neuroclip.data.events.formats import hdf5
from neuroclip.data.events.recording import Recording, read_recording

MANY = 40_000_000
"""Events that are within the limit: what is refused is that the file does not hold them."""


@pytest.fixture(autouse=True)
def little_memory() -> Iterator[None]:
    """1.5 GiB beside what the tests hold: an array of what the files below declare does not fit."""
    statm = Path("/proc/self/statm")
    if not statm.exists():
        pytest.skip("no /proc to tell the memory of this process")
    held = int(statm.read_text().split()[0]) * resource.getpagesize()
    before = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (held + (3 << 29), before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_AS, before)


def columns(count: int = 500, seed: int = 0) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    return {
        "x": rng.integers(0, 64, count).astype("u2"),
        "y": rng.integers(0, 48, count).astype("u2"),
        "t": np.sort(rng.integers(0, 10**6, count)),
        "p": rng.integers(0, 2, count).astype("u1"),
    }


def write(path: Path, change: Callable[[Any], Any] = lambda file: None, **how: Any) -> Path:
    """A whole file, and what a test does to it."""
    with h5py.File(path, "w") as file:
        for name, values in columns().items():
            file.create_dataset(f"events/{name}", data=values, **how)
        file.attrs.update({"width": 64, "height": 48})
        change(file)
    return path


def replaced(name: str, make: Callable[[Any, str], Any]) -> Callable[[Any], None]:
    def change(file: Any) -> None:
        del file[name]
        make(file, name)

    return change


def refused(path: Path) -> str:
    with pytest.raises(BadInput) as error:
        read_recording(path)
    line = str(error.value)
    assert line.startswith(str(path)) and "\n" not in line
    return line


def equal(a: Recording) -> bool:
    return all(np.array_equal(getattr(a, name), values) for name, values in columns().items())


@pytest.mark.parametrize(
    "how",
    [{}, {"chunks": (64,)}, {"compression": "gzip"}, {"compression": "lzf", "shuffle": True},
     {"compression": "gzip", "compression_opts": 9, "fletcher32": True}],
)  # fmt: skip
def test_plain_and_compressed_columns(tmp_path: Path, how: dict[str, Any]) -> None:
    assert equal(read_recording(write(tmp_path / "a.h5", **how)))


def test_what_is_not_read_may_be_anything(tmp_path: Path) -> None:
    """Pictures, references, holes and links beside the events are a file's own affair."""

    def change(file: Any) -> None:
        file.create_dataset("frames", shape=(10**9,), dtype="u8", chunks=(1024,))
        file["elsewhere"] = h5py.ExternalLink("other.h5", "/x")
        file.create_dataset("refs", data=[file.ref], dtype=h5py.ref_dtype)
        file["events"]["note"] = "of a garden"

    assert equal(read_recording(write(tmp_path / "a.h5", change)))


def wide_table(file: Any, name: str) -> None:
    kind = np.dtype([(n, "u4") for n in "xytp"] + [("filler", f"V{1 << 20}")])
    file.create_dataset("CD/events", shape=(1 << 20,), dtype=kind, chunks=(1,))


def linked(file: Any, name: str) -> None:
    with h5py.File(Path(file.filename).with_name("other.h5"), "w") as other:
        other["x"] = columns()["x"]
    file[name] = h5py.ExternalLink("other.h5", "/x")


def outside(file: Any, name: str) -> None:
    raw = Path(file.filename).with_name("raw")
    raw.write_bytes(columns()["x"].tobytes())
    file.create_dataset(name, shape=(500,), dtype="u2", external=[(str(raw), 0, 1000)])


def virtual(file: Any, name: str) -> None:
    layout = h5py.VirtualLayout(shape=(500,), dtype="u2")
    layout[:] = h5py.VirtualSource("other.h5", "x", shape=(500,))
    file.create_virtual_dataset(name, layout)


def filtered(file: Any, name: str, code: int) -> None:
    recipe = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    recipe.set_chunk((64,))
    recipe.set_filter(code, h5py.h5z.FLAG_OPTIONAL, (2, 2))
    space, kind = h5py.h5s.create_simple((500,)), h5py.h5t.NATIVE_UINT16
    h5py.h5d.create(file.id, name.encode(), kind, space, recipe)


HOSTILE = {
    "holes in chunks": ("x", lambda f, n: f.create_dataset(n, (MANY,), "u8", chunks=(1024,)), "holds 0"),
    "never stored": ("t", lambda f, n: f.create_dataset(n, (MANY,), "u8"), "of which the file holds 0"),
    "zeros squeezed": (
        "t", lambda f, n: f.create_dataset(
            n, (MANY,), "u8", chunks=(MANY // 10,), compression="gzip"
        ).write_direct(np.zeros(MANY, "u8")), "of which the file holds",
    ),
    "too many": ("p", lambda f, n: f.create_dataset(n, (10**13,), "u1", chunks=(1024,)), "exceed the limit"),
    "opaque": ("x", lambda f, n: f.create_dataset(n, (500,), f"V{1 << 24}"), None),
    "wide floats": ("t", lambda f, n: f.create_dataset(n, data=np.ones(500, "f16")), "has type float128"),
    "complex": ("x", lambda f, n: f.create_dataset(n, data=np.ones(500, "c8")), "has type complex64"),
    "text": ("x", lambda f, n: f.create_dataset(n, data=np.full(500, b"1")), "has type |S1"),
    "wide text": ("x", lambda f, n: f.create_dataset(n, (500,), f"S{1 << 24}"), None),
    "objects": ("x", lambda f, n: f.create_dataset(n, (500,), h5py.vlen_dtype("u2")), "has type object"),
    "references": ("x", lambda f, n: f.create_dataset(n, (500,), h5py.ref_dtype), "has type object"),
    "no values": ("x", lambda f, n: f.create_dataset(n, data=h5py.Empty("u2")), "no events found"),
    "a matrix": ("x", lambda f, n: f.create_dataset(n, data=np.ones((500, 2))), "no events found"),
    "a group": ("x", lambda f, n: f.create_group(n), "no events found"),
    "of other length": ("x", lambda f, n: f.create_dataset(n, data=np.ones(7, "u2")), "differ in length"),
    "in another file": ("x", linked, "ExternalLink"),
    "a name for another": ("x", lambda f, n: f.__setitem__(n, h5py.SoftLink("/events/y")), "SoftLink"),
    "raw bytes outside": ("x", outside, "in another file"),
    "virtual": ("x", virtual, "in another file"),
    "filter": ("x", lambda f, n: filtered(f, n, 32_999), "filter 32999 (no name), which is not installed"),
    "its table": ("x", lambda f, n: filtered(f, n, 0x8ECF), "filter 36559 (Prophesee's ECF) and is no"),
}  # fmt: skip


@pytest.mark.parametrize("case", HOSTILE)
def test_a_hostile_column(tmp_path: Path, case: str) -> None:
    name, make, says = HOSTILE[case]
    line = refused(write(tmp_path / "a.h5", replaced(f"events/{name}", make)))
    # What is declared may also be more than there is memory for, of which the test leaves little.
    assert says is None or says in line or "more than the limit" in line, line


def test_a_table_of_wide_items(tmp_path: Path) -> None:
    assert "bytes" in refused(write(tmp_path / "a.h5", replaced("events", wide_table)))


def test_links_on_the_way(tmp_path: Path) -> None:
    for link in (h5py.ExternalLink("a.h5", "/events"), h5py.SoftLink("/")):
        path = write(
            tmp_path / "b.h5", replaced("events", lambda f, n, x=link: f.__setitem__(n, x))
        )
        write(tmp_path / "a.h5")
        assert "link out of place" in refused(path)


@pytest.mark.parametrize(
    "width", [-5, 0, 2.0**80, np.nan, "wide", str(10**30), np.ones(3), np.full(1000, 2.0)]
)
def test_a_sensor_that_is_none(tmp_path: Path, width: Any) -> None:
    refused(write(tmp_path / "a.h5", lambda file: file.attrs.__setitem__("width", width)))


@pytest.mark.parametrize("repeats", [40, pytest.param(400, marks=pytest.mark.long)])
def test_damaged_bytes_are_a_line_or_events(tmp_path: Path, repeats: int) -> None:
    """Some bytes changed or the end cut off: whatever libhdf5 does of it, this process goes on."""
    whole = write(tmp_path / "whole.h5", compression="gzip").read_bytes()
    rng, told = np.random.default_rng(0), 0
    for number in range(repeats):
        content = bytearray(whole[: rng.integers(1, len(whole))] if number % 4 == 0 else whole)
        for place in rng.integers(0, len(content), rng.integers(1, 30)):
            content[place] = rng.integers(0, 256)
        path = tmp_path / "a.h5"
        path.write_bytes(content)
        try:
            read_recording(path)
        except BadInput as error:
            told += 1
            assert str(path) in str(error) and "\n" not in str(error)
    assert told > repeats / 4


def crash(*_: object) -> None:
    os.kill(os.getpid(), signal.SIGSEGV)


def loop(*_: object) -> None:
    while True:
        pass


def hoard(*_: object) -> None:
    np.ones(1 << 32)


@pytest.mark.parametrize(
    ("what", "says"),
    [(crash, "ends in SIGSEGV"), (loop, "takes more than 2.0 seconds"), (hoard, "allocate")],
)
def test_libhdf5_may_crash_loop_or_take_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, what: Callable[..., None], says: str
) -> None:
    monkeypatch.setattr(hdf5, "_events", what)
    assert says in refused(write(tmp_path / "a.h5"))
