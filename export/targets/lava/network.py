"""`build_network`: checks that a program can run on Lava, then makes the hierarchical Process."""

import importlib.util
import multiprocessing
import sys
from typing import Any

from deploy.errors import BadInput
from deploy.program.pipeline_latency import latency_steps
from deploy.program.program import Program
from deploy.program.timed import timed
from export.targets.lava.parts.neurons import stock_interval
from export.targets.lava.parts.synapses import built, check_size

INSTALL = (
    "Lava runs on Python 3.10: python3.10 -m pip install lava-nc==0.10.0, or name a Python that has it "
    "with --lava-python"
)


def stock_program(program: Program, timesteps: int) -> tuple[Program, frozenset[str]]:
    """A program as Lava's stock processes run it exactly, sample after sample, and its relays.

    Raises BadInput for one that they do not, naming the node.
    """
    if timesteps < 1:
        raise BadInput(f"timesteps {timesteps}: a sample has at least one step")
    for p in program.populations:
        stock_interval(p, timesteps)
    for c in program.connections:
        if c.delay:
            raise BadInput(
                f"node '{c.name}': with delay {c.delay}, Lava's stock processes carry messages into "
                "the next sample; `run_lava` and the emulator clear them"
            )
    # Without delays of its own a program's branches meet by relays alone.
    of = timed(program)
    made = of.in_sample_time
    for c in made.connections:
        check_size(built(made, c), c)
    return made, frozenset(of.relays)


def build_network(program: Program, timesteps: int) -> Any:
    """The work of `export.targets.lava.build`, which documents it."""
    made, relays = stock_program(program, timesteps)
    if importlib.util.find_spec("lava") is None:
        raise BadInput(f"Lava is not installed for {sys.executable}. {INSTALL}")
    if "lava.magma.runtime" not in sys.modules:
        # Lava sets the start method (fork) when it is imported and fails where another library, a
        # progress bar for one, has set it to the default before.
        multiprocessing.set_start_method(None, force=True)
    from export.targets.lava.processes.network import Network

    return Network(program=made, timesteps=timesteps, latency=latency_steps(made), relays=relays)
