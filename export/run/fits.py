"""What no partition can help: a single neuron that reads more than a core holds."""

import numpy as np

from deploy.connections.connections import Connection, Conv2d
from deploy.connections.synapses import fan_in, reach
from deploy.errors import BadInput
from deploy.hardware.chip import Chip, amount
from deploy.program.program import Program


def require_fan_in(program: Program, chip: Chip, model: str) -> None:
    """Refuse a population of which one neuron has more input axons than a core of the chip.

    Without a look at any other neuron, so that a kernel of absurd size is refused before its sums
    are bounded and its synapses counted. Raises BadInput naming the model, the population and both numbers.
    """
    limit = amount(chip.input_axons)
    for p in program.populations:
        into = program.into(p.name)
        if limit is None or sum(min(fan_in(c), c.source_size) for c in into) <= limit:
            continue
        axons = sum(_axons(c) for c in into)
        if axons > limit:
            raise BadInput(
                f"{model}: node '{p.name}': a single neuron has {axons} input axons, a core of {chip.name} "
                f"holds {limit}; give the layer fewer inputs (channels, a smaller kernel or frame)"
            )


def _axons(c: Connection) -> int:
    """Sources of a connection's middle neuron, which of a convolution has the most."""
    if not isinstance(c, Conv2d):
        return fan_in(c)
    _, height, width = c.target_shape
    middle = height // 2 * width + width // 2
    return int(np.count_nonzero(reach(c, middle, middle + 1)))
