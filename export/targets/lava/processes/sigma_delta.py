"""Lava's own sigma-delta neurons, with recorders; see `export.targets.lava.processes.neurons`."""

from typing import Any

import numpy as np
from lava.magma.core.decorator import implements, requires, tag
from lava.magma.core.model.py.ports import PyInPort, PyOutPort
from lava.magma.core.model.py.type import LavaPyType
from lava.magma.core.resources import CPU
from lava.magma.core.sync.protocols.loihi_protocol import LoihiProtocol
from lava.proc.sdn.models import AbstractDeltaModel, AbstractSigmaDeltaModel, AbstractSigmaModel
from lava.proc.sdn.process import Delta, Sigma, SigmaDelta

from export.targets.lava.processes.recording import Recorded, Recording


class RecordingDelta(Recording, Delta):
    """Lava's Delta with recorders."""


class RecordingSigma(Recording, Sigma):
    """Lava's Sigma with recorders."""


class RecordingSigmaDelta(Recording, SigmaDelta):
    """Lava's SigmaDelta with recorders."""


class Encoder:
    """The types of Lava's PyDeltaModelFixed, and of its PySigmaDeltaModelFixed, which has a bias too."""

    a_in: PyInPort = LavaPyType(PyInPort.VEC_DENSE, np.int32, precision=24)
    s_out: PyOutPort = LavaPyType(PyOutPort.VEC_DENSE, np.int32, precision=24)
    vth: np.ndarray = LavaPyType(np.ndarray, np.int32, precision=24)
    sigma: np.ndarray = LavaPyType(np.ndarray, np.int32, precision=24)
    act: np.ndarray = LavaPyType(np.ndarray, np.int32, precision=24)
    residue: np.ndarray = LavaPyType(np.ndarray, np.int32, precision=24)
    error: np.ndarray = LavaPyType(np.ndarray, np.int32, precision=24)
    spike_exp: np.ndarray = LavaPyType(np.ndarray, np.int32, precision=3)
    state_exp: np.ndarray = LavaPyType(np.ndarray, np.int32, precision=3)
    cum_error: np.ndarray = LavaPyType(np.ndarray, bool, precision=1)


class FixedDelta(Encoder, AbstractDeltaModel):
    """Lava's delta encoder with the types and the step of its PyDeltaModelFixed."""

    def run_spk(self) -> None:
        """Shift the input up, encode, shift the message down."""
        a_in_data = np.left_shift(self.a_in.recv(), self.spike_exp + self.state_exp)
        s_out_scaled = self.delta_dynamics(a_in_data)
        s_out = np.right_shift(s_out_scaled, self.state_exp)
        self.act = a_in_data
        self.s_out.send(s_out)


class FixedSigmaDelta(Encoder, AbstractSigmaDeltaModel):
    """Lava's sigma-delta neuron with the types and the step of its PySigmaDeltaModelFixed."""

    bias: np.ndarray = LavaPyType(np.ndarray, np.int32, precision=16)

    def run_spk(self) -> None:
        """Encode, shift the message down."""
        s_out_scaled = self.dynamics(self.a_in.recv())
        self.s_out.send(np.right_shift(s_out_scaled, self.state_exp))


class RecordedDelta(Recorded):
    """What is common to the models that encode changes."""

    vth: Any
    spike_exp: Any
    state_exp: Any
    cum_error: Any

    def held(self) -> dict[str, Any]:
        """The threshold (and the bias), which Lava holds scaled, unscaled."""
        shift = int(self.spike_exp.item()) + int(self.state_exp.item())
        found = {"vth": self.vth >> shift}
        for name in ("spike_exp", "state_exp", "cum_error"):
            found[name] = getattr(self, name)
        for name in self.proc_params["registers"]:
            found[name] = getattr(self, name) >> shift
        mode = self.proc_params.get("act_mode")
        return found if mode is None else found | {"rectified": mode.name == "RELU"}


@implements(proc=RecordingDelta, protocol=LoihiProtocol)
@requires(CPU)
@tag("fixed_pt")
class PyRecordingDelta(RecordedDelta, FixedDelta):
    """FixedDelta with recorders."""

    state = ("act", "residue", "error")
    recorded = {"u": "act", "v": "residue"}  # noqa: RUF012


@implements(proc=RecordingSigmaDelta, protocol=LoihiProtocol)
@requires(CPU)
@tag("fixed_pt")
class PyRecordingSigmaDelta(RecordedDelta, FixedSigmaDelta):
    """FixedSigmaDelta with recorders."""

    state = ("sigma", "act", "residue", "error")
    recorded = {"u": "sigma", "v": "residue"}  # noqa: RUF012


@implements(proc=RecordingSigma, protocol=LoihiProtocol)
@requires(CPU)
@tag("fixed_pt")
class PyRecordingSigma(Recorded, AbstractSigmaModel):
    """Lava's decoder in the types of its PySigmaModelFixed, with recorders."""

    state = ("sigma",)
    recorded = {"u": "sigma"}  # noqa: RUF012

    a_in: PyInPort = LavaPyType(PyInPort.VEC_DENSE, np.int32, precision=24)
    s_out: PyOutPort = LavaPyType(PyOutPort.VEC_DENSE, np.int32, precision=24)
    sigma: np.ndarray = LavaPyType(np.ndarray, np.int32, precision=24)

    def held(self) -> dict[str, Any]:
        """A Sigma has no registers."""
        return {}
