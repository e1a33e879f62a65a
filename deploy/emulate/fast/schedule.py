"""Which kernel sums a connection, and how many steps of sums are held at once."""

from collections.abc import Callable, Iterator
from typing import Any

from numpy.typing import NDArray

from deploy.emulate.fast.plan import Synapses
from deploy.emulate.fast.spikes import Spikes

Driver = Callable[[Synapses, Spikes, int, NDArray[Any]], None]

# Bytes of the sums of a block that are held at once.
_DRIVE_BYTES = 32 << 20

# Spikes per neuron and step from which a matrix product is faster than adding weights event by
# event, measured beside each other on one core with 512-bit vectors. A dense row costs little more
# the wider it is, so that from some 250 targets on events win even where everything is active.
DENSE_PRODUCT_FROM = 0.2
DENSE_TARGETS = 300.0
KERNEL_PRODUCT_FROM = 0.3
# A message that is multiplied takes longer than a spike, a product does not.
GRADED_PRODUCT_FROM = 0.3


def by_product(synapses: Synapses, messages: Spikes) -> bool:
    """True where a matrix product sums faster than events do.

    Listed synapses have no product: adding events reads each active synapse once.
    """
    if synapses.exact == "int64":
        return False
    pattern = synapses.connection.pattern
    if messages.values is not None:
        return pattern != "listed" and messages.activity >= GRADED_PRODUCT_FROM
    if pattern == "all":
        return messages.activity >= DENSE_PRODUCT_FROM + synapses.target.size / DENSE_TARGETS
    return pattern == "image" and messages.activity >= KERNEL_PRODUCT_FROM


def pieces(samples: int, timesteps: int, size: int) -> Iterator[tuple[int, int]]:
    """(first, stop) of the steps whose sums for `size` neurons are held together."""
    steps = max(1, _DRIVE_BYTES // (8 * samples * size))
    for first in range(0, timesteps, steps):
        yield first, min(first + steps, timesteps)
