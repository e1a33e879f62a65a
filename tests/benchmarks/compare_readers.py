"""What other packages make of Prophesee's words that are awkward, beside ours (docs/recordings.md).

    python tests/benchmarks/compare_readers.py     (with expelliarmus, faery, evlib, evt3 installed, or some)

Files are written by the tests' own writers: a plain stream; time that starts again at 0; high time that
falls by one step; a last byte that is missing, which is to be refused.
"""

import importlib.util
import runpy
import tempfile
from pathlib import Path
from types import SimpleNamespace

import numpy as np
from bench_recordings import decoded

from deploy.errors import BadInput
from neuroclip.data.events.formats import evt

SPEC = Path(__file__).parents[1] / "neuroclip" / "data" / "events" / "spec.py"
spec = SimpleNamespace(**runpy.run_path(str(SPEC)))
WRITERS = {
    "2.0": (spec.evt2, spec.decode_evt2),
    "2.1": (spec.evt21, spec.decode_evt21),
    "3.0": (spec.evt3, spec.decode_evt3),
}
PACKAGES = ("ours", "expelliarmus", "faery", "evlib", "evt3")


def cases(version: str) -> dict[str, bytes]:
    """Words by what is awkward in them."""
    write, _ = WRITERS[version]
    plain, loop = spec.stream(1, 500, 640, 480), 1 << (24 if version == "3.0" else 34)
    again = []
    for n in (1, 2):
        one = spec.stream(n, 60, 640, 480)
        again += [(x, y, p, t - one[0][3] + loop * n - 60) for x, y, p, t in one]
    middle = [(x, y, p, t - 70) for x, y, p, t in plain[100:200]]
    back = [*plain[:100], *middle, *plain[200:]]
    return {
        "plain": write(plain),
        "again": write(again),
        "back": write(back),
        "cut": write(plain)[:-1],
    }


def verdict(package: str, path: Path, version: str, wanted: list[tuple[int, ...]] | None) -> str:
    """Right, wrong, or what was raised; wanted None: to be refused."""
    try:
        if package == "ours":
            found = evt.read(path)
            fields = found.x, found.y, found.t, found.p
        else:
            fields = decoded(package, path)
    except BadInput:
        return "refused"
    except BaseException as error:  # packages raise what they like, and panic
        return f"error ({type(error).__name__})"
    x, y, t, p = (np.asarray(field).tolist() for field in fields)
    same = wanted == [tuple(map(int, row)) for row in zip(x, y, p, t, strict=True)]
    return "unseen" if wanted is None else "right" if same else "wrong"


def main() -> None:
    """Print a line for each encoding and package."""
    with tempfile.TemporaryDirectory() as folder:
        for version, (_, decode) in WRITERS.items():
            # expelliarmus is told the encoding by the file's name.
            path = Path(folder) / f"evt{version.replace('.0', '').replace('.', '')}.raw"
            for package in PACKAGES:
                if package != "ours" and importlib.util.find_spec(package) is None:
                    print(f"EVT {version} {package:13} not installed")
                    continue
                told = []
                for name, data in cases(version).items():
                    path.write_bytes(spec.raw_header(version, 640, 480) + data)
                    wanted = None if name == "cut" else decode(data)
                    told.append(f"{name} {verdict(package, path, version, wanted)}")
                print(f"EVT {version} {package:13} {', '.join(told)}", flush=True)


if __name__ == "__main__":
    main()
