"""Weights of 8 bits, as accelerators of ANNs hold them."""

from torch import Tensor

from neuroclip.chip.synapses import round_through

_MAX = 127


def int8_by_target(weight: Tensor) -> Tensor:
    """Weights [targets, ...] as multiples of a 127th of each target's largest; gradients pass through."""
    largest = weight.detach().flatten(1).abs().amax(1).clamp(min=1e-12)
    level = (largest / _MAX).reshape(-1, *[1] * (weight.ndim - 1))
    return round_through(weight / level) * level
