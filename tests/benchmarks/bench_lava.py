"""Lava's own floor: five processes in a chain that only pass zeros on, with its channels and with ours.

    python tests/benchmarks/bench_lava.py [steps]

As many processes and steps as `make demo` has; what the worker takes for them is in the demo's report
(`timings`, "lava run"). Processor seconds are of all processes. Needs Lava, so Python 3.10.
"""

import resource
import subprocess
import sys
import time
from itertools import pairwise
from typing import Any

import numpy as np
from lava.magma.core.decorator import implements, requires
from lava.magma.core.model.py.model import PyLoihiProcessModel
from lava.magma.core.model.py.ports import PyInPort, PyOutPort
from lava.magma.core.model.py.type import LavaPyType
from lava.magma.core.process.ports.ports import InPort, OutPort
from lava.magma.core.process.process import AbstractProcess
from lava.magma.core.resources import CPU
from lava.magma.core.run_conditions import RunSteps
from lava.magma.core.run_configs import Loihi2SimCfg
from lava.magma.core.sync.protocols.loihi_protocol import LoihiProtocol

SIZES = (64, 32, 32, 10, 10)


class Empty(AbstractProcess):
    """Hears, and sends zeros."""

    def __init__(self, *, heard: int, sent: int) -> None:
        super().__init__(heard=heard, sent=sent)
        self.a_in, self.s_out = InPort(shape=(heard,)), OutPort(shape=(sent,))


@implements(proc=Empty, protocol=LoihiProtocol)
@requires(CPU)
class PyEmpty(PyLoihiProcessModel):
    """Its model."""

    a_in: PyInPort = LavaPyType(PyInPort.VEC_DENSE, np.int32)
    s_out: PyOutPort = LavaPyType(PyOutPort.VEC_DENSE, np.int32)

    def __init__(self, proc_params: Any) -> None:
        super().__init__(proc_params)
        self.zeros = np.zeros(proc_params["sent"], np.int32)

    def run_spk(self) -> None:
        """Send, then hear."""
        self.s_out.send(self.zeros)
        self.a_in.recv()


def floor(steps: int, ours: bool) -> tuple[float, float]:
    """(wall, processor) seconds of the run."""
    if ours:
        from export.targets.lava.processes import channels

        channels.install()
    each = [Empty(heard=a, sent=b) for a, b in pairwise((SIZES[0], *SIZES))]
    for one, other in pairwise(each):
        one.s_out.connect(other.a_in)
    each[0].create_runtime(run_cfg=Loihi2SimCfg())
    started = time.perf_counter()
    each[0].run(condition=RunSteps(num_steps=steps))
    took = time.perf_counter() - started
    each[0].stop()
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return took, used.ru_utime + used.ru_stime


def main() -> None:
    """Each in a process of its own."""
    steps = int(sys.argv[1]) if len(sys.argv) > 1 else 5002
    if len(sys.argv) > 2:
        print("{:.2f} s, {:.2f} s of the processor".format(*floor(steps, sys.argv[2] == "ours")))
        return
    for whose in ("Lava's", "our"):
        command = [sys.executable, __file__, str(steps), "ours" if whose == "our" else "lava"]
        made = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
        print(f"empty network, {steps} steps, {whose} channels: {made.stdout.splitlines()[-1]}")


if __name__ == "__main__":
    main()
