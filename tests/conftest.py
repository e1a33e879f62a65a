"""What tests of several packages share: random programs, and small models and data for the commands."""

import importlib.util
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Literal

import numpy as np
import pytest

from deploy import connections, neurons, progress
from deploy.connections import Connection, Conv2d, Dense, Sparse, one_to_one, sum_pool
from deploy.neurons import (
    Delta,
    Graded,
    Neurons,
    Sigma,
    make_sigma_delta,
    make_ternary,
    make_threshold,
)
from deploy.program.program import VTH_MAX, Output, Program, make_input, make_population

Shape = tuple[int, ...]
CLASSES, STEPS, SENSOR = 10, 4, 34
LONGEST = 20  # steps of a sample that random programs are made for


@pytest.fixture(scope="session", autouse=True)
def no_progress() -> Iterator[None]:
    """Nothing is told of work that takes long: on a slow machine it stood among what tests compare."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(progress, "FIRST_S", 1e9)
        yield


@pytest.fixture(scope="session")
def own_python() -> Callable[..., str]:
    """What a Python of its own prints, away from what this one has imported: (*arguments, cwd=…, VARIABLE=…).

    It must end well.
    """
    root = Path(__file__).parents[1]

    def run(*arguments: object, cwd: Path = root, **environment: str) -> str:
        done = subprocess.run(
            [sys.executable, *map(str, arguments)],
            cwd=cwd,
            env=os.environ | {"PYTHONPATH": str(root)} | environment,
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stderr[-3000:]
        return done.stdout

    return run


@pytest.fixture(scope="session")
def run_here() -> Callable[[str], int]:
    """The exit status of a command line of ours, in this process."""
    from export.commands.main import main as export
    from neuroclip.commands.main import main as neuroclip

    def run(line: str) -> int:
        program, *arguments = shlex.split(line)
        try:
            return {"neuroclip": neuroclip, "neuroclip-export": export}[program](arguments)
        except SystemExit as end:
            return int(end.code or 0)

    return run


@pytest.fixture(scope="session")
def without_progress() -> Callable[[str], str]:
    """What another process told, without the lines that a slow machine gets of work that takes long."""
    line = re.compile(r"^\w[^:\n]*: \d+( of \d+)?, [\d:]+ passed(, \S+ to go)?\n", re.M)
    return lambda told: line.sub("", told)


def even(rng: np.random.Generator, shape: Any, zeros: float = 0.2) -> np.ndarray:
    weight = 2 * rng.integers(-127, 128, shape)
    return np.where(rng.random(shape) < zeros, 0, weight).astype(np.int32)


def sparse(
    rng: np.random.Generator, name: str, ends: tuple[str, str], sizes: tuple[int, int], **more: int
) -> Sparse:
    """A sparse connection of random density, empty rows and columns and stored zeros included."""
    targets, sources = sizes
    mask = rng.random((targets, sources)) < rng.uniform(0, 1)
    indptr = np.concatenate([[0], np.cumsum(mask.sum(axis=1))]).astype(np.int32)
    indices = np.nonzero(mask)[1].astype(np.int32)
    return Sparse(name, *ends, even(rng, len(indices)), indices, indptr, sources, **more)


def conv2d(
    rng: np.random.Generator, name: str, ends: tuple[str, str], shape: Shape, **more: int
) -> Conv2d:
    """A random convolution over (C, H, W): stride, padding, dilation, groups, any kernel."""

    def pair(low: int, high: int) -> tuple[int, int]:
        return int(rng.integers(low, high + 1)), int(rng.integers(low, high + 1))

    groups = int(rng.choice([g for g in range(1, shape[0] + 1) if shape[0] % g == 0]))
    while True:
        weight = even(rng, (groups * rng.integers(1, 4), shape[0] // groups, *pair(1, 4)))
        made = Conv2d(
            name, *ends, weight, (shape[1], shape[2]), pair(1, 3), pair(0, 2), pair(1, 2), groups,
            **more,
        )  # fmt: skip
        if min(made.target_shape) > 0:
            return made


PLAIN = ("lif",)
ON_LAVA = ("lif", "reset", "ternary", "threshold", "graded", "delta", "sigma", "sigma-delta")
ALL = (*ON_LAVA, "refractory")


def population(rng: np.random.Generator, kind: str, name: str, shape: Shape) -> Neurons:
    """A random population of a kind that is not plain, for sums of up to some thousands."""
    spiking = {
        "vth": rng.integers(0, 600, shape),
        "bias": rng.integers(-1024, 4096, shape),
    }
    decays = {"du": rng.integers(-1, 4096, shape), "dv": rng.integers(0, 4096, shape)}
    if kind == "refractory":
        return make_population(name, shape, refractory=int(rng.integers(1, 6)), **decays, **spiking)
    if kind == "reset":
        interval = int(rng.integers(1, 6))
        rule = {"reset_interval": interval, "reset_offset": int(rng.integers(0, interval))}
        return make_population(name, shape, **rule, **decays, **spiking)
    if kind == "ternary":
        low = rng.integers(-600, 1, shape)
        return make_ternary(name, shape, vth_lo=low, **decays, **spiking)
    if kind == "threshold":
        return make_threshold(name, shape, **spiking)
    if kind == "graded":
        return Graded(name, shape, int(rng.integers(0, 100)), bool(rng.integers(0, 2)), 16)
    if kind == "sigma":
        return Sigma(name, shape)
    encoding = {
        "spike_exp": int(rng.integers(0, 4)),
        "state_exp": int(rng.integers(0, 4)),
        "cum_error": bool(rng.integers(0, 2)),
    }
    vth = int(rng.integers(0, 60))
    if kind == "delta":
        return Delta(name, shape, vth, **encoding)
    bias, rectified = rng.integers(-100, 101, shape), bool(rng.integers(0, 2))
    return make_sigma_delta(name, shape, vth=vth, bias=bias, rectified=rectified, **encoding)


def tamed(c: Connection, largest: int) -> Connection:
    """The connection scaled so that no sum of messages up to `largest` exceeds 2^13."""
    magnitudes = replace(c, weight=np.abs(c.weight)).sums()
    total = int(magnitudes(np.full((1, c.source_size), largest, np.int64)).max(initial=0))
    down = max(0, total.bit_length() - 13)
    weight = (c.weight >> max(0, down - 7)) & ~1
    return replace(c, exponent=-min(down, 7), weight=weight.astype(np.int32))


def program(
    seed: int,
    *,
    recurrent: bool = True,
    graded: bool | None = None,
    kinds: Literal["plain", "lava", "all"] = "plain",
) -> Program:
    """A random program over all kinds of connections: 2 to 4 layers, with delayed skips and loops.

    kinds: of the populations before the last; all, those that Lava has, or plain ones only.
    """
    rng = np.random.default_rng(seed)
    drawn = {"plain": PLAIN, "lava": ON_LAVA, "all": ALL}[kinds]
    largest = 0  # message of a graded population before
    shape: Shape = tuple(int(n) for n in (rng.integers(1, 5), *rng.integers(1, 8, 2)))
    graded = bool(rng.integers(0, 2)) if graded is None else graded
    image = make_input("image", shape, *((-15, 15) if graded else (0, 1)))
    layers = int(rng.integers(2, 5))
    populations, connections, source = [], [], image
    for i in range(layers):
        name, ends = f"c{i}", (source.name, f"n{i}")
        more = {"exponent": int(rng.integers(-2, 3))}
        spatial = ["conv2d", "conv2d", "conv2d", "pool"] if len(source.shape) == 3 else []
        pick = rng.choice([*spatial, "sparse", "dense", "one"])
        c: Connection
        if pick == "conv2d":
            c = conv2d(rng, name, ends, source.shape, **more)
            shape = c.target_shape
        elif pick == "pool":
            kernel = tuple(int(rng.integers(1, min(n, 3) + 1)) for n in source.shape[1:])
            c = sum_pool(name, *ends, source.shape, kernel, weight=20, **more)
            shape = c.target_shape
        elif pick == "one":
            c, shape = one_to_one(name, *ends, source.size, 40, **more), source.shape
        else:
            spatial_shape = (rng.integers(1, 4), *rng.integers(1, 6, 2))
            shape = tuple(int(n) for n in spatial_shape) if rng.random() < 0.6 else (7,)
            sizes = int(np.prod(shape)), source.size
            dense = Dense(name, *ends, even(rng, sizes), **more)
            c = sparse(rng, name, ends, sizes, **more) if pick == "sparse" else dense
        last = i == layers - 1
        kind = "lif" if last or kinds == "plain" else str(rng.choice(drawn))
        if largest or kind != "lif":
            c = tamed(c, largest or 15)
        connections.append(c)
        made = make_population(
            f"n{i}",
            shape,
            du=rng.integers(-1, 4096, shape),
            dv=rng.integers(0, 4096, shape),
            vth=VTH_MAX if last else rng.integers(0, 600 if graded and not i else 90, shape),
            bias=rng.integers(-1024, 4096, shape),
            kind="integrator" if last else "lif",
        )
        if kind != "lif":
            made = population(rng, kind, f"n{i}", shape)
        largest = 0
        if not made.messages_hold:
            sums = np.full(shape, -(2**13)), np.full(shape, 2**13)
            bounds = made.bounds(sums, LONGEST)
            assert bounds is not None
            largest = max(int(np.abs(end).max()) for end in bounds.messages)
        elif recurrent and not last and rng.random() < 0.4:
            own = (made.name, made.name)
            delay = int(rng.integers(1, 4))
            if len(shape) == 3 and rng.random() < 0.5:
                weight = even(rng, (shape[0], 1, 3, 1))
                loop: Connection = Conv2d(
                    f"loop{i}", *own, weight, shape[1:], (1, 1), (1, 0), (1, 1), shape[0], 0, delay
                )
            else:
                loop = sparse(rng, f"loop{i}", own, (made.size, made.size), delay=delay)
            connections.append(loop)
        populations.append(made)
        source = made
    if recurrent and rng.random() < 0.4:
        ends = ("image", source.name)
        connections.append(sparse(rng, "skip", ends, (source.size, image.size), delay=layers))
    outputs = (Output("spikes", "n0", "s"), Output("scores", source.name, "v"))
    return Program((image,), tuple(populations), tuple(connections), outputs)


@pytest.fixture(scope="session")
def random_program() -> Callable[..., Program]:
    """`program(seed, recurrent=…, graded=…, kinds=…)`, see there."""
    return program


@pytest.fixture
def own_neuron(monkeypatch: pytest.MonkeyPatch) -> Any:
    """The example of a kind of one's own as a module, its kind registered for one test."""
    monkeypatch.setattr(neurons, "KINDS", dict(neurons.KINDS))
    return _example("own_neuron", monkeypatch)


@pytest.fixture
def own_connection(monkeypatch: pytest.MonkeyPatch) -> Any:
    """As `own_neuron`, of a kind of connection."""
    monkeypatch.setattr(connections, "KINDS", dict(connections.KINDS))
    return _example("own_connection", monkeypatch)


def _example(name: str, monkeypatch: pytest.MonkeyPatch) -> Any:
    path = Path(__file__).parents[1] / "examples" / f"{name}.py"
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, name, module)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def random_conv2d() -> Callable[..., Conv2d]:
    """`conv2d(rng, name, (source, target), shape)`, see there."""
    return conv2d


@pytest.fixture(scope="session")
def random_sparse() -> Callable[..., Sparse]:
    """`sparse(rng, name, (source, target), (targets, sources))`, see there."""
    return sparse


@pytest.fixture(scope="session", autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The cache folder of a whole run, of all its processes: tests neither read nor fill the user's."""
    base = tmp_path_factory.getbasetemp()
    folder = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "cache"
    folder.mkdir(exist_ok=True)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("NEUROCLIP_CACHE", str(folder))
        yield folder


@pytest.fixture(scope="session")
def graph_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A NIR file of 6 inputs, 5 LIF neurons with small thresholds, and 3 integrators."""
    nir = pytest.importorskip("nir")
    rng = np.random.default_rng(5)
    dv = np.array([1, 700, 1500, 2500, 4095])
    tau = 4096 * 1e-4 / dv
    graph = nir.NIRGraph(
        {
            "in": nir.Input(np.array([6])),
            "fc1": nir.Affine(2.0 * rng.integers(-9, 10, (5, 6)), np.full(5, 1.0)),
            "lif": nir.LIF(
                tau=tau, r=4096 / dv, v_leak=0.0 * dv, v_threshold=0.0 * dv + 12, v_reset=0.0 * dv
            ),
            "fc2": nir.Linear(2.0 * rng.integers(-9, 10, (3, 5))),
            "sum": nir.I(r=np.full(3, 1e4)),
            "out": nir.Output(np.array([3])),
        },
        [("in", "fc1"), ("fc1", "lif"), ("lif", "fc2"), ("fc2", "sum"), ("sum", "out")],
    )
    path = tmp_path_factory.mktemp("graph") / "graph.nir"
    nir.write(path, graph)
    return path


@pytest.fixture(scope="session")
def spikes_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twelve samples of eight steps for `graph_file`, with labels."""
    rng = np.random.default_rng(6)
    path = tmp_path_factory.mktemp("spikes") / "spikes.npz"
    np.savez(path, spikes=rng.integers(0, 2, (12, 8, 6), dtype=np.uint8), labels=np.arange(12) % 3)
    return path


@pytest.fixture(scope="session")
def recordings_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Event recordings in N-MNIST's layout: of ten classes, ten for training and two for test."""
    root = tmp_path_factory.mktemp("recordings")
    for part, count, offset in (("Train", 10, 0), ("Test", 2, 50)):
        for label in range(CLASSES):
            for number in range(count):
                path = root / part / str(label) / f"{number:05d}.bin"
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(event_bytes(label * 100 + offset + number))
    return root


def event_bytes(seed: int, events: int = 120) -> bytes:
    """Random events around a place that depends on the seed, in N-MNIST's five bytes each."""
    rng = np.random.default_rng(seed)
    raw = np.zeros((events, 5), np.uint8)
    raw[:, :2] = np.clip(rng.normal(rng.uniform(8, 26, 2), 4, (events, 2)), 0, SENSOR - 1)
    raw[:, 2] = rng.integers(0, 2, events) << 7
    raw[:, 4] = np.arange(events)
    return raw.tobytes()


@pytest.fixture(scope="session")
def make_checkpoint() -> Callable[[Path], Path]:
    """Writes a small adapter, untrained but with normalisations that make its neurons fire."""
    torch = pytest.importorskip("torch")
    for package in ("snntorch", "open_clip", "tonic", "nirtorch"):
        pytest.importorskip(package)
    from neuroclip.adapter.checkpoint import Checkpoint, save_checkpoint
    from neuroclip.adapter.model import AdapterConfig, FloatAdapter, quantized
    from neuroclip.clip.model import encode_text, load_clip
    from neuroclip.clip.spec import ClipSpec
    from neuroclip.data.events.cards import NMNIST
    from neuroclip.data.events.frames import FrameOptions

    clip, template = load_clip(), NMNIST.template
    labels = tuple(map(str, range(CLASSES)))
    text = torch.from_numpy(encode_text(clip, labels, template))

    def make(folder: Path) -> Path:
        generator = torch.Generator().manual_seed(0)
        torch.manual_seed(0)
        adapter = FloatAdapter(AdapterConfig(features=text.shape[1], hidden=8, steps=STEPS), text)
        features = torch.randn(64, STEPS, text.shape[1], generator=generator)
        for _ in range(40):
            adapter.train()(torch.nn.functional.normalize(features, dim=-1))
        torch.nn.init.constant_(adapter.norm_hidden.weight, 6.0)
        save_checkpoint(
            folder,
            Checkpoint(
                ClipSpec(),
                clip.digest,
                FrameOptions(steps=STEPS, slicing="time"),
                labels,
                template,
                adapter.eval(),
                quantized(adapter),
                {"data": "nmnist"},
            ),
        )
        return folder

    return make


@pytest.fixture(scope="session")
def checkpoint_folder(
    tmp_path_factory: pytest.TempPathFactory, make_checkpoint: Callable[[Path], Path]
) -> Path:
    """A whole checkpoint; tests that damage one copy it first."""
    return make_checkpoint(tmp_path_factory.mktemp("model") / "adapter")


@pytest.fixture
def refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """Runs a command that must refuse its input: status 2, one line, no traceback, nothing written.

    Call as refused(main, *arguments, says=[...]): every text of `says` stands in the line, which is
    returned.
    """

    def run(main: Callable[[list[str]], int], *arguments: object, says: tuple = ()) -> str:
        before = listing(tmp_path)
        capsys.readouterr()
        try:
            status = main([str(a) for a in arguments])
        except SystemExit as ended:
            status = ended.code
        captured = capsys.readouterr()
        lines = captured.err.splitlines()
        assert status == 2, (status, captured)
        assert "Traceback" not in captured.err, captured
        assert len(lines) == 1, lines
        for text in says:
            assert str(text) in lines[0], (text, lines[0])
        assert listing(tmp_path) == before
        return lines[0]

    return run


def listing(folder: Path) -> SimpleNamespace:
    """Every file below a folder with its content, to compare."""
    return SimpleNamespace(
        files={p.relative_to(folder): p.read_bytes() for p in folder.rglob("*") if p.is_file()},
        folders={p.relative_to(folder) for p in folder.rglob("*") if p.is_dir()},
    )


@pytest.fixture(scope="session")
def make_encoder() -> Callable[..., Any]:
    """Makes a float SpikeCLIP encoder with random weights whose neurons fire: (config, seed)."""
    torch = pytest.importorskip("torch")
    pytest.importorskip("snntorch")
    from neuroclip.chip.neurons import run
    from neuroclip.spikeclip.encoder import NormedConv2d, float_encoder

    def make(config: Any, seed: int) -> Any:
        generator = torch.Generator().manual_seed(seed)
        torch.manual_seed(seed)
        encoder = float_encoder(config)
        for module in encoder.modules():
            if isinstance(module, NormedConv2d):
                torch.nn.init.uniform_(module.norm.weight, 1.5, 3.0)
                torch.nn.init.uniform_(module.norm.bias, -0.4, 1.4)
        size = (config.channels, config.image_size, config.image_size)
        pixels = torch.rand(8, config.steps, *size, generator=generator)
        with torch.no_grad():
            for _ in range(20):
                run(encoder.train(), pixels)
        return encoder.eval()

    return make


@pytest.fixture(scope="session")
def tab(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A page of the system's browser, shared by the tests that look at pages; they skip without one."""
    path = Path(__file__).with_name("browser.py")
    spec = importlib.util.spec_from_file_location("browser_driver", path)
    assert spec is not None and spec.loader is not None
    driver = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(driver)
    if driver.BROWSER is None:
        pytest.skip(driver.MISSING)
    with driver.browser(tmp_path_factory.mktemp("browser")) as opened:
        yield opened
