"""Lava's own synapses, with delays that end with the sample, and a convolution of ours.

The arithmetic of Dense and Sparse is inherited from Lava's bit-accurate models.
"""

from collections import deque
from typing import Any

import numpy as np
from lava.magma.core.decorator import implements, requires, tag
from lava.magma.core.model.py.model import PyLoihiProcessModel
from lava.magma.core.model.py.ports import PyInPort, PyOutPort
from lava.magma.core.model.py.type import LavaPyType
from lava.magma.core.process.ports.ports import InPort, OutPort
from lava.magma.core.process.process import AbstractProcess
from lava.magma.core.resources import CPU
from lava.magma.core.sync.protocols.loihi_protocol import LoihiProtocol
from lava.proc.conv.utils import conv as lava_conv
from lava.proc.dense.models import AbstractPyDenseModelBitAcc
from lava.proc.dense.process import Dense
from lava.proc.sparse.models import AbstractPySparseModelBitAcc
from lava.proc.sparse.process import Sparse
from numpy.typing import NDArray

from export.targets.lava.parts.convolution import Convolution, convolve
from export.targets.lava.parts.job import CHECKED, Slot

# Lava takes some 10 µs and more for a pair of channels: a second or so of each convolution is checked.
_CHECKED_PAIRS = 1 << 16


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


def lava_convolve(c: Convolution, messages: Any) -> NDArray[np.int32]:
    """What `convolve` computes, by the function that Lava's own Conv calls, which knows no exponent."""
    sums = lava_conv(
        messages.reshape(c.source_shape).transpose(2, 1, 0),
        c.weight[:, :, ::-1, ::-1].transpose(0, 3, 2, 1),
        c.weight.shape[:1:-1],
        *(np.array(pair[::-1]) for pair in (c.stride, c.padding, c.dilation)),
        c.groups,
    )
    total = sums.transpose(2, 1, 0).reshape(-1).astype(np.int64)
    total = total << c.exponent if c.exponent > 0 else total >> -c.exponent
    return total.astype(np.int32)


class RecordingConv(AbstractProcess):
    """A convolution of ours where listing its synapses for Sparse would cost more; flat ports.

    It does what Dense and Sparse do: sends the sums of the step before, and shifts them by the
    weight exponent, which Lava's own Conv ignores. stock: the sums are those of the function that Lava's
    Conv calls; otherwise ours, of which the first are held against that function's.
    """

    def __init__(
        self,
        *,
        slot: Slot,
        extra: int,
        delay: int,
        target: Slot,
        of: Convolution,
        graded: bool,
        stock: bool,
        name: str,
    ) -> None:
        super().__init__(
            slot=slot, extra=extra, delay=delay, target=target, of=of, graded=graded, stock=stock,
            name=name,
        )  # fmt: skip
        self.s_in = InPort(shape=(of.source_size,))
        self.a_out = OutPort(shape=(of.target_size,))


class AbstractPyConv(PyLoihiProcessModel):
    """The step of a convolution in integers."""

    s_in: PyInPort = LavaPyType(PyInPort.VEC_DENSE, np.int32)
    a_out: PyOutPort = LavaPyType(PyOutPort.VEC_DENSE, np.int32)

    def __init__(self, proc_params: Any) -> None:
        super().__init__(proc_params)
        self.of: Convolution = proc_params["of"]
        self.weight_exp = self.of.exponent
        self.a_buff = np.zeros(self.of.target_size, np.int32)
        self.checked = proc_params["slot"].open(CHECKED)
        pairs = self.of.weight.shape[0] * self.of.weight.shape[1]
        self.checks_left = 0 if proc_params["stock"] else max(1, _CHECKED_PAIRS // pairs)

    def run_spk(self) -> None:
        """Send the last step's sums, then compute those of this one."""
        self.a_out.send(self.a_buff)
        messages = self.s_in.recv()
        if not self.proc_params["graded"]:
            messages = messages.astype(bool)
        if self.proc_params["stock"]:
            self.a_buff = lava_convolve(self.of, messages)
            return
        self.a_buff = convolve(self.of, messages)
        if self.checks_left and messages.any():
            self.checks_left -= 1
            if not np.array_equal(self.a_buff, lava_convolve(self.of, messages)):
                name = self.proc_params["name"]
                raise RuntimeError(f"node '{name}': our convolution's sums are not Lava's")
            if self.checked is not None:
                self.checked[0] += self.a_buff.size


@implements(proc=RecordingConv, protocol=LoihiProtocol)
@requires(CPU)
@tag("bit_accurate_loihi", "fixed_pt")
class PyRecordingConv(Delayed, AbstractPyConv):
    """Our convolution with the delays and the record of the others."""

    def held(self) -> dict[str, Any]:
        """The kernels."""
        return {"weight": self.of.weight}
