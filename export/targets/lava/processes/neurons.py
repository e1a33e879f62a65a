"""Lava's own neurons with recorders: one and two thresholds, and graded messages.

The arithmetic is inherited from Lava's fixed-point models; nothing here computes a state. Lava
refuses a subclass of a model that already implements a process, so what its abstract neurons lack
(the threshold of a LIF, the shifts of a Delta) is repeated from its concrete ones.
"""

from typing import Any

import numpy as np
from lava.magma.core.decorator import implements, requires, tag
from lava.magma.core.model.py.ports import PyInPort, PyOutPort
from lava.magma.core.model.py.type import LavaPyType
from lava.magma.core.resources import CPU
from lava.magma.core.sync.protocols.loihi_protocol import LoihiProtocol
from lava.proc.graded.models import AbstractGradedReluVecModel, AbstractGradedVecModel
from lava.proc.graded.process import GradedReluVec, GradedVec
from lava.proc.lif.models import AbstractPyLifModelFixed
from lava.proc.lif.process import LIF, TernaryLIF

from export.targets.lava.processes.recording import Recorded, Recording


class RecordedCuba(Recorded):
    """What is common to models of Lava's AbstractPyLifModelFixed."""

    state = ("u", "v")
    recorded = {"u": "u", "v": "v"}  # noqa: RUF012

    def held(self) -> dict[str, Any]:
        """Those of LIF and TernaryLIF, and the rule by which the state is cleared."""
        found = {name: getattr(self, name) for name in self.proc_params["registers"]}
        if "du" in found:  # a threshold without memory has no rule of its own
            found["reset_interval"], found["reset_offset"] = self.proc_params["rule"]
        return found


class RecordingLIF(Recording, LIF):
    """Lava's LIF with recorders."""


@implements(proc=RecordingLIF, protocol=LoihiProtocol)
@requires(CPU)
@tag("bit_accurate_loihi", "fixed_pt")
class PyRecordingLIF(RecordedCuba, AbstractPyLifModelFixed):
    """Lava's fixed-point neuron with the threshold of its PyLifModelBitAcc."""

    s_out: PyOutPort = LavaPyType(PyOutPort.VEC_DENSE, np.int32, precision=24)
    vth: Any = LavaPyType(int, np.int32, precision=17)

    def scale_threshold(self) -> None:
        """The threshold in units of v."""
        self.effective_vth = np.left_shift(self.vth, self.vth_shift)
        self.isthrscaled = True

    def spiking_activation(self) -> Any:
        """Spike strictly above the threshold."""
        return self.v > self.effective_vth


class RecordingTernary(Recording, TernaryLIF):
    """Lava's TernaryLIF with recorders."""


@implements(proc=RecordingTernary, protocol=LoihiProtocol)
@requires(CPU)
@tag("bit_accurate_loihi", "fixed_pt")
class PyRecordingTernary(RecordedCuba, AbstractPyLifModelFixed):
    """Lava's fixed-point neuron with the thresholds and the reset of its PyTernLifModelFixed."""

    s_out: PyOutPort = LavaPyType(PyOutPort.VEC_DENSE, np.int32, precision=2)
    vth_hi: Any = LavaPyType(int, np.int32, precision=24)  # int: one each too
    vth_lo: Any = LavaPyType(int, np.int32, precision=24)

    @property
    def vth(self) -> Any:
        """Our name for the upper threshold."""
        return self.vth_hi

    def scale_threshold(self) -> None:
        """The thresholds in units of v."""
        self.effective_vth_hi = np.left_shift(self.vth_hi, self.vth_shift)
        self.effective_vth_lo = np.left_shift(self.vth_lo, self.vth_shift)
        self.isthrscaled = True

    def spiking_activation(self) -> Any:
        """−1 strictly below the lower threshold, 1 strictly above the upper one."""
        neg_spikes = self.v < self.effective_vth_lo
        pos_spikes = self.v > self.effective_vth_hi
        return (-1) * neg_spikes + pos_spikes

    def reset_voltage(self, spike_vector: Any) -> None:
        """Reset whatever spiked."""
        self.v[spike_vector != 0] = 0


class RecordedGraded(Recorded):
    """What is common to the graded models; they keep no state. The types are of PyGradedVecModelFixed and
    PyGradedReluVecModelFixed."""

    a_in: PyInPort = LavaPyType(PyInPort.VEC_DENSE, np.int32, precision=24)
    s_out: PyOutPort = LavaPyType(PyOutPort.VEC_DENSE, np.int32, precision=24)
    vth: np.ndarray = LavaPyType(np.ndarray, np.int32, precision=24)
    v: np.ndarray = LavaPyType(np.ndarray, np.int32, precision=24)
    exp: np.ndarray = LavaPyType(np.ndarray, np.int32, precision=24)

    def held(self) -> dict[str, Any]:
        """The threshold, and which of the two this is."""
        return {"vth": self.vth, "rectified": isinstance(self, AbstractGradedReluVecModel)}


class RecordingGraded(Recording, GradedVec):
    """Lava's GradedVec with recorders."""


class RecordingRelu(Recording, GradedReluVec):
    """Lava's GradedReluVec with recorders."""


@implements(proc=RecordingGraded, protocol=LoihiProtocol)
@requires(CPU)
@tag("fixed_pt")
class PyRecordingGraded(RecordedGraded, AbstractGradedVecModel):
    """Lava's graded neuron with recorders."""


@implements(proc=RecordingRelu, protocol=LoihiProtocol)
@requires(CPU)
@tag("fixed_pt")
class PyRecordingRelu(RecordedGraded, AbstractGradedReluVecModel):
    """Lava's rectified graded neuron with recorders."""
