"""Kinds of connections of one's own: known by registration or entry point, equal to their list everywhere."""

import subprocess
import sys
from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from deploy.arithmetic.registers import IntArray
from deploy.connections import KINDS, Connection, Conv2d, Dense, expand, register
from deploy.connections.synapse_list import SynapseList
from deploy.count.operations import count
from deploy.emulate.fast import emulate_fast
from deploy.emulate.reference import emulate
from deploy.errors import BadInput
from deploy.hardware.chip import load_chip
from deploy.map.core.costs import core_report
from deploy.map.partition import partition
from deploy.map.validate import validate
from deploy.program.file import load_program, save_program
from deploy.program.program import Program, equal, make_input, make_population, registers
from deploy.prove.proof import prove
from deploy.report.inspect import inspect
from deploy.run.by_core import emulate_mapped

ROOT = Path(__file__).parents[3]


@dataclass(frozen=True, eq=False)
class Window(Connection):
    """Target i hears source i·step + k with weight[k], as far as there is one."""

    kind = "window"
    name: str
    source: str
    target: str
    weight: IntArray
    source_size: int
    step: int
    exponent: int = 0
    delay: int = 0

    @property
    def target_size(self) -> int:
        return -(-self.source_size // self.step)

    def listed(self) -> SynapseList:
        sources = np.arange(self.target_size)[:, None] * self.step + np.arange(len(self.weight))
        there = sources < self.source_size
        indptr = np.concatenate([[0], np.cumsum(there.sum(axis=1))]).astype(np.int32)
        weight = np.broadcast_to(self.weight, there.shape)[there]
        return SynapseList(weight, sources[there].astype(np.int32), indptr, self.source_size)


@pytest.fixture(autouse=True)
def _known(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(KINDS, "window", Window)


def network(seed: int) -> Program:
    """in → a → b, a loop around a, all windows, and beside them a dense connection."""
    rng = np.random.default_rng(seed)
    sources, step = int(rng.integers(3, 30)), int(rng.integers(1, 4))

    def window(name: str, a: str, b: str, size: int, step: int, **more: int) -> Window:
        weight = (2 * rng.integers(-60, 61, int(rng.integers(1, 7)))).astype(np.int32)
        return Window(name, a, b, weight, size, step, **more)

    into = window("into", "in", "a", sources, step, exponent=int(rng.integers(-2, 3)))
    size = into.target_size
    return Program(
        (make_input("in", (sources,), 0, int(rng.integers(1, 3))),),
        (
            make_population("a", (size,), du=900, dv=300, vth=20),
            make_population("b", (size,), vth=30),
            make_population("c", (3,), kind="integrator"),
        ),
        (
            into,
            window("loop", "a", "a", size, 1, delay=int(rng.integers(1, 4))),
            window("on", "a", "b", size, 1),
            Dense("out", "b", "c", (2 * rng.integers(-60, 61, (3, size))).astype(np.int32)),
        ),
        (),
    )


@pytest.mark.parametrize("seed", range(8))
def test_it_is_everywhere_what_its_list_is(tmp_path: Path, seed: int) -> None:
    program, rng = network(seed), np.random.default_rng(seed)
    flat = replace(program, connections=tuple(expand(c) for c in program.connections[:3]))
    flat = replace(flat, connections=(*flat.connections, program.connections[3]))
    node = program.inputs[0]
    x = {"in": rng.integers(node.low, node.high + 1, (3, 9, *node.shape))}
    trace = emulate(program, x)
    for other in (emulate(flat, x), emulate_fast(program, x)):
        for (name, quantity, one), (_, _, two) in zip(
            trace.recorded(), other.recorded(), strict=True
        ):
            assert np.array_equal(one, two), (name, quantity)
    a, b = prove(program, 9), prove(flat, 9)
    assert a.to_json() == b.to_json()

    path = tmp_path / "program.npz"
    save_program(path, program)
    assert equal(load_program(path), program)
    assert isinstance(load_program(path).connections[0], Window)

    chip = replace(load_chip("loihi2"), neurons=replace(load_chip("loihi2").neurons, value=7))
    mapping = partition(program, chip, trace.messages, library=False)
    assert validate(program, chip, mapping) == []
    assert partition(flat, chip, trace.messages, library=False) == mapping
    one, two = (core_report(p, chip, mapping) for p in (program, flat))
    used = [
        [c["used"][r] for c in of["list"]]
        for of in (one, two)
        for r in ("synapse_words", "input_axons")
    ]
    assert used[:2] == used[2:]
    found, listed = (count(p, trace.messages, 3, 9, mapping, chip) for p in (program, flat))
    # A weight that the kind holds once is one.
    assert found == replace(listed, traffic=found.traffic, weight_bytes=found.weight_bytes)
    run = emulate_mapped(program, mapping, x)
    assert run.packets == found.messages
    assert f"window {program.connections[0].target_size} × {node.size}" in inspect(program, 9)


def test_what_is_no_known_kind_is_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    save_program(tmp_path / "p.npz", network(0))
    monkeypatch.delitem(KINDS, "window")
    with pytest.raises(BadInput, match=r"'into': Window is not registered as a kind"):
        network(0)
    with pytest.raises(
        BadInput, match=r"'into': unknown kind of connection 'window', known: dense"
    ):
        load_program(tmp_path / "p.npz")


def test_registering_refuses_what_is_no_kind_and_names_in_use() -> None:
    @dataclass(frozen=True, eq=False)
    class Again(Window):
        kind = "window"

    @dataclass(frozen=True, eq=False)
    class Nameless(Window):
        kind = ""

    assert register(Window) is Window
    for wrong, why in (
        (Again, "Window is registered so"),
        (Nameless, "`kind`, a name for files, is missing"),
        (int, "not a dataclass"),
    ):
        with pytest.raises(BadInput, match=why):
            register(wrong)  # type: ignore[type-var]


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"weight": np.array([3], np.int32)}, "weight of a synapse 3 at index [0] is odd"),
        ({"weight": np.array([2.0])}, "weight has type float64"),
        ({"source_size": 4}, "source size 4, 'in' has"),
        ({"step": 9}, "indptr of shape"),
        ({"delay": 63}, "delay 63 is outside"),
    ],
)
def test_a_list_that_does_not_fit_is_refused(change: dict[str, Any], why: str) -> None:
    program = network(1)
    wrong = replace(program.connections[0], **change)
    with pytest.raises(BadInput) as refused:
        replace(program, connections=(wrong, *program.connections[1:]))
    assert str(refused.value).startswith("node 'into': ") and why in str(refused.value)


def test_targets_list_its_synapses_or_refuse_it_by_name(tmp_path: Path) -> None:
    from export.net_format.chain import netx_layers
    from export.nir_format.write.program import program_graph
    from export.targets.sanafe.files import NETWORK, write_sanafe

    weight = np.array([8, -6], np.int32)
    program = Program(
        (make_input("in", (4,)),),
        (make_population("a", (4,), vth=2),),
        (Window("c", "in", "a", weight, 4, 1),),
        (),
    )
    with pytest.raises(BadInput, match="node 'c': NIR has no window connections"):
        program_graph(program)
    (layer,) = netx_layers(program)
    assert layer.weight.weight.tolist() == [
        [8, -6, 0, 0],
        [0, 8, -6, 0],
        [0, 0, 8, -6],
        [0, 0, 0, 8],
    ]
    chip = load_chip("loihi2")
    sent = {name: np.zeros((1, 2, 4), np.int64) for name in ("in", "a")}
    write_sanafe(tmp_path, program, chip, partition(program, chip), sent)
    assert (tmp_path / NETWORK).read_text().count("[weight: 0]") == 7
    if find_spec("lava") is not None:
        from export.targets.lava.parts.synapses import recorded

        own = program.connections[0]
        held = recorded(own).arguments(program, own)["weights"]
        assert np.array_equal(held.toarray(), layer.weight.weight)


def test_an_installed_distribution_brings_its_kind(tmp_path: Path) -> None:
    """Its entry point is looked for when a file names its kind, and not before."""
    (tmp_path / "toy_ring.py").write_text(
        (ROOT / "examples" / "own_connection.py").read_text().replace("@register\n", "")
    )
    described = tmp_path / "toy_ring-1.dist-info"
    described.mkdir()
    (described / "METADATA").write_text("Metadata-Version: 2.1\nName: toy-ring\nVersion: 1\n")
    (described / "entry_points.txt").write_text(
        "[neuroclip.connections]\nring = toy_ring:Ring\nbroken = nowhere:Nothing\n"
    )
    code = (
        "import sys, deploy.connections as c\n"
        "assert 'toy_ring' not in sys.modules and list(c.KINDS) == ['dense', 'sparse', 'conv2d']\n"
        "assert c.kind_named('ring').__name__ == 'Ring' and 'ring' in c.KINDS\n"
        "try: c.kind_named('broken')\n"
        "except c.BadInput as error: print(error)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=False,
        env={"PYTHONPATH": f"{tmp_path}:{ROOT}", "PATH": ""},
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("entry point 'broken' of neuroclip.connections")


def test_registers_hold_what_it_computes_with() -> None:
    held = registers(network(0))
    assert {"into/weight", "into/exponent", "loop/delay"} <= held.keys()
    assert issubclass(Conv2d, Connection)
