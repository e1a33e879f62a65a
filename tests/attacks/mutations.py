"""Reads mutated copies of a file of every kind, through every door: `mutations.py FIRST COUNT`.

A copy has bytes changed, cut out, put in or repeated, or is cut. Prints what ends in anything but a value or
a refusal in one line, then how many copies were met. In 1 GiB beside what is in use, 10 s each.
"""

import json
import os
import pickle
import random
import resource
import runpy
import shutil
import sys
import tempfile
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(Path(__file__).parent))

import files  # noqa: I001  (beside this file)
from deploy.count.energy import load_coefficients
from deploy.emulate.trace import load_trace
from deploy.errors import BadInput
from deploy.hardware.chip import load_chip
from deploy.hardware.mapping import Core, Mapping, Slice, load_mapping, save_mapping
from deploy.program.file import load_program, save_program
from deploy.report import summary
from deploy.report.words.read import read_report

MODELS = ROOT / "neuroclip" / "models"
SPEC = ROOT / "tests" / "neuroclip" / "data" / "events" / "spec.py"
MEMORY, SECONDS = 1 << 30, 10.0
Door = tuple[Path, Callable[[Path], object]]
"""A whole file, and what reads it."""


def doors(folder: Path) -> Iterator[Door]:
    """Every kind of file that is read."""
    save_program(folder / "program.npz", files.network())
    yield folder / "program.npz", load_program
    np.savez(folder / "trace.npz", **{"lif/s": np.ones((2, 3, 4), np.uint8)})
    yield folder / "trace.npz", load_trace
    save_mapping(folder / "mapping.json", Mapping("loihi2", (Core(0, (Slice("a", 0, 9),)),)))
    yield folder / "mapping.json", load_mapping
    for source, load in (
        ("deploy/hardware/chips/loihi2.json", load_chip),
        ("deploy/count/coefficients/loihi1-sanafe.json", load_coefficients),
        ("tests/deploy/report/report_synthetic.json", lambda p: summary(read_report(p), p)),
    ):
        path = Path(shutil.copy(ROOT / source, folder))
        yield path, load
    yield from networks(folder)
    yield from recordings(folder)
    yield from models(folder)
    yield from images(folder)


def networks(folder: Path) -> Iterator[Door]:
    import h5py

    from export.net_format.read import read_net
    from export.nir_format.normal.normalise import normalise
    from export.nir_format.read.file import read_nir
    from neuroclip.data.spikes import read_spikes

    yield files.graph(folder), lambda path: normalise(read_nir(path))
    with h5py.File(folder / "net.net", "w") as file:
        for name, value in {
            "0/type": "input", "0/shape": [6], "1/type": "dense", "1/shape": [3], "1/inFeatures": 6,
            "1/outFeatures": 3, "1/weight": np.full((3, 6), 2.0), "1/neuron/type": "LOIHI",
            "1/neuron/iDecay": 4095, "1/neuron/vDecay": 100, "1/neuron/vThMant": 9,
            "1/neuron/refDelay": 1, "1/neuron/gradedSpike": False,
        }.items():  # fmt: skip
            file[f"layer/{name}"] = value
    yield folder / "net.net", read_net
    np.savez(folder / "spikes.npz", spikes=np.ones((2, 3, 6), np.uint8), labels=np.zeros(2, int))
    yield folder / "spikes.npz", read_spikes
    np.save(folder / "spikes.npy", np.ones((2, 3, 6), np.float32))
    yield folder / "spikes.npy", read_spikes


def recordings(folder: Path) -> Iterator[Door]:
    import h5py

    from neuroclip.data.events.frames import FrameOptions, frames
    from neuroclip.data.events.recording import read_recording

    def read(path: Path) -> object:
        return frames(read_recording(path, default=(40, 40)), FrameOptions())

    t = np.arange(20)
    words = np.stack([t % 30, t % 30, t % 2 * 128, t * 0, t], axis=1).astype(np.uint8)
    (folder / "a.bin").write_bytes(words.tobytes())
    (folder / "a.dat").write_bytes(
        b"% Version 2\n% Width 40\n% Height 40\n\0\x08"
        + np.stack([t, t], 1).astype("<u4").tobytes()
    )
    pairs = np.stack([t, t], 1).astype(">u4").tobytes()
    (folder / "a.aedat").write_bytes(b"#!AER-DAT2.0\r\n# DVS128\r\n" + pairs)
    columns = {"x": t % 30, "y": t % 30, "t": t, "p": t % 2}
    np.savez(folder / "a.npz", width=40, height=40, **columns)
    with h5py.File(folder / "a.h5", "w") as file:
        for name, values in columns.items():
            file[f"events/{name}"] = values
        file.attrs["width"] = file.attrs["height"] = 40
    spec = SimpleNamespace(**runpy.run_path(str(SPEC)))
    events = spec.stream(1, 60, 40, 40)
    for version, written in (("2.0", spec.evt2), ("2.1", spec.evt21), ("3.0", spec.evt3)):
        path = folder / f"evt{version[0]}{version[2]}.raw"
        path.write_bytes(spec.raw_header(version, 40, 40) + written(events))
        yield path, read
    (folder / "a.csv").write_text("t,x,y,p\n" + "".join(f"{i},{i},{i},1\n" for i in range(30)))
    (folder / "a.txt").write_text(
        "40 40\n" + "".join(f"{i / 1e6:.6f} {i} {i} 1\n" for i in range(30))
    )
    for suffix in ("bin", "dat", "aedat", "npz", "h5", "csv", "txt"):
        yield folder / f"a.{suffix}", read


def models(folder: Path) -> Iterator[Door]:
    import torch

    from neuroclip.adapter.checkpoint import load_checkpoint
    from neuroclip.clip.model import load_clip
    from neuroclip.clip.spec import ClipSpec
    from neuroclip.spikeclip.checkpoint import load_spikeclip
    from neuroclip.storage.weights import read_weights
    from neuroclip.training.resume_state import Place, State, keep_state, read_state

    of_model: dict[str, Callable[[Path], object]] = {
        "neuroclip-digits": load_checkpoint,
        "digits-clip": lambda path: load_clip(ClipSpec(str(path)), "cpu"),
        "spikeclip-digits": load_spikeclip,
    }
    for name, load in of_model.items():
        shutil.copytree(MODELS / name, folder / name)
        for path in sorted((folder / name).iterdir()):
            yield path, lambda path, load=load: load(path.parent)
    yield from own_networks(folder / "network")
    torch.save({"a": torch.ones(3, 2), "b": torch.zeros(4)}, folder / "a.pt")
    yield folder / "a.pt", read_weights
    module = torch.nn.Linear(3, 2)
    optimizer = torch.optim.AdamW(module.parameters())
    module(torch.ones(1, 3)).sum().backward()
    optimizer.step()
    state = State(
        Place(), [{"validation": 0.5}], module.state_dict(), {"cpu": torch.get_rng_state()}
    )
    keep_state(folder / "state.safetensors", "mine", state, module, optimizer)
    yield folder / "state.safetensors", lambda path: read_state(path, "mine", module, optimizer)


def own_networks(folder: Path) -> Iterator[Door]:
    """A network of one's own, as `train network` leaves it."""
    import snntorch as snn
    import torch

    from neuroclip.convert.snntorch import to_chip
    from neuroclip.data.seen import Seen
    from neuroclip.network.checkpoint import (
        Evaluated,
        NetworkCheckpoint,
        load_network,
        save_network,
    )
    from neuroclip.network.frames import Fit
    from neuroclip.network.samples import Framing

    neurons = {"reset_mechanism": "zero", "reset_delay": False, "init_hidden": True}
    module = torch.nn.Sequential(
        torch.nn.Linear(6, 3), snn.Leaky(beta=0.9, **neurons), torch.nn.Linear(3, 2),
        snn.Leaky(beta=0.9, output=True, **neurons),
    )  # fmt: skip
    chip, ids = to_chip(module, torch.ones(2, 3, 6)), np.arange(3, dtype=np.uint64)
    held = NetworkCheckpoint(
        "net", chip, chip, ("a", "b"), "spikes", Framing(1.0, 3), Fit(), 0,
        Evaluated(ids, np.zeros(3, np.int64)), Seen.of(ids, ids), {}, {},
    )  # fmt: skip
    save_network(folder, held, module)
    for path in sorted(folder.iterdir()):
        yield path, lambda path: load_network(path.parent)


def images(folder: Path) -> Iterator[Door]:
    import zipfile

    from PIL import Image

    from neuroclip.data.images.images import open_images

    def opened(path: Path) -> object:
        return open_images(str(path), 8, 3)

    with zipfile.ZipFile(folder / "images.zip", "w") as archive:
        for i in range(12):
            picture = folder / ("a.png" if i % 2 else "a.jpg")
            Image.fromarray(np.full((9, 9, 3), 9 * i, np.uint8)).save(picture)
            archive.write(picture, f"{'cat' if i % 3 else 'dog'}/{i}{picture.suffix}")
    yield folder / "images.zip", opened
    batches = folder / "root" / "cifar-10-batches-py"
    batches.mkdir(parents=True)
    for name in (*(f"data_batch_{i}" for i in range(1, 6)), "test_batch"):
        held = {b"labels": list(range(10)) * 2, b"data": np.zeros((20, 3072), np.uint8)}
        (batches / name).write_bytes(pickle.dumps(held, 2))
    yield batches / "test_batch", lambda path: open_images("cifar10", 8, 3, root=path.parents[1])


def mutated(content: bytes, rng: random.Random) -> bytes:
    """The bytes, a few of them changed; mostly near the start or the end, where heads and tables are."""
    made = bytearray(content)
    for _ in range(rng.choice((1, 1, 2, 5))):
        span = rng.choice((64, 512, len(made)))
        at = rng.randrange(min(span, len(made)) or 1)
        at = len(made) - 1 - at if rng.random() < 0.3 else at
        kind = rng.choice(("byte", "byte", "number", "cut", "out", "in", "again"))
        if kind == "byte" and made:
            made[at] = rng.choice((0, 1, 127, 128, 255, rng.randrange(256)))
        elif kind == "number":
            value = rng.choice((0, 1, 1 << 31, (1 << 32) - 1, 1 << 40, (1 << 63) - 1))
            made[at : at + 8] = value.to_bytes(8, rng.choice(("little", "big")))
        elif kind == "cut":
            del made[at:]
        elif kind == "out":
            del made[at : at + rng.randrange(1, 40)]
        elif kind == "in":
            made[at:at] = rng.choice((b"9" * 400, b"\xff" * 9, b'"', b"\x1b[0m", b"{" * 99))
        else:
            made[at:at] = made[at : at + rng.randrange(1, 400)]
    return bytes(made)


def main(first: int, count: int) -> None:
    warnings.simplefilter("ignore")
    with tempfile.TemporaryDirectory() as name:
        every: list[Door] = list(doors(Path(name)))
        for path, read in every:
            read(path)  # a whole one is read
        used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (used + MEMORY, used + MEMORY))
        for seed in range(first, first + count):
            path, read = every[seed % len(every)]
            whole = path.read_bytes()
            path.write_bytes(mutated(whole, random.Random(seed)))
            wrong = _wrong(path, read)
            if wrong is not None:
                print(f"WRONG seed {seed} {path.name}: {wrong}")
            path.write_bytes(whole)
        print(json.dumps({"met": count}))


def _wrong(path: Path, read: Callable[[Path], object]) -> str | None:
    begun = sum(os.times()[:4])
    said: Any = None
    try:
        read(path)
    except BadInput as error:
        said = str(error)
    except BaseException as error:
        return f"{type(error).__name__}: {str(error)[:300]!r}"
    if said is not None and (len(said.splitlines()) != 1 or not said.isprintable()):
        return f"said {said[:300]!r}"
    taken = sum(os.times()[:4]) - begun
    return f"took {taken:.1f} s" if taken > SECONDS else None


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
