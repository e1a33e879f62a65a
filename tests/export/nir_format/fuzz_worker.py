"""Runs `neuroclip-export` on mutants FIRST..LAST in FOLDER; one line of JSON for each."""

import contextlib
import io
import json
import resource
import shutil
import sys
import time
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[3]))

import h5py
import nir
import numpy as np

from deploy import progress
from export.commands.main import main
from export.nir_format.write.file import write_nir

R = 1e4
LIMIT = 4 << 30


def fire(*shape: int) -> nir.IF:
    return nir.IF(np.full(shape, R), np.full(shape, 5.0), np.zeros(shape))


def dense(rng: np.random.Generator, *shape: int) -> nir.Affine:
    return nir.Affine(2.0 * rng.integers(-5, 6, shape), np.ones(shape[0]))


def chained(nodes: dict[str, Any]) -> nir.NIRGraph:
    return nir.NIRGraph(nodes, list(pairwise(nodes)), type_check=False)


def graphs() -> list[nir.NIRGraph]:
    """Dense with leaks; convolution, pooling and flattening; a nested loop with a delay."""
    rng = np.random.default_rng(0)
    dv = np.array([1, 700, 1500, 2500, 4095])
    lif = nir.LIF(0.4096 / dv, 4096 / dv, 0.0 * dv, 12.0 + 0 * dv, 0.0 * dv)
    end = nir.Output(np.array([3]))
    plain = {"in": nir.Input(np.array([2, 4, 4])), "flat": nir.Flatten({"input": None}, 0)}
    loop = {
        "input": nir.Input(np.array([3])),
        "lif": fire(3),
        "w": dense(rng, 3, 3),
        "late": nir.Delay(np.full(3, 2e-4)),
        "output": nir.Output(np.array([3])),
    }
    edges = [("input", "lif"), ("lif", "w"), ("w", "late"), ("late", "lif"), ("lif", "output")]
    inner = nir.NIRGraph(loop, edges, type_check=False)
    pair = np.array([2, 2])
    return [
        chained({**plain, "fc": dense(rng, 5, 32), "lif": lif, "fc2": dense(rng, 3, 5),
                 "sum": nir.I(np.full(3, R)), "out": end}),
        chained({"in": plain["in"], "pool": nir.SumPool2d(pair, pair, pair * 0),
                 "conv": nir.Conv2d(None, 2.0 * rng.integers(-3, 4, (3, 2, 2, 2)), 1, (1, 1), 1, 1,
                                    np.zeros(3)),
                 "n": fire(3, 3, 3), "flat": nir.Flatten({"input": None}, 0), "scale":
                 nir.Scale(np.full(27, 2.0)), "fc": dense(rng, 3, 27), "m": fire(3), "out": end}),
        chained({**plain, "fc": dense(rng, 3, 32), "r": inner, "out": end}),
    ]  # fmt: skip


def bytewise(path: Path, rng: np.random.Generator) -> str:
    content, kind = bytearray(path.read_bytes()), rng.integers(4)
    if kind == 0:
        path.write_bytes(content[: rng.integers(len(content))])
        return "cut"
    if kind == 1:
        start = int(rng.integers(len(content)))
        path.write_bytes(content[:start] + content[start + int(rng.integers(1, 30)) :])
        return "bytes out"
    # Headers, where the harm is done, are at the beginning.
    end = len(content) if kind == 2 else 4000
    for place in rng.integers(0, min(end, len(content)), rng.integers(1, 9)):
        content[place] = rng.integers(256)
    path.write_bytes(content)
    return "bytes changed"


def nodewise(path: Path, rng: np.random.Generator) -> str:
    """One or two changes that leave a whole HDF5 file."""
    with h5py.File(path, "r+") as file:
        done = []
        for _ in range(int(rng.integers(1, 3))):
            entries: list[str] = []
            file.visit(entries.append)
            change = CHANGES[int(rng.integers(len(CHANGES)))]
            change(file, str(rng.choice([e for e in entries if e != "version"] or ["x"])), rng)
            done.append(change.__name__)
    return ", ".join(done)


def remove(file: Any, name: str, rng: np.random.Generator) -> None:
    del file[name]


def rename(file: Any, name: str, rng: np.random.Generator) -> None:
    file.move(name, f"{name}{rng.choice(['x', '.y', '0', 'é', chr(10), 'z' * 300])}")


def another(file: Any, name: str, rng: np.random.Generator) -> None:
    names: list[str] = []
    file.visit(names.append)
    other = str(rng.choice(names))
    if other.startswith(name) or name.startswith(other):
        return
    del file[name]
    file.copy(other, name)


def values(file: Any, name: str, rng: np.random.Generator) -> None:
    if isinstance(file[name], h5py.Dataset) and file[name].dtype.kind in "iuf":
        bad = [0, -1, 1, 7, 2.5, 63, 1e-300, 1e300, np.nan, np.inf, 2**31, 2**62]
        value = bad[int(rng.integers(len(bad)))]
        with np.errstate(all="ignore"), contextlib.suppress(OverflowError, ValueError):
            if rng.random() < 0.5 or not file[name].shape:
                file[name][...] = value
            else:
                file[name][tuple(int(rng.integers(n)) for n in file[name].shape)] = value


def shape(file: Any, name: str, rng: np.random.Generator) -> None:
    if not isinstance(file[name], h5py.Dataset) or file[name].dtype.kind not in "iuf":
        return
    held = np.asarray(file[name][()])
    del file[name]
    made = [held.reshape(-1), held[None], np.resize(held, (3, 2)), held.astype("f2"),
            np.resize(held, ()), np.zeros((0, 3)), np.ones((2,) * 6), held.astype("S3"),
            held.astype(np.complex64), held.astype(bool)]  # fmt: skip
    file[name] = made[int(rng.integers(len(made)))]


def huge(file: Any, name: str, rng: np.random.Generator) -> None:
    if isinstance(file[name], h5py.Dataset):
        del file[name]
        size = tuple(int(n) for n in rng.choice([1, 5, 40_000, 10**6, 10**9], rng.integers(1, 4)))
        file.create_dataset(name, size, rng.choice(["f8", "i8", "S9"]), chunks=(1,) * len(size))


def text(file: Any, name: str, rng: np.random.Generator) -> None:
    if name != "node":
        del file[name]
        file[name] = str(rng.choice(["", "Affine", "NIRGraph", "x" * 100_000, "a\nb", "same"]))


def edge(file: Any, name: str, rng: np.random.Generator) -> None:
    if "node/edges" in file and isinstance(file["node/nodes"], h5py.Group):
        held = [[a.decode(), b.decode()] for a, b in file["node/edges"][()]]
        names = [*file["node/nodes"], "nowhere"]
        for _ in range(int(rng.integers(1, 4))):
            held.append([str(rng.choice(names)), str(rng.choice(names))])
        del file["node/edges"]
        data = np.array(held, dtype=object)
        file.create_dataset("node/edges", data=data, dtype=h5py.string_dtype())


def kind(file: Any, name: str, rng: np.random.Generator) -> None:
    nodes = [n for n in file.get("node/nodes", ()) if "type" in file[f"node/nodes/{n}"]]
    if nodes:
        where = f"node/nodes/{rng.choice(nodes)}/type"
        del file[where]
        file[where] = str(
            rng.choice(["LI", "CubaLIF", "Threshold", "Delay", "Scale", "Input", "Flatten"])
        )


CHANGES: list[Callable[[Any, str, np.random.Generator], None]] = [
    remove, rename, another, values, values, shape, huge, text, edge, kind,
]  # fmt: skip


def mutant(seed: int, originals: list[Path], path: Path) -> str:
    rng = np.random.default_rng(seed)
    for _ in range(20):
        shutil.copy(originals[int(rng.integers(len(originals)))], path)
        try:
            return (bytewise if rng.random() < 0.5 else nodewise)(path, rng)
        except (KeyError, ValueError, TypeError, OSError, AttributeError):
            continue  # h5py will not make such a file
    raise AssertionError("no mutant in twenty attempts")


def run(arguments: list[str]) -> tuple[int, list[str]]:
    errors = io.StringIO()
    with contextlib.redirect_stderr(errors), contextlib.redirect_stdout(io.StringIO()):
        status = main(arguments)
    return status, errors.getvalue().splitlines()


def peak_mb() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024


def work(first: int, last: int, folder: Path) -> None:
    resource.setrlimit(resource.RLIMIT_AS, (LIMIT, LIMIT))
    progress.FIRST_S = 1e9  # nothing but the lines that are judged
    originals = [folder / f"{i}.nir" for i in range(3)]
    for path, graph in zip(originals, graphs(), strict=True):
        write_nir(path, graph)
    np.save(folder / "x.npy", np.random.default_rng(1).integers(0, 2, (2, 4, 2, 4, 4), np.int8))
    end = ["--data", str(folder / "x.npy"), "--target", "emulator", "--out", str(folder / "out")]
    for path in originals:
        status, lines = run([str(path), *end])
        assert status == 0, lines
    path, before = folder / "mutant.nir", peak_mb()
    for seed in range(first, last):
        damage = mutant(seed, originals, path)
        started = time.process_time()
        status, lines = run([str(path), *end])
        line = {
            "seed": seed,
            "damage": damage,
            "status": status,
            "lines": lines,
            "seconds": time.process_time() - started,
            "grown_mb": peak_mb() - before,
        }
        print(json.dumps(line), flush=True)


if __name__ == "__main__":
    work(int(sys.argv[1]), int(sys.argv[2]), Path(sys.argv[3]))
