"""What making one population of a float graph integers lost, as the report has it."""

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class LayerError:
    """What the integers of one population lose, as shares of its largest weight and largest bias.

    scale_per: "neuron", "channel" or "layer". scale: smallest and largest, in units of the chip's
    synaptic sum; that of a neuron which fires is the one under which its threshold is exact. du,
    dv: smallest and largest decay in 1/4096, of the graph and as registers say it.
    """

    scale_per: str
    scale: tuple[float, float]
    weight: float
    bias: float
    du: tuple[float, float, int, int]
    dv: tuple[float, float, int, int]

    def to_json(self) -> dict[str, Any]:
        """As `report.json` holds it."""
        return {
            "scale_per": self.scale_per,
            "scale": list(self.scale),
            "weight_error": self.weight,
            "bias_error": self.bias,
            "du": {"float": list(self.du[:2]), "quantized": list(self.du[2:])},
            "dv": {"float": list(self.dv[:2]), "quantized": list(self.dv[2:])},
        }
