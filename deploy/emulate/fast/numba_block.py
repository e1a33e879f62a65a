"""A block of populations on the numba kernels: its connections and updates as what they read."""

from collections.abc import Iterable
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from deploy.emulate.fast import kernels
from deploy.emulate.fast.forms import Form
from deploy.emulate.fast.layout import LINK
from deploy.emulate.fast.neuron_kernels import compile_step, step_named
from deploy.emulate.fast.numpy_block import run_numpy
from deploy.emulate.fast.plan import Block, Synapses
from deploy.emulate.fast.products import add_products
from deploy.emulate.fast.recording import Recording
from deploy.emulate.fast.schedule import by_product, pieces
from deploy.emulate.fast.spikes import Messages, Spikes
from deploy.emulate.fast.sum_kernels import adder_named
from deploy.errors import CheckFailed

_NO_VALUES = np.zeros((1, 1, 0), np.int32)
_NOTHING = (
    np.zeros((1, 1, 1), np.uint64), np.zeros(1, LINK), np.zeros(1, np.int16),
    np.zeros(1, np.int32), 0,
)  # fmt: skip


def run_numba(block: Block, messages: Messages, out: Recording) -> None:
    """Run a block for all steps of some samples; `messages` holds what it hears from outside.

    Raises CheckFailed for a message that a population cannot send.
    """
    if block.uncompiled:
        run_numpy(block, messages, out, add_sums)
        return
    updates = _addresses(_update(form, block.narrow) for form in block.forms)
    adders = _addresses(_adder(s, block.narrow) for s in block.inside)
    others = list(block.outside)
    fused: tuple[Any, ...] = _NOTHING
    # A single population sums its last event-driven connection of spikes as it goes.
    heard = [(s, messages[s.connection.source]) for s in others]
    events = [s for s, sent in heard if sent.values is None and not by_product(s, sent)]
    if events and len(block.populations) == 1:
        others.remove(events[-1])
        s = events[-1]
        bits = messages[s.connection.source].bits
        fused = (*_arrays(bits, s), _adder(s, block.narrow).address)
    samples, timesteps = out.bits.shape[:2]
    rows = max(1, *(form.states for form in block.forms))
    states = np.zeros((samples, rows, block.size), block.sums)
    held = pieces(samples, timesteps, block.size) if others else [(0, timesteps)]
    for first, stop in held:
        drive = np.zeros((samples, stop - first, block.size) if others else (1, 1, 1), block.sums)
        for synapses in others:
            add_sums(synapses, messages[synapses.connection.source], first, drive)
        stopped = kernels.run_block(  # type: ignore[call-arg]
            *fused, drive, bool(others), block.spans, updates, block.settings, adders,
            block.links, block.held, block.table, block.registers,
            first, stop, states, out.bits, out.graded, out.u, out.v, out.states, out.counts,
        )  # fmt: skip
        if stopped:
            raise CheckFailed(f"node '{block.populations[0].name}': a message it cannot send")
    for span, form in zip(block.spans, block.forms, strict=True):
        if form.v >= 0:
            part = slice(span[0], span[1])
            out.last_v[:, part] = states[:, form.v, part]


def add_sums(synapses: Synapses, messages: Spikes, first: int, drive: NDArray[Any]) -> None:
    """drive[:, t] += a connection's sums at step first + t, by whichever kernel is faster."""
    if by_product(synapses, messages):
        add_products(synapses, messages, first, drive)
    else:
        values = _NO_VALUES if messages.values is None else messages.values
        bits, *of = _arrays(messages.bits, synapses)
        add = _adder(synapses, drive.dtype == np.int32)
        kernels.add_events(add.address, bits, values, *of, first, drive)  # type: ignore[call-arg]


def _arrays(bits: NDArray[np.uint64], synapses: Synapses) -> tuple[Any, ...]:
    return bits, synapses.links, synapses.weights.held, synapses.weights.table


def _addresses(compiled: Iterable[Any]) -> NDArray[np.int64]:
    return np.array([function.address for function in compiled], np.int64)


def _adder(synapses: Synapses, narrow: bool) -> Any:
    return adder_named(synapses.weights.kind, bool(synapses.links[0]["graded"]), narrow, LINK)


def _update(form: Form, narrow: bool) -> Any:
    return _of_source(form.source) if form.source else step_named(form.step, narrow)


@cache
def _of_source(source: str) -> Any:
    """The update that `deploy.neurons.tracing` wrote, compiled in this process."""
    names = {"int64": np.int64, "int32": np.int32, "bool_": np.bool_}
    exec(source, names)  # of our own operations and whole numbers only
    return compile_step(names["step"], False, False)
