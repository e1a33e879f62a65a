"""Sizes and constants of a SpikeCLIP."""

from dataclasses import dataclass
from typing import Literal, get_args

from deploy.errors import BadInput

Variant = Literal["paper", "deployable", "paper-attention", "ann"]

# Networks that agree in these have the same layers, of the same sizes.
SHAPE = (
    "image_size", "channels", "width", "convolutions", "halvings", "depths", "blocks", "heads",
    "ratio", "features", "message_max",
)  # fmt: skip

# Larger sizes are mistyped numbers.
_MAX = 1 << 13
_PIXEL_MAX = 255
_SUM_FACTOR_MAX = 64
# Spikes that one integrator of the read-out sums: more would leave weights of 8 bits too few.
_READ_MAX = 2048


@dataclass(frozen=True)
class SpikeClipConfig:
    """Sizes of a SpikeCLIP; the defaults are the paper's Spikingformer-4-384 at 32×32 pixels.

    variant: "paper" (max pools on real values, q·kᵀ·v, learned time weights, token mean of the
    residual stream), "deployable" (strides, spike-driven attention, geometric time weights, token
    mean of spikes) or, to compare with, "paper-attention" (the deployable one's layers, but for the
    attention, the paper's) or "ann" (the deployable one's layers with ReLU in the place of neurons).
    width: channels of a token. convolutions: of the tokenizer, the last two as wide
    as a token, those before them half as wide each; halvings: how often they halve the image. depths:
    instead of convolutions, a tokenizer of stages, each twice as wide as the one before and, but for the
    first, at half its rows and columns (the first one too, where there are as many halvings): so many 3×3
    convolutions of each, beside the one that begins it, add to a residual stream of that stage. ratio:
    hidden channels of an MLP per channel. features: of the embedding, the teacher's. threshold: of
    v ← v + (x − v)/2, and attention_threshold that of the attention's own neuron. time_ratio:
    a step's weight in the read-out over that of the next one (deployable). message_max: pixels are
    sent as integers 0..message_max, few bits so that the first layer's synaptic sums stay within 21.
    sum_factor: 1 proves that no sum leaves 21 bits, whatever spikes; a wide model, whose 8-bit
    weights would round to zero under that proof, may be given more: so many times that sum if every
    source fired at once. pixels: "messages" are those integers, "clip" (the paper's) real values with CLIP's
    mean and deviation, which no graded message holds. by_224: images reach their size by way of 224 pixels,
    CLIP's own (the paper's). detached_reset: no gradient goes through a reset (the paper's).
    """

    variant: Variant = "deployable"
    image_size: int = 32
    channels: int = 3
    width: int = 384
    convolutions: int = 5
    halvings: int = 2
    depths: tuple[int, ...] = ()
    blocks: int = 4
    heads: int = 8
    ratio: int = 4
    steps: int = 4
    features: int = 512
    threshold: float = 1.0
    attention_threshold: float = 0.5
    time_ratio: float = 0.75
    message_max: int = 15
    sum_factor: int = 1
    pixels: Literal["messages", "clip"] = "messages"
    by_224: bool = False
    detached_reset: bool = False

    def __post_init__(self) -> None:
        sizes = ("image_size", "channels", "width", "convolutions", "blocks", "heads", "ratio")
        for name in (*sizes, "steps", "features", "message_max"):
            if not 1 <= getattr(self, name) <= _MAX:
                raise BadInput(f"spikeclip: {name} {getattr(self, name)}, expected 1 to {_MAX}")
        for name in ("threshold", "attention_threshold"):
            if not 0 < getattr(self, name) <= _MAX:
                raise BadInput(f"spikeclip: {name} {getattr(self, name)}, expected above 0")
        if self.variant not in get_args(Variant):
            raise BadInput(
                f"spikeclip: variant '{self.variant}', expected one of {', '.join(get_args(Variant))}"
            )
        if self.variant == "ann" and self.steps != 1:
            raise BadInput(f"spikeclip: steps {self.steps}, the variant 'ann' has one")
        if self.pixels not in ("messages", "clip"):
            raise BadInput(f"spikeclip: pixels '{self.pixels}' is neither 'messages' nor 'clip'")
        if self.by_224 and self.pixels != "clip":
            raise BadInput("spikeclip: by_224 is of pixels 'clip'")
        if self.pixels == "clip" and self.channels not in (1, 3):
            raise BadInput(f"spikeclip: pixels 'clip' of {self.channels} channels, expected 1 or 3")
        if self.variant != "paper" and (self.pixels == "clip" or self.detached_reset):
            raise BadInput(
                "spikeclip: pixels 'clip' and detached_reset are of the variant 'paper': a chip is sent "
                "integers, and 'deployable' is trained as it runs"
            )
        if self.depths:
            self._check_depths()
        elif not 0 <= self.halvings < self.convolutions:
            raise BadInput(
                f"spikeclip: {self.halvings} halvings need more than {self.convolutions} convolutions"
            )
        if self.image_size % (1 << self.halvings):
            raise BadInput(
                f"spikeclip: image_size {self.image_size} is no multiple of {1 << self.halvings}"
            )
        narrowest = 1 << max(0, (len(self.depths) or self.convolutions - 1) - 1)
        if self.width % narrowest or self.width % self.heads:
            raise BadInput(
                f"spikeclip: width {self.width} is no multiple of {narrowest} (the tokenizer) and "
                f"{self.heads} (heads)"
            )
        if not 0 < self.time_ratio <= 1:
            raise BadInput(f"spikeclip: time_ratio {self.time_ratio} is not above 0 and up to 1")
        if not 1 <= self.sum_factor <= _SUM_FACTOR_MAX:
            raise BadInput(
                f"spikeclip: sum_factor {self.sum_factor}, expected 1 to {_SUM_FACTOR_MAX}"
            )
        if self.message_max > _PIXEL_MAX:
            raise BadInput(f"spikeclip: message_max {self.message_max} exceeds {_PIXEL_MAX}")

    def _check_depths(self) -> None:
        """A tokenizer of stages counts its own convolutions."""
        stages = len(self.depths)
        if self.variant == "paper":
            raise BadInput("spikeclip: depths are not of the variant 'paper'")
        if stages > 8 or not all(0 <= depth <= 64 for depth in self.depths):
            raise BadInput(f"spikeclip: depths {self.depths}, expected up to 8 of 0 to 64")
        if self.halvings not in (stages - 1, stages):
            raise BadInput(
                f"spikeclip: {stages} stages (depths) halve {stages - 1} or {stages} times, not "
                f"{self.halvings}"
            )
        if self.convolutions != stages + sum(self.depths):
            raise BadInput(
                f"spikeclip: convolutions {self.convolutions}, those of depths {self.depths} are "
                f"{stages + sum(self.depths)}"
            )

    @property
    def stages(self) -> tuple[int, ...]:
        """Of each convolution of the tokenizer the stage that it is in (of a chain, its own)."""
        depths = self.depths or (0,) * self.convolutions
        return tuple(stage for stage, depth in enumerate(depths) for _ in range(1 + depth))

    def adds(self, index: int) -> bool:
        """True where the tokenizer's convolution `index` adds to its stage's residual stream."""
        return index > 0 and self.stages[index] == self.stages[index - 1]

    @property
    def tokenizer_channels(self) -> tuple[int, ...]:
        """Channels after each convolution of the tokenizer: 48, 96, 192, 384, 384 of the paper's."""
        if self.depths:
            return tuple(self.width >> (len(self.depths) - 1 - stage) for stage in self.stages)
        last = self.convolutions - 2
        return tuple(self.width >> max(0, last - i) for i in range(self.convolutions))

    @property
    def side(self) -> int:
        """Rows and columns of tokens."""
        return self.image_size >> self.halvings

    @property
    def patch(self) -> int:
        """Rows and columns of tokens that one integrator of the read-out sums (deployable)."""
        patch = self.side
        while patch % 2 == 0 and self.width * patch**2 > _READ_MAX:
            patch //= 2
        return patch

    def strides(self, index: int) -> bool:
        """True where the tokenizer's convolution `index` halves the image (by a pool after it, in
        the paper's variant)."""
        if self.depths:
            return not self.adds(index) and self.stages[index] >= len(self.depths) - self.halvings
        return self.convolutions - 1 - self.halvings <= index < self.convolutions - 1
