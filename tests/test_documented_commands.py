"""Every command of ours in README, CONTRIBUTING and docs/ is run: as it is written, or in a short form.

A short form has all options of the command, on small data and with few epochs (`SHORTER`). What needs a
data set, weights or minutes that a test has not is run by another test in a form of its own: `ELSEWHERE`
names it, and the options have to stand there.
"""

import re
import shutil
from collections.abc import Callable
from importlib.util import find_spec
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from neuroclip.commands.main import COMMANDS

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]
OURS = r"neuroclip(?:-export)? (?:[a-z-]|\.)[^`]*"
# By the beginning of a command, the longest that fits: what makes it short (the last of each option counts).
FEW = "--epochs 1 --quantized-epochs 1"
SHORTER = {
    "neuroclip train": f"{FEW} --shots 2 --hidden 6 --variants 1",
    "neuroclip train network": f"{FEW} --batch 64 --steps 2 --frame-ms 0.06",
    "neuroclip table": f"{FEW} --shots 1 --seeds 1 --variants 1",
    "neuroclip sweep": f"{FEW} --shots 1 --seeds 1 --variants 1 --rates 0.05 --message-exponents 2",
    "neuroclip zero-shot": "--data DIR",
    "neuroclip zero-shot --pictures": "",
    "neuroclip evaluate": "--data DIR",
    "neuroclip-export": "--samples 4 --target emulator",
    "neuroclip-export --help": "",
    "neuroclip-export --target sanafe": "--samples 2",
    "neuroclip-export runs": "--samples 4 --target emulator --data DIR",
}
# By the beginning of a command: the test that runs one of the same options.
TOWERS = "tests/neuroclip/towers/test_towers.py", "tests/neuroclip/towers/test_student.py"
WORDS = "tests/neuroclip/words/test_commands.py", *TOWERS
SPIKING = (
    "tests/neuroclip/spikeclip/test_training.py",
    "tests/export/frontends/test_spikeclip_digits.py",
    "tests/export/frontends/test_spikeclip_cifar.py",
    "tests/export/frontends/test_spikeclip_data.py",
    *WORDS,
)
LIVE = "tests/neuroclip/live/test_live.py", "tests/neuroclip/live/test_page.py"
ELSEWHERE = {
    "neuroclip train clip": TOWERS,
    "neuroclip train spikeclip": SPIKING,
    "neuroclip evaluate spikeclip": SPIKING,
    "neuroclip evaluate runs/ann": SPIKING,
    "neuroclip evaluate runs/left-out": SPIKING,
    "neuroclip evaluate runs/paper-attention": SPIKING,
    "neuroclip evaluate runs/pictures": SPIKING,
    "neuroclip-export spikeclip": SPIKING,
    "neuroclip-export runs/pictures": SPIKING,
    "neuroclip zero-shot --clip runs/words": WORDS,
    "neuroclip unseen": WORDS,
    "neuroclip-export network.net": ("tests/export/net_format/test_net_read.py",),
    "neuroclip watch growing.dat": LIVE,
    "neuroclip watch tcp:": LIVE,
    "neuroclip-export --workers": ("tests/export/run/test_elsewhere.py",),
    "neuroclip-export my_module.py": ("tests/export/frontends/test_python_file.py",),
}


# A subcommand alone is its name, but where it runs without anything.
BARE = ("neuroclip zero-shot", "neuroclip evaluate", "neuroclip models")
NAMED = {f"neuroclip {name}" for name in COMMANDS} - {*BARE}


def documented() -> dict[str, list[str]]:
    """{page: its commands}, each once, in their order; none of `console` blocks, which another test runs."""
    found: dict[str, list[str]] = {}
    for page in PAGES:
        text = re.sub(r" *\\\n *", " ", page.read_text(encoding="utf-8"))
        fenced = re.findall(r"^```sh\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
        prose = re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL)
        indented = re.findall(r"^    (.*)$", prose, re.MULTILINE)
        lines = [line for block in fenced for line in block.splitlines()] + indented
        told = [re.match(rf" *({OURS}?)(?:  +\S.*|;.*)?$", line) for line in lines]
        commands = [match[1] for match in told if match] + re.findall(rf"`({OURS})`", prose)
        commands = [" ".join(command.split()) for command in commands]
        found[page.relative_to(ROOT).as_posix()] = [
            c for c in dict.fromkeys(commands) if c not in NAMED
        ]
    # What the page of figures repeats is run where it stands.
    figures = found.pop("docs/figures.md")
    elsewhere = {command for commands in found.values() for command in commands}
    found["docs/figures.md"] = [c for c in figures if c not in elsewhere]
    return {page: commands for page, commands in found.items() if commands}


def longest(command: str, table: dict[str, object]) -> str | None:
    """The longest key of a table that a command begins with."""
    return max((key for key in table if command.startswith(key)), key=len, default=None)


def options(command: str) -> set[str]:
    """The long options of a command line."""
    return set(re.findall(r"(?<= )--[a-z][a-z-]*", command))


def test_there_are_commands_and_no_rule_is_left_over() -> None:
    every = [command for commands in documented().values() for command in commands]
    assert len(every) > 50
    here = [command for command in every if longest(command, ELSEWHERE) is None]
    assert set(ELSEWHERE) == {longest(c, ELSEWHERE) for c in every} - {None}
    assert set(SHORTER) == {longest(c, SHORTER) for c in here} - {None}


@pytest.mark.parametrize("rule", ELSEWHERE)
def test_what_is_run_elsewhere_has_its_options_there(rule: str) -> None:
    text = "".join((ROOT / name).read_text(encoding="utf-8") for name in ELSEWHERE[rule])
    for commands in documented().values():
        for command in commands:
            if longest(command, ELSEWHERE) == rule:
                assert [o for o in options(command) if f'"{o}' not in text] == [], command


NETWORK = """
import snntorch as snn
import torch


def Net():
    neuron = snn.Leaky(beta=0.9, reset_mechanism="zero", reset_delay=False, output=True)
    return torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(2312, 10), neuron)
"""


@pytest.fixture
def place(
    tmp_path: Path, graph_file: Path, spikes_file: Path, recordings_folder: Path,
    checkpoint_folder: Path, monkeypatch: pytest.MonkeyPatch,
) -> Path:  # fmt: skip
    """The folder in which the commands of a page are run, with what they name."""
    for package in ("torch", "snntorch", "open_clip", "tonic", "sklearn", "nirtorch"):
        pytest.importorskip(package)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "path" / "to").mkdir(parents=True)
    for name in ("DIR", "path/to/N-MNIST"):
        (tmp_path / name).symlink_to(recordings_folder)
    (tmp_path / "examples").symlink_to(ROOT / "examples")
    shutil.copytree(checkpoint_folder, tmp_path / "runs" / "mine")
    shutil.copy(graph_file, tmp_path / "graph.nir")
    shutil.copy(spikes_file, tmp_path / "spikes.npz")
    shutil.copy(next((recordings_folder / "Test").rglob("*.bin")), tmp_path / "recording.bin")
    return tmp_path


def short(command: str) -> str:
    """The form in which a command is run here."""
    rule = longest(command, SHORTER)
    return f"{command} {SHORTER[rule] if rule else ''}".replace("--data digits", "--data DIR")


HERE = {
    page: [command for command in commands if longest(command, ELSEWHERE) is None]
    for page, commands in documented().items()
}


@pytest.mark.parametrize("page", [page for page, commands in HERE.items() if commands])
def test_the_commands_of_a_page_run(page: str, place: Path, run_here: Callable[[str], int]) -> None:
    commands = HERE[page]
    if any("image.nir" in c or "cnn_sinabs.nir" in c for c in commands):
        image_graph(place)
    if any("mine.py" in command for command in commands):
        own_network(place)
    if any(re.search(r"\b(demo|RUN|A B)\b", command) for command in commands):
        run = "neuroclip-export runs/mine --data DIR --samples 4 --target emulator --out"
        assert [run_here(f"{run} {out}") for out in ("demo", "A", "B", "RUN")] == [0] * 4
    for command in commands:
        if "sanafe" not in command or find_spec("sanafe"):
            assert run_here(short(command)) == 0, short(command)


def image_graph(place: Path) -> None:
    """Graphs that take recordings, and spikes to calibrate them on."""
    import nir

    rng = np.random.default_rng(0)
    ones = np.ones(10)
    lif = nir.LIF(
        tau=2e-3 * ones, r=ones, v_leak=0 * ones, v_threshold=0.4 * ones, v_reset=0 * ones
    )
    nodes = {
        "input": nir.Input(np.array([2, 34, 34])),
        "flat": nir.Flatten({"input": np.array([2, 34, 34])}, 0, -1),
        "fc": nir.Affine(rng.normal(0, 0.1, (10, 2312)), 0.01 * ones),
        "lif": lif,
        "output": nir.Output(np.array([10])),
    }
    names = list(nodes)
    for name in ("image.nir", "cnn_sinabs.nir"):
        nir.write(place / name, nir.NIRGraph(nodes, list(pairwise(names))))
    spikes = rng.integers(0, 2, (4, 10, 2, 34, 34), dtype=np.uint8)
    np.savez(place / "few.npz", spikes=spikes)


def own_network(place: Path) -> None:
    """A network of one's own, its weights, and spikes for it."""
    from safetensors.torch import save_file

    (place / "mine.py").write_text(NETWORK)
    names: dict = {}
    exec(NETWORK, names)
    save_file(names["Net"]().state_dict(), place / "w.safetensors")
    spikes = np.random.default_rng(0).integers(0, 2, (6, 5, 2, 34, 34), dtype=np.uint8)
    np.savez(place / "spikes.npz", spikes=spikes)
