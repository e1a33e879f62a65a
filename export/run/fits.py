"""What no partition can help: a single neuron that reads more than a core holds."""

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
        axons = sum(c.fan_in() for c in program.into(p.name))
        if axons > limit:
            raise BadInput(
                f"{model}: node '{p.name}': a single neuron has {axons} input axons, a core of {chip.name} "
                f"holds {limit}; give the layer fewer inputs (channels, a smaller kernel or frame)"
            )
