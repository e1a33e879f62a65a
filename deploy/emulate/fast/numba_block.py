"""A block of populations on the numba kernels: its connections and updates as what they read."""

from collections.abc import Iterable
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from deploy.emulate.fast import kernels
from deploy.emulate.fast.forms import Form
from deploy.emulate.fast.layout import LINK, address, aligned
from deploy.emulate.fast.neuron_kernels import compile_step, step_named
from deploy.emulate.fast.numpy_block import run_numpy
from deploy.emulate.fast.plan import Block, Synapses
from deploy.emulate.fast.products import add_products
from deploy.emulate.fast.recording import Recording
from deploy.emulate.fast.schedule import by_product, pieces
from deploy.emulate.fast.spikes import WORD, Messages, Spikes, words
from deploy.emulate.fast.sum_kernels import adder_named
from deploy.errors import CheckFailed

_ENTRIES = LINK.names or ()


def run_numba(block: Block, messages: Messages, out: Recording) -> None:
    """Run a block for all steps of some samples; `messages` holds what it hears from outside.

    Raises CheckFailed for a message that a population cannot send.
    """
    if block.uncompiled:
        run_numpy(block, messages, out, add_sums)
        return
    updates = _addresses(_update(form, block.narrow) for form in block.forms)
    products = [s for s in block.outside if by_product(s, messages[s.connection.source])]
    adders = np.array(
        [0 if s in products else _adder(s, block.narrow).address for s in block.synapses], np.int64
    )
    own = Spikes(out.bits, block.size, 0, out.graded)
    links = _links(
        (s, messages[s.connection.source] if s.inside is None else own) for s in block.synapses
    )
    samples, timesteps = out.bits.shape[:2]
    rows = max(1, *(form.states for form in block.forms))
    states = aligned((samples, rows, block.size), block.sums)
    sums, flags = aligned((2, block.size), block.sums), aligned((2, block.size), np.uint8)
    held = pieces(samples, timesteps, block.size) if products else [(0, timesteps)]
    for first, stop in held:
        shape = (samples, stop - first, block.size) if products else (1, 1, 1)
        drive = np.zeros(shape, block.sums)
        for synapses in products:
            add_products(synapses, messages[synapses.connection.source], first, drive)
        stopped = kernels.run_block(
            links, adders, drive, bool(products), block.spans, updates, block.settings,
            block.registers, sums, flags, first, stop, states, out.bits, out.graded, out.u, out.v, out.states,
            out.counts,
        )  # fmt: skip
        if stopped:
            raise CheckFailed(f"node '{block.populations[0].name}': a message it cannot send")
    for span, form in zip(block.spans, block.forms, strict=True):
        if form.v >= 0:
            part = slice(span[0], span[1])
            out.last_v[:, part] = states[:, form.v, part]


def pack_numba(flat: NDArray[np.uint8]) -> tuple[NDArray[np.uint64], NDArray[np.int64], int]:
    """As `deploy.emulate.fast.spikes.packed`, in one pass."""
    size = flat.shape[2]
    bits = np.empty((*flat.shape[:2], words(size)), np.uint64)
    counts = np.zeros(size, np.int64)
    few = aligned((64 * bits.shape[2],), np.uint8)
    seen = kernels.pack_bytes(address(flat), bits.reshape(-1, bits.shape[2]), few, counts)
    return bits, counts, int(seen)


def add_sums(synapses: Synapses, messages: Spikes, first: int, drive: NDArray[Any]) -> None:
    """drive[:, t] += a connection's sums at step first + t, by whichever kernel is faster."""
    if by_product(synapses, messages):
        add_products(synapses, messages, first, drive)
    else:
        add = _adder(synapses, drive.dtype == np.int32)
        kernels.add_events(add.address, _links([(synapses, messages)]), first, drive)


def _links(heard: Iterable[tuple[Synapses, Spikes]]) -> NDArray[np.void]:
    """Links, with where their weights and what they hear lie while these are kept."""
    rows = []
    for s, messages in heard:
        first = s.inside or 0
        bits, values = messages.bits, messages.values
        row = s.link | {
            "weights": address(s.weights.held), "table": address(s.weights.table),
            "bits": address(bits) + first // WORD * bits.itemsize,
            "bits_sample": bits.strides[0], "bits_step": bits.strides[1],
        }  # fmt: skip
        if s.link["graded"] and values is not None:
            row |= {
                "values": address(values) + first * values.itemsize,
                "values_sample": values.strides[0], "values_step": values.strides[1],
            }  # fmt: skip
        rows.append([row.get(name, 0) for name in _ENTRIES])
    return np.array(rows, np.int64).reshape(-1, len(_ENTRIES)).view(LINK)[:, 0]


def _addresses(compiled: Iterable[Any]) -> NDArray[np.int64]:
    return np.array([function.address for function in compiled], np.int64)


def _adder(synapses: Synapses, narrow: bool) -> Any:
    return adder_named(synapses.weights.kind, bool(synapses.link["graded"]), narrow, LINK)


def _update(form: Form, narrow: bool) -> Any:
    return _of_source(form.source) if form.source else step_named(form.step, narrow)


@cache
def _of_source(source: str) -> Any:
    """The update that `deploy.neurons.tracing` wrote, compiled in this process."""
    names = {"int64": np.int64, "int32": np.int32, "bool_": np.bool_}
    exec(source, names)  # of our own operations and whole numbers only
    return compile_step(names["step"], False, False)
