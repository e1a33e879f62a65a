"""The source of messages, and the recorders around Lava's neurons: results leave Lava through files.

Files are memory maps that the processes, being forked, write into directly: reading the same through
`Var.get` would cost 30 µs per element. Nothing here computes a state.
"""

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
from numpy.typing import NDArray

from export.targets.lava.parts.job import Slot
from export.targets.lava.parts.neurons import Rule


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
        self.messages += sent != 0
        self.s_out.send(sent)


class Recording:
    """Before a process of Lava's neurons: what its model needs to record and to clear its state.

    rule: when the state is cleared within a sample. registers: the names of those that each neuron
    has. progress: the file to tell the chip step in, of one population only.
    """

    def __init__(
        self,
        *,
        slot: Slot,
        rule: Rule,
        registers: tuple[str, ...],
        progress: str | None,
        **arguments: Any,
    ) -> None:
        super().__init__(**arguments)
        added = {"slot": slot, "rule": rule, "registers": registers, "progress": progress}
        for name, value in added.items():
            self.proc_params[name] = value  # type: ignore[attr-defined]


class Heard:
    """An out port that remembers what it sent last."""

    def __init__(self, port: Any) -> None:
        self.port = port
        self.sent: Any = None

    def send(self, data: Any) -> None:
        """Send, and remember."""
        self.sent = data
        self.port.send(data)


class Recorded:
    """Before a model of Lava's neurons: the clearing of its state, and the recorders after its step.

    state: the model's variables. recorded: which of them a trace calls u and v.
    """

    state: tuple[str, ...] = ()
    recorded: dict[str, str] = {}  # noqa: RUF012  (Lava's metaclass reads annotations)
    proc_params: Any
    time_step: int
    s_out: Any

    def __init__(self, proc_params: Any) -> None:
        super().__init__(proc_params)  # type: ignore[call-arg]
        self.slot: Slot = proc_params["slot"]
        self.recordings = {q: self.slot.open(q) for q in ("s", *self.recorded)}
        self.messages = self.slot.open("messages")
        self.readout = self.slot.open("readout")
        path = proc_params["progress"]
        self.progress = None if path is None else np.load(path, mmap_mode="r+")

    def run_spk(self) -> None:
        """One step of Lava's neuron, after the reset of its turn, then the recorders."""
        if self.time_step == 1:
            self.s_out = Heard(self.s_out)
        interval, offset = self.proc_params["rule"]
        step = self.slot.step(self.time_step)
        if step == 0 or (interval and step % interval == offset):
            for name in self.state:
                getattr(self, name)[...] = 0
        super().run_spk()  # type: ignore[misc]
        if self.time_step == 1:
            np.savez(self.slot.registers, **self.held())
        row = self.slot.row(self.time_step)
        if row is not None:
            self._record(row)
        if self.progress is not None:
            self.progress[0] = self.time_step

    def held(self) -> dict[str, Any]:
        """The registers as the model holds them, under our names."""
        raise NotImplementedError

    def _record(self, row: int) -> None:
        values = {q: getattr(self, name) for q, name in self.recorded.items()}
        values["s"] = self.s_out.sent
        for quantity, recording in self.recordings.items():
            if recording is not None:
                recording[row] = values[quantity]
        self.messages += values["s"] != 0
        sample, step = divmod(row, self.slot.timesteps)
        if self.readout is not None and step == self.slot.timesteps - 1:
            self.readout[sample] = values["v"]
