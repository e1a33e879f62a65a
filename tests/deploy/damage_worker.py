"""Reads damaged copies of a file in a process of little memory: `damage_worker.py KIND SEED COUNT`.

Prints what went wrong, a line each: a copy must be read whole or be refused in one line.
"""

import json
import os
import random
import resource
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from deploy.connections import Conv2d, Dense, one_to_one
from deploy.count.energy import load_coefficients
from deploy.emulate.reference import emulate
from deploy.errors import BadInput
from deploy.files import read_npz, write_npz
from deploy.hardware.chip import load_chip
from deploy.hardware.mapping import Core, Mapping, Place, Slice, load_mapping, save_mapping
from deploy.neurons import Delta, Graded, Sigma, make_sigma_delta, make_ternary, make_threshold
from deploy.program.file import load_program, save_program
from deploy.program.program import Output, Program, equal, make_input, make_population

MEMORY, SECONDS = 1 << 30, 120
# What stands for a value, as JSON text.
NASTY = (
    "0.5", "4.0", "-1", "0", "1", "65", "2147483647", "2147483648", "9223372036854775808",
    "1" * 30, "9" * 400, "9" * 6000, "1e400", "-1e400", "1e300", "NaN", "Infinity", "null", "true",
    '""', '"zzz"', '"a/b"', '"a\\nb"', '"a\\u0000b"', '"\\ud800"', '"' + "x" * 100_000 + '"',
    "[]", "{}", "[[1]]", "[2147483648]", "[65536, 32767]", "[" * 1000 + "]" * 1000,
    "[" * 100_000 + "]" * 100_000, '{"a": {"b": 1}}', "[0.5, 2]", '["1", "2"]',
)  # fmt: skip
MARK = '"the place of the value"'


def every_kind() -> Program:
    """A program with a population and a connection of each kind."""
    n = (1, 2, 3)
    populations = (
        make_population("lif", n, vth=np.arange(6).reshape(n), bias=64, refractory=1),
        make_population("reset", n, vth=9, reset_interval=3, reset_offset=1),
        make_ternary("ternary", n, vth=9, vth_lo=-9),
        make_threshold("threshold", n, vth=9),
        Graded("graded", n, 3, True, 16),
        Delta("delta", n, 3, 1, 1),
        Sigma("sigma", n),
        make_sigma_delta("sigma-delta", n, vth=2, bias=3),
        make_population("integrator", (4,), kind="integrator"),
    )
    names = ["image", *(p.name for p in populations)]
    kernel = np.full((1, 1, 3, 3), 4, np.int32)
    weight = np.full((4, 6), -2, np.int32)
    return Program(
        (make_input("image", n, -3, 3),),
        populations,
        (
            Conv2d("conv", "image", "lif", kernel, (2, 3), padding=(1, 1), exponent=1),
            *(one_to_one(f"to-{b}", a, b, 6, 2) for a, b in pairwise(names[1:9])),
            Dense("dense", "sigma-delta", "integrator", weight, -1, 2),
        ),
        (Output("scores", "integrator", "v"), Output("spikes", "lif", "s")),
    )  # fmt: skip


def places(tree: Any) -> Iterator[tuple[Any, ...]]:
    """The ways to every value inside a JSON tree."""
    inside = tree.items() if isinstance(tree, dict) else enumerate(tree)
    for key, value in inside:
        yield (key,)
        if isinstance(value, dict | list):
            yield from ((key, *way) for way in places(value))


def damaged(text: str, rng: random.Random) -> str:
    """The JSON text with one value changed, taken out, put in or given twice, or a byte changed."""
    kind = rng.choice(["value"] * 6 + ["without", "unknown", "twice", "byte"])
    if kind == "byte":
        at = rng.randrange(len(text))
        return text[:at] + chr(rng.randrange(128)) + text[at + 1 :]
    tree = json.loads(text)
    way = rng.choice(list(places(tree)))
    holder = tree
    for step in way[:-1]:
        holder = holder[step]
    nasty = rng.choice(NASTY)
    if kind == "without":
        del holder[way[-1]]
        return json.dumps(tree)
    if kind == "value" or isinstance(holder, list):
        holder[way[-1]] = json.loads(MARK)
        return json.dumps(tree).replace(MARK, nasty)
    name = json.dumps(way[-1] if kind == "twice" else "zzz")
    holder["the place of the key"] = json.loads(MARK)
    return json.dumps(tree).replace(f'"the place of the key": {MARK}', f"{name}: {nasty}")


def of_program(folder: Path) -> tuple[str, Callable[[str], None]]:
    path, program = folder / "program.npz", every_kind()
    save_program(path, program)
    arrays = read_npz(path)

    def read(text: str) -> None:
        header = np.frombuffer(text.encode("utf-8", "surrogatepass"), np.uint8)
        write_npz(path, arrays | {"program.json": header})
        found = load_program(path)
        if sum(n.size for n in found.sources) < 10_000:
            emulate(found, {n.name: np.zeros((1, 2, *n.shape), int) for n in found.inputs})
            save_program(path, found)
            assert equal(found, load_program(path))

    return arrays["program.json"].tobytes().decode(), read


def of_json(
    path: Path, text: str, load: Callable[[Path], object]
) -> tuple[str, Callable[[str], None]]:
    def read(changed: str) -> None:
        path.write_text(changed, errors="surrogatepass")
        load(path)

    return text, read


def of_mapping(folder: Path) -> tuple[str, Callable[[str], None]]:
    path = folder / "mapping.json"
    cores = Core(0, (Slice("a", 0, 9),), Place(0, 1, 2)), Core(3, (Slice("a", 9, 12),))
    save_mapping(path, Mapping("loihi2", cores))
    return of_json(path, path.read_text(), load_mapping)


def bundled(name: str) -> str:
    return (Path(load_chip.__code__.co_filename).parents[1] / name).read_text()


KINDS: dict[str, Callable[[Path], tuple[str, Callable[[str], None]]]] = {
    "program": of_program,
    "mapping": of_mapping,
    "chip": lambda folder: of_json(
        folder / "mine.json", bundled("hardware/chips/loihi2.json"), load_chip
    ),
    "coefficients": lambda folder: of_json(
        folder / "mine.json", bundled("count/coefficients/loihi1-sanafe.json"), load_coefficients
    ),
}


def limit() -> None:
    """So many bytes beside what is in use, and so many seconds of processor time, from here on."""
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + MEMORY, used + MEMORY))
    resource.setrlimit(resource.RLIMIT_CPU, (SECONDS, SECONDS))


def check(cases: list[tuple[str, Callable[[str], None]]], seeds: range) -> None:
    """Print what damaged copies do besides being read or refused; a summary at the end."""
    done = {"read": 0, "refused": 0}
    for text, read in cases:
        read(text)
    limit()
    for i, seed in enumerate(seeds):
        text, read = cases[i % len(cases)]
        changed = damaged(text, random.Random(seed))
        try:
            read(changed)
            done["read"] += 1
        except BadInput as error:
            done["refused"] += 1
            if "\n" in str(error) or len(str(error)) > 3000:
                print(f"seed {seed}: {str(error)[:200]!r}")
        except BaseException as error:
            print(f"seed {seed}: {type(error).__name__}: {str(error)[:200]!r}")
    print(json.dumps(done))


def outcome(worker: Path, kind: str, first: int, count: int) -> dict[str, int]:
    """What a worker found; it must have survived its limits of memory and processor time."""
    ran = subprocess.run(
        [sys.executable, worker, kind, str(first), str(count)],
        env=os.environ | {"PYTHONPATH": str(Path(__file__).parents[2]), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
    )
    *bad, summary = ran.stdout.splitlines() or [""]
    assert ran.returncode == 0 and bad == [], (bad[:3], ran.stderr[-500:])
    found: dict[str, int] = json.loads(summary)
    assert sum(found.values()) == count
    return found


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        first, count = int(sys.argv[2]), int(sys.argv[3])
        check([KINDS[sys.argv[1]](Path(folder))], range(first, first + count))
