"""Small files that declare, nest or name what they should not; each function writes some into a folder."""

import io
import json
import os
import pickle
import socket
import struct
import zipfile
import zlib
from pathlib import Path
from typing import Any

import h5py
import nir
import numpy as np

from deploy.connections import Dense
from deploy.files import read_npz, write_npz
from deploy.program.file import save_program
from deploy.program.program import Output, Program, make_input, make_population

DIGITS = "9" * 6000
# Moves the cursor, writes from right to left, and rings: none of it may reach a terminal.
EVIL = "a\x1b[31m\u202eb\x07"


def network(name: str = "lif") -> Program:
    return Program(
        (make_input("in", (6,)),),
        (make_population(name, (4,), vth=9),),
        (Dense("fc", "in", name, np.full((4, 6), 2, np.int32)),),
        (Output("out", name, "s"),),
    )


def no_files(folder: Path) -> list[Path]:
    """A folder, a pipe, a socket and a device, by the name of a file."""
    made = []
    for suffix in (".npz", ".npy", ".nir", ".net", ".json", ".bin", ".safetensors"):
        folder.joinpath(f"folder{suffix}").mkdir()
        os.mkfifo(folder / f"pipe{suffix}")
        with socket.socket(socket.AF_UNIX) as server:
            server.bind(str(folder / f"socket{suffix}"))
        (folder / f"zeros{suffix}").symlink_to("/dev/zero")
        made += [folder / f"{kind}{suffix}" for kind in ("folder", "pipe", "socket", "zeros")]
    return made


def npy_head(shape: Any, dtype: str = "|u1") -> bytes:
    head = io.BytesIO()
    np.lib.format.write_array_header_1_0(
        head, {"descr": dtype, "fortran_order": False, "shape": shape}
    )
    return head.getvalue()


def zipped(path: Path, name: str, content: bytes, method: int = zipfile.ZIP_DEFLATED) -> Path:
    with zipfile.ZipFile(path, "w", method) as archive:
        archive.writestr(name, content)
    return path


def with_entry(path: Path, place: int, value: bytes) -> None:
    """Change a field of the first entry in a zip file's table."""
    raw = bytearray(path.read_bytes())
    at = raw.index(b"PK\1\2") + place
    raw[at : at + len(value)] = value
    path.write_bytes(raw)


def arrays(folder: Path) -> list[Path]:
    """Bombs and lies in .npz and .npy, as the spikes of a network."""
    made = [
        zipped(folder / "lie.npz", "spikes.npy", npy_head((1 << 29,)) + b"1"),
        zipped(folder / "packed.npz", "spikes.npy", npy_head((8,)) + bytes(8), zipfile.ZIP_BZIP2),
        zipped(folder / "version.npz", "spikes.npy", npy_head((8,)) + bytes(8)),
        zipped(folder / "encrypted.npz", "spikes.npy", npy_head((8,)) + bytes(8)),
        zipped(folder / "sizes.npz", "spikes.npy", npy_head((1 << 29,)) + bytes(8)),
        zipped(folder / "nothing.npz", "spikes.npy", npy_head((1 << 40, 1, 6), "|V0")),
        zipped(folder / "digits.npz", "spikes.npy", b"\x93NUMPY\1\0\x76\0{'descr': '|u1', 'x'}"),
        zipped(folder / "dense.npz", "spikes.npy", npy_head((1 << 27, 1, 2)) + bytes(1 << 28)),
    ]
    with_entry(folder / "version.npz", 6, b"\xff\x00")
    with_entry(folder / "encrypted.npz", 8, b"\x01\x00")
    with_entry(folder / "sizes.npz", 24, (1 << 29).to_bytes(4, "little"))
    for name, shape in (
        ("many", (1 << 40,)),
        ("negative", (-1, 2, 3)),
        ("long", (int(DIGITS[:4000]),)),
    ):
        made.append(folder / f"{name}.npy")
        made[-1].write_bytes(npy_head(shape) + bytes(99))
    with open(folder / "hole.npy", "wb") as stream:  # a file of 6 GB of which the disk holds a page
        stream.write(npy_head((6 << 30, 1, 1)))
        stream.truncate((6 << 30) + 128)
    return [*made, folder / "hole.npy"]


def programs(folder: Path) -> list[Path]:
    """Shapes of 2^31 of which the file holds one number, and sizes that it declares."""
    save_program(folder / "program.npz", network())
    held = read_npz(folder / "program.npz")
    made = []
    for name, key, shape in (
        ("population", "populations", [1 << 31]), ("input", "inputs", [1 << 31]),
        ("nested", "populations", [1] * 5000), ("many", "populations", [1 << 16, 1 << 15]),
    ):  # fmt: skip
        header = json.loads(held["program.json"].tobytes())
        header[key][0]["shape"] = shape
        text = np.frombuffer(json.dumps(header).encode(), np.uint8)
        made.append(folder / f"{name}.npz")
        write_npz(made[-1], held | {"program.json": text})
    return made


def hdf5(folder: Path, suffix: str, place: str) -> list[Path]:
    """Wide items, large chunks, holes, and types that are no numbers, at a place in a file."""
    made = []
    wide = np.dtype([(n, "i4") for n in "xypt"] + [("w", "V100000000")])
    for name, shape, dtype, more in (
        ("wide", (40,), wide, {"chunks": (1,)}),
        ("chunk", (1,), "i8", {"chunks": (1 << 28,), "maxshape": (None,)}),
        ("hole", (1 << 30,), "i8", {"chunks": (1 << 16,)}),
        ("matrix", (2,), np.dtype(("f4", (2, 2))), {}),
        ("opaque", (2,), "V9", {}),
    ):
        made.append(folder / f"{name}{suffix}")
        with h5py.File(made[-1], "w") as file:
            group = file.require_group(place)
            for field in ("type", "weight", "shape", *"xytp"):
                group.create_dataset(field, shape, dtype, **more)
            for holder in (file, group):
                holder.attrs["width"], holder.attrs["height"] = np.inf, float("nan")
                holder.attrs["sensor_resolution"] = np.full(2, np.inf)
    return made


def graph(folder: Path) -> Path:
    """A network that events of a small sensor go into."""
    shape = np.array([2, 4, 4])
    nodes = {
        "in": nir.Input(shape), "flat": nir.Flatten({"input": shape}, 0),
        "fc": nir.Linear(np.full((2, 32), 2.0)),
        "sum": nir.I(r=np.full(2, 1e4)), "out": nir.Output(np.array([2])),
    }  # fmt: skip
    edges = [("in", "flat"), ("flat", "fc"), ("fc", "sum"), ("sum", "out")]
    nir.write(folder / "events.nir", nir.NIRGraph(nodes, edges, type_check=False))
    return folder / "events.nir"


def events(folder: Path) -> list[Path]:
    """Event files: nothing but overflows, a vast sensor, numbers of thousands of digits."""
    overflow = np.full((1_000_000, 5), 240, np.uint8)
    (folder / "overflows.bin").write_bytes(overflow.tobytes() + bytes(5))
    (folder / "digits.dat").write_bytes(
        f"% Width {DIGITS}\n% Height 9\n".encode() + b"\0\x08" + bytes(8)
    )
    (folder / "digits.aedat").write_bytes(f"#!AER-DAT2.{DIGITS}\r\n".encode() + bytes(16))
    (folder / "packets.aedat").write_bytes(
        b"#!AER-DAT3.1\r\n" + struct.pack("<hhiiiiii", 1, 0, 8, 4, 0, 1 << 28, 1 << 28, 1 << 28)
    )
    vast = {name: np.zeros(1, int) for name in "xytp"}
    for name, size in (("vast", 65_536), ("vaster", 1 << 62)):
        with h5py.File(folder / f"{name}.h5", "w") as file:
            for field, values in vast.items():
                file[f"events/{field}"] = values
            file.attrs["width"], file.attrs["height"] = size, size
    (folder / "digits.txt").write_text(f"{DIGITS} 9\n1 1 1 1\n")
    (folder / "columns.txt").write_text(f"{DIGITS} 1 1 1\n{DIGITS} 1 1 1\n")
    names = (
        "overflows.bin",
        "digits.txt",
        "columns.txt",
        "digits.dat",
        "digits.aedat",
        "packets.aedat",
        "vast.h5",
        "vaster.h5",
    )
    return [folder / name for name in names]


def streams(folder: Path) -> list[Path]:
    """What is no stream of events, by the names of formats that are read while they come in."""
    head = b"% Version 2\n% Width 34\n% Height 34\n\0\x08"
    columns = b"t_us x y p\n"
    contents = {
        "half.bin": bytes(7), "none.bin": b"", "overflows.bin": b"\xf0" * 500_000,
        "pickle.bin": pickle.dumps(list(range(99))), "outside.bs2": b"\xff\xef\0\0\0",
        "half.dat": head + bytes(9), "kind.dat": head[:-2] + b"\x05\x08" + bytes(8), "none.dat": head,
        "version.dat": head[12:] + bytes(8), "head.dat": b"% a\n" * 5_000_000,
        "vast.dat": head.replace(b"34", b"65000") + bytes(8), "outside.dat": head + b"\xff" * 8,
        "comments.txt": b"# a\n" * 5_000_000, "line.txt": columns + b"1" * 20_000_000,
        "digits.txt": columns + DIGITS.encode() + b" 1 1 1\n", "nan.txt": columns + b"nan 1 1 1\n",
        "huge.txt": columns + b"1 1e300 1 1\n", "late.txt": columns + b"9000 1 1 1\n1 1 1 1\n",
        "century.txt": columns + b"1 1 1 1\n9200000000000000000 1 1 1\n",
        "words.csv": f"{EVIL},{EVIL}\n".encode(), "unnamed.csv": b"1,1,1,1\n",
        "unit.csv": b"t,x,y,p\n0.5,1,1,1\n", "zeros.csv": bytes(300_000),
    }  # fmt: skip
    for name, content in contents.items():
        (folder / name).write_bytes(content)
    return [folder / name for name in contents]


def reports(folder: Path, text: str) -> list[Path]:
    """Runs whose report.json is no report, or says what it should not."""
    made = []
    report = json.loads(text)
    for number, changed in enumerate(
        (
            [], {"schema": 1}, {"schema": DIGITS}, {"schema": 1, "ok": True, "parity": 3},
            report | {"parity": {"ok": True, "pairs": [{"a": 1}]}}, report | {"warnings": [3]},
        )
    ):  # fmt: skip
        made.append(folder / f"run{number}")
        made[-1].mkdir()
        (made[-1] / "report.json").write_text(json.dumps(changed).replace(f'"{DIGITS}"', DIGITS))
    return made


def png(path: Path, width: int, height: int) -> Path:
    """A picture of one colour, whatever its size: a kilobyte or so."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        crc = zlib.crc32(kind + content)
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", crc)

    head = struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0)
    packer = zlib.compressobj(9)
    rows = packer.compress(bytes(min(height * (width // 8 + 2), 1 << 20))) + packer.flush()
    path.write_bytes(
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")
    )
    return path


def laughing(depth: int) -> Any:
    """A value that holds another twice, which holds another twice: as text it would have no end."""
    value: Any = (1, 1)
    for _ in range(depth):
        value = (value, value)
    return value


def pickles() -> dict[str, bytes]:
    """CIFAR's batches that take for ever, or memory, in a kilobyte to a megabyte."""

    def batch(shape: bytes) -> bytes:
        """A batch whose array has a shape of these instructions."""
        array = b"cnumpy.core.multiarray\n_reconstruct\n)R(K\x01" + shape
        array += b"cnumpy\ndtype\n(U\x02u1K\x00K\x01tR\x89U\x00tb"
        return b"\x80\x02}(U\x06labels]U\x04data" + array + b"u."

    text = b"X" + struct.pack("<I", 200_000) + b"a" * 200_000 + b"q\x02"
    call = b"c_codecs\nencode\nh\x02X\x06\0\0\0latin1\x86R"
    return {
        "laughing": batch(pickle.dumps(laughing(60), 2)[2:-1]),
        # A product of 300 000 numbers of 255 bytes.
        "product": batch(b"(\x8a\xff" + b"\x01" * 255 + b"q\x09" + b"h\x09" * 300_000 + b"t"),
        "marks": b"\x80\x02" + b"(" * 300_000 + b"t" * 300_000 + b".",
        "lists": b"\x80\x02" + b"]" * 300_000 + b"a" * 299_999 + b".",
        "encoded": b"\x80\x02(" + text + call * 9000 + b"t.",
        "names": b"\x80\x04(" + text + b"h\x02h\x02\x93" * 30_000 + b"t.",
        "digits": b"I" + b"9" * 6000 + b"\n.",
    }


def safetensors(path: Path, entries: str, data: bytes = bytes(16)) -> Path:
    path.write_bytes(len(entries).to_bytes(8, "little") + entries.encode() + data)
    return path


def weights(folder: Path) -> list[Path]:
    """Safetensors with entries twice, over each other, outside, and heads that are none."""
    whole = '{"a": {"dtype": "F32", "shape": [4], "data_offsets": [0, 16]}'
    other = '"shape": [2], "data_offsets": [0, 8]}'
    made = {
        "twice": whole + ", " + whole[1:] + "}",
        "over": whole + ', "b": {"dtype": "F32", "shape": [2], "data_offsets": [8, 16]}}',
        "same": f'{{"a": {{"dtype": "F32", {other}, "b": {{"dtype": "F32", {other}}}',
        "outside": whole.replace("16", "1600") + "}",
        "size": whole.replace("[4]", "[1099511627775, 1099511627775]") + "}",
        "negative": whole.replace("[4]", "[-4]") + "}",
        "type": whole.replace("F32", "Q32") + "}",
        "digits": whole.replace("[4]", f"[{DIGITS}]") + "}",
        "metadata": whole + ', "__metadata__": {"a": 3}}',
        "nested": "[" * 100_000,
    }
    paths = [safetensors(folder / f"{name}.safetensors", text) for name, text in made.items()]
    (folder / "head.safetensors").write_bytes((1 << 40).to_bytes(8, "little") + b"{}")
    (folder / "short.safetensors").write_bytes(b"{}")
    return [*paths, folder / "head.safetensors", folder / "short.safetensors"]
