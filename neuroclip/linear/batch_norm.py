"""The fold of a batch normalisation, on NumPy's arrays and on torch's tensors alike."""

from typing import Any


def affine(weight: Any, bias: Any, mean: Any, variance: Any, eps: float) -> tuple[Any, Any]:
    """(gain, shift) [channels] with which it computes gain·x + shift in evaluation mode.

    gain = weight/√(variance + eps); shift = bias − gain·mean. weight, bias: learned; mean,
    variance: its running statistics.
    """
    gain = weight / deviation(variance, eps)
    return gain, bias - gain * mean


def deviation(variance: Any, eps: float) -> Any:
    """√(variance + eps), the standard deviation that it divides by."""
    return (variance + eps) ** 0.5
