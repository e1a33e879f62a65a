"""`Target`: all that is asked of a place to run or write a program. A subclass makes a new one.

One of another distribution is found by its entry point, whose name is the target's:

    [project.entry-points."neuroclip.targets"]
    toy = "toy_target:Toy"
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from deploy.emulate.trace import Trace
from deploy.hardware.chip import Chip
from deploy.hardware.mapping import Mapping as CoreMapping
from deploy.program.program import Program

Arrays = Mapping[str, NDArray[Any]]


@dataclass(frozen=True)
class Executor:
    """One way to run a program: `run` gives a trace of every state, `held` the registers behind it.

    run: messages {input: integers [samples, time, *shape]} → trace in sample time. held: {register:
    values}, under the names of `deploy.program.program.registers`, as the executor really held them.
    lean: gives the messages of the outputs only, where an executor can leave out the rest. checked:
    {connection: sums that the executor itself compared with another's arithmetic in its last run}.
    """

    name: str
    run: Callable[[Arrays], Trace]
    held: Callable[[], Arrays]
    lean: Callable[[Arrays], Trace] | None = None
    checked: Callable[[], Mapping[str, int]] = dict


@dataclass(frozen=True, eq=False)
class Job:
    """What a target is given.

    model: its name, for messages. timesteps: of every sample. out: the folder for the target's files,
    which holds `program.npz` and, where NIR can hold the program, `model.nir`; no_graph: why not.
    python, timeout: another interpreter, and seconds, for a target that runs in a process of its own.
    stock: whether Lava's own code computes every convolution. reader: whom a graph is written for; dt:
    seconds of one step.
    seconds: {stage: seconds}, to which it may add its own.
    """

    model: str
    program: Program
    timesteps: int
    out: Path
    no_graph: str = ""
    python: Path | None = None
    timeout: float = 600.0
    stock: bool = False
    reader: str | None = None
    dt: float = 1e-4
    seconds: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class Mapped:
    """What a run has shown by its end: the program on its cores, and what was sent.

    sent: recorded messages {source: integers [samples, time, *shape]}, inputs included. program: what
    is on the cores, in the steps of the chip (`deploy.program.timed`), with its relays. checked: the
    executors' own, see `Executor`, over all samples.
    """

    chip: Chip
    mapping: CoreMapping
    sent: Arrays
    program: Program
    checked: Mapping[str, int]


class Target:
    """A target: its name, a line of help, and what it does, each part nothing unless overridden.

    name: of the entry point too. files: what it may write into the output folder, the main one first.
    runs: whether there is a run, with parity, counts and a report; otherwise its files are all that is
    made. made: how its main file is, in words, for the command's last line. has_stock: whether
    `Job.stock` changes whose arithmetic it is. readers: what it can write for by `Job.reader`.
    """

    name: str
    help: str
    files: tuple[str, ...] = ()
    runs: bool = True
    made: str = "written"
    has_stock: bool = False
    readers: tuple[str, ...] = ()

    def check(self, program: Program, timesteps: int) -> None:
        """Raise BadInput naming the node that the target cannot hold. Before anything is run."""

    def latency(self, program: Program) -> dict[str, int]:
        """Chip steps by which each population's response lags; the emulator's comes within the step."""
        return dict.fromkeys((p.name for p in program.populations), 0)

    def write(self, job: Job) -> list[str]:
        """Write the target's files to `job.out`; returns warnings for the report."""
        return []

    def told(self, job: Job) -> tuple[str, str]:
        """What is made for a target that runs nothing: the file's name, and how it is, in words."""
        return self.files[0], self.made

    def executor(self, job: Job) -> Executor | None:
        """What runs the program, to be compared with the emulator; None where the emulator is all."""
        return None

    def cross_check(self, job: Job, mapped: Mapped) -> dict[str, Any] | None:
        """The report's entry under the target's name; one with `"ok": False` fails the run."""
        return None
