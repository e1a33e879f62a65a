"""Kinds of one's own at each target: run, or refused by name where it was not told how."""

import importlib
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from deploy.emulate.reference import emulate
from deploy.errors import BadInput
from deploy.hardware.chip import load_chip
from deploy.map.partition import partition
from deploy.program.program import registers
from export.net_format.write import write_net
from export.nir_format.write.program import program_graph
from export.targets.lava import build
from export.targets.lava.client import run_lava
from export.targets.lava.parts import neurons
from export.targets.lava.parts.synapses import recorded
from export.targets.lava.script import write_lava_script
from export.targets.sanafe.files import write_sanafe

SAMPLES, STEPS = 3, 8

REGISTRATION = """
from export.targets.lava.parts.neurons import LavaNeurons, register_lava

def arguments(p, shape):
    registers = {name: x.reshape(shape) for name, x in p.registers.items()}
    return {"shape": shape, "dw": p.dw, "jump": p.jump, **registers}

register_lava("adaptive", LavaNeurons(arguments, lambda p: "adaptive_process:RecordingAdaptive"))
"""

PROCESS = """
import numpy as np
from lava.magma.core.decorator import implements, requires, tag
from lava.magma.core.model.py.model import PyLoihiProcessModel
from lava.magma.core.model.py.ports import PyInPort, PyOutPort
from lava.magma.core.model.py.type import LavaPyType
from lava.magma.core.process.ports.ports import InPort, OutPort
from lava.magma.core.process.process import AbstractProcess
from lava.magma.core.process.variable import Var
from lava.magma.core.resources import CPU
from lava.magma.core.sync.protocols.loihi_protocol import LoihiProtocol
from export.targets.lava.processes.recording import Recorded, Recording

class Adaptive(AbstractProcess):
    def __init__(self, *, shape, dv, vth, dw, jump):
        super().__init__(shape=shape)
        self.a_in, self.s_out = InPort(shape=shape), OutPort(shape=shape)
        self.v, self.w = Var(shape=shape, init=0), Var(shape=shape, init=0)
        self.dv, self.vth = Var(shape=shape, init=dv), Var(shape=shape, init=vth)
        self.dw, self.jump = Var(shape=(1,), init=dw), Var(shape=(1,), init=jump)

class RecordingAdaptive(Recording, Adaptive):
    pass

class AdaptiveModel(PyLoihiProcessModel):
    a_in: PyInPort = LavaPyType(PyInPort.VEC_DENSE, np.int32)
    s_out: PyOutPort = LavaPyType(PyOutPort.VEC_DENSE, np.int32)
    v: np.ndarray = LavaPyType(np.ndarray, np.int64)
    w: np.ndarray = LavaPyType(np.ndarray, np.int64)
    dv: np.ndarray = LavaPyType(np.ndarray, np.int64)
    vth: np.ndarray = LavaPyType(np.ndarray, np.int64)
    dw: np.ndarray = LavaPyType(np.ndarray, np.int64)
    jump: np.ndarray = LavaPyType(np.ndarray, np.int64)

    def run_spk(self):
        v = np.clip(np.trunc(self.v * (4096 - self.dv) / 4096).astype(int) + self.a_in.recv() * 64,
                    -(2**23) + 1, 2**23 - 1)
        s = v > self.vth * 64 + self.w
        self.w = np.trunc(self.w * (4096 - self.dw) / 4096).astype(int) + self.jump * 64 * s
        self.v = np.where(s, 0, v)
        self.s_out.send(s.astype(int))

@implements(proc=RecordingAdaptive, protocol=LoihiProtocol)
@requires(CPU)
@tag("fixed_pt")
class PyRecordingAdaptive(Recorded, AdaptiveModel):
    state = ("v", "w")
    recorded = {"u": "w", "v": "v"}

    def held(self):
        return {name: getattr(self, name) for name in ("dv", "vth", "dw", "jump")}
"""


def messages() -> dict[str, np.ndarray]:
    return {"input": np.random.default_rng(1).integers(0, 2, (SAMPLES, STEPS, 12))}


def test_every_target_refuses_it_by_name(own_neuron: Any, tmp_path: Path) -> None:
    program, x = own_neuron.network(), messages()
    refused = "node 'adaptive': .*'?adaptive'?"
    with pytest.raises(BadInput, match=refused + ".*register_lava"):
        run_lava(program, x)
    with pytest.raises(BadInput, match=refused):
        build(program, STEPS)
    with pytest.raises(BadInput, match=refused):
        write_net(tmp_path / "network.net", program)
    with pytest.raises(BadInput, match=refused):
        program_graph(program)
    chip = load_chip("loihi2")
    trace = emulate(program, x)
    with pytest.raises(BadInput, match=refused):
        write_sanafe(tmp_path, program, chip, partition(program, chip), x | dict(trace.s))
    assert not any(tmp_path.iterdir())


@pytest.mark.usefixtures("lava")
def test_lava_runs_it_on_a_registered_process(
    own_neuron: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "adaptive_on_lava.py").write_text(REGISTRATION)
    (tmp_path / "adaptive_process.py").write_text(PROCESS)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(neurons, "_TABLE", dict(neurons._TABLE))
    importlib.import_module("adaptive_on_lava")
    program, x = own_neuron.network(), messages()
    expected, found = emulate(program, x), run_lava(program, x)
    for name, quantity, array in expected.recorded():
        assert np.array_equal(array, getattr(found.trace, quantity)[name]), (name, quantity)
    assert expected.s["adaptive"].any()
    ours = registers(program)
    assert found.registers.keys() == ours.keys()
    assert all(np.array_equal(ours[name], found.registers[name]) for name in ours)
    with pytest.raises(
        BadInput, match="node 'adaptive': Lava's stock adaptive neurons are never reset"
    ):
        build(program, STEPS)


@pytest.mark.usefixtures("lava")
def test_lava_lists_a_connection_of_ones_own(own_connection: Any, tmp_path: Path) -> None:
    """In its worker, which does not know the kind; a script beside the program would not either."""
    program = own_connection.ring_network()
    x = {"input": np.random.default_rng(1).integers(0, 2, (2, 6, 60))}
    expected, found, ours = emulate(program, x), run_lava(program, x), registers(program)
    for name, quantity, array in expected.recorded():
        assert np.array_equal(array, getattr(found.trace, quantity)[name]), (name, quantity)
    assert expected.s["a"].any()
    assert found.registers.keys() == ours.keys()
    assert all(np.array_equal(ours[name], found.registers[name]) for name in ours)
    assert recorded(program.connections[0]).by == "Lava's Sparse, listed"
    feedforward = replace(program, connections=(program.connections[0], program.connections[2]))
    with pytest.raises(BadInput, match="node 'in': the script would not know the kind 'ring'"):
        write_lava_script(tmp_path / "lava_network.py", feedforward, 6)
