"""Lava's own neurons and synapses, with recorders: what parity compares leaves Lava through files.

The arithmetic is inherited from Lava's fixed-point models; nothing here computes a state. Files are
memory maps that the processes, being forked, write into directly: reading the same through
`Var.get` would cost 30 µs per element.
"""

from collections import deque
from typing import Any

import numpy as np
from lava.magma.core.decorator import implements, requires, tag
from lava.magma.core.model.py.model import PyLoihiProcessModel
from lava.magma.core.model.py.ports import PyOutPort
from lava.magma.core.model.py.type import LavaPyType
from lava.magma.core.process.ports.ports import OutPort
from lava.magma.core.process.process import AbstractProcess
from lava.magma.core.resources import CPU
from lava.magma.core.sync.protocols.loihi_protocol import LoihiProtocol
from lava.proc.dense.models import AbstractPyDenseModelBitAcc
from lava.proc.dense.process import Dense
from lava.proc.lif.models import AbstractPyLifModelFixed
from lava.proc.lif.process import LIFReset
from lava.proc.sparse.models import AbstractPySparseModelBitAcc
from lava.proc.sparse.process import Sparse
from numpy.typing import NDArray

from export.lava.job import Slot


class SpikeSource(AbstractProcess):
    """Sends row t − 1 of an .npy file [rows, size] at chip step t, then zeros; counts what it sent."""

    def __init__(self, *, data: NDArray[np.int32], slot: Slot, name: str) -> None:
        super().__init__(data=data, slot=slot, name=name)
        self.s_out = OutPort(shape=data.shape[1:])


@implements(proc=SpikeSource, protocol=LoihiProtocol)
@requires(CPU)
@tag("bit_accurate_loihi", "fixed_pt")
class PySpikeSource(PyLoihiProcessModel):
    """The source's model: reads the memory map as it goes."""

    s_out: PyOutPort = LavaPyType(PyOutPort.VEC_DENSE, np.int32)

    def __init__(self, proc_params: Any) -> None:
        super().__init__(proc_params)
        self.rows = proc_params["data"]
        self.slot: Slot = proc_params["slot"]
        self.messages = self.slot.open("messages")

    def run_spk(self) -> None:
        """Send one row."""
        row = self.slot.row(self.time_step)
        sent = np.zeros(self.rows.shape[1], np.int32) if row is None else self.rows[row]
        self.messages[:] += sent != 0
        self.s_out.send(sent)


class RecordingDense(Dense):
    """Lava's Dense, with delays that end with the sample, which writes down what its model holds.

    extra: steps that messages are held back, beyond the one that every Dense takes. delay: the
    program's, the first steps of a sample in which nothing can arrive yet. target: the slot of the
    target neurons, which says when their samples start.
    """

    def __init__(
        self, *, slot: Slot, extra: int, delay: int, target: Slot, **arguments: Any
    ) -> None:
        super().__init__(slot=slot, extra=extra, delay=delay, target=target, **arguments)


class RecordingSparse(Sparse):
    """Lava's Sparse with the same additions as RecordingDense."""

    def __init__(
        self, *, slot: Slot, extra: int, delay: int, target: Slot, **arguments: Any
    ) -> None:
        super().__init__(slot=slot, extra=extra, delay=delay, target=target, **arguments)


class Delayed:
    """Before a bit-accurate model of Lava's synapses: the delay, its end, and the record."""

    a_buff: Any
    proc_params: Any
    weights: Any
    weight_exp: int
    time_step: int

    def __init__(self, proc_params: Any) -> None:
        super().__init__(proc_params)  # type: ignore[call-arg]
        # The sums that follow a_buff, the next one to be sent.
        self.waiting: deque[Any] = deque([0] * proc_params["extra"])
        self.delay: int = proc_params["delay"]
        self.target: Slot = proc_params["target"]

    def run_spk(self) -> None:
        """One step of Lava's model, and the registers after the first."""
        if self.target.step(self.time_step) < self.delay:
            # What arrives this early in a sample was sent in the one before.
            self.a_buff[:] = 0
        super().run_spk()  # type: ignore[misc]
        if self.waiting:
            self.waiting.append(self.a_buff)
            self.a_buff = self.waiting.popleft() + np.zeros_like(self.a_buff)
        if self.time_step == 1:
            aligned = self.target.latency - self.proc_params["slot"].latency - 1
            np.savez(
                self.proc_params["slot"].registers,
                **self.held(),
                exponent=np.int32(self.weight_exp),
                delay=np.int32(len(self.waiting) - aligned),
            )

    def held(self) -> dict[str, Any]:
        """The weights as the model holds them."""
        return {"weight": self.weights}


@implements(proc=RecordingDense, protocol=LoihiProtocol)
@requires(CPU)
@tag("bit_accurate_loihi", "fixed_pt")
class PyRecordingDense(Delayed, AbstractPyDenseModelBitAcc):
    """Lava's bit-accurate Dense; it clips and truncates its weights in its first step."""


@implements(proc=RecordingSparse, protocol=LoihiProtocol)
@requires(CPU)
@tag("bit_accurate_loihi", "fixed_pt")
class PyRecordingSparse(Delayed, AbstractPySparseModelBitAcc):
    """Lava's bit-accurate Sparse; it also drops the weights that are zero."""

    def held(self) -> dict[str, Any]:
        """The lists of synapses that are left, as scipy's compressed rows."""
        w = self.weights
        return {"weight": w.data, "indices": w.indices, "indptr": w.indptr}


class RecordingLIF(LIFReset):
    """Lava's LIFReset, which also writes down its registers, states, spike counts and read-outs."""

    def __init__(self, *, slot: Slot, progress: str | None, **arguments: Any) -> None:
        super().__init__(**arguments)
        self.proc_params["slot"] = slot
        self.proc_params["progress"] = progress


@implements(proc=RecordingLIF, protocol=LoihiProtocol)
@requires(CPU)
@tag("bit_accurate_loihi", "fixed_pt")
class PyRecordingLIF(AbstractPyLifModelFixed):
    """Lava's fixed-point neuron with LIFReset's rule: state is cleared before the dynamics.

    Lava refuses a subclass of a model that already implements a process, so the threshold and the
    reset, which its abstract neuron lacks, are those of its PyLifResetModelBitAcc.
    """

    s_out: PyOutPort = LavaPyType(PyOutPort.VEC_DENSE, np.int32, precision=24)
    vth: Any = LavaPyType(int, np.int32, precision=17)

    def __init__(self, proc_params: Any) -> None:
        super().__init__(proc_params)
        self.effective_vth: Any = 0
        self.slot: Slot = proc_params["slot"]
        self.recordings = {q: self.slot.open(q) for q in ("s", "u", "v")}
        self.messages = self.slot.open("messages")
        self.readout = self.slot.open("readout")
        path = proc_params["progress"]
        self.progress = None if path is None else np.load(path, mmap_mode="r+")

    def scale_threshold(self) -> None:
        """The threshold in units of v, as PyLifResetModelBitAcc has it."""
        self.effective_vth = np.left_shift(self.vth, self.vth_shift)
        self.isthrscaled = True

    def spiking_activation(self) -> Any:
        """Spike strictly above the threshold, as PyLifResetModelBitAcc does."""
        return self.v > self.effective_vth

    def run_spk(self) -> None:
        """One step of Lava's neuron, after the reset of its turn, then the recorders."""
        if self.time_step % self.proc_params["reset_interval"] == self.proc_params["reset_offset"]:
            self.u *= 0
            self.v *= 0
        super().run_spk()
        if self.time_step == 1:
            held = {r: getattr(self, r) for r in ("du", "dv", "vth", "bias_mant", "bias_exp")}
            np.savez(self.slot.registers, **held)
        row = self.slot.row(self.time_step)
        if row is not None:
            self._record(row)
        if self.progress is not None:
            self.progress[0] = self.time_step

    def _record(self, row: int) -> None:
        for quantity, values in (("s", self.s_out_buff), ("u", self.u), ("v", self.v)):
            recording = self.recordings[quantity]
            if recording is not None:
                recording[row] = values
        self.messages[:] += self.s_out_buff
        sample, step = divmod(row, self.slot.timesteps)
        if self.readout is not None and step == self.slot.timesteps - 1:
            self.readout[sample] = self.v
