"""Operations of modules against sums by hand, and nothing runs."""

import pytest

torch = pytest.importorskip("torch")
open_clip = pytest.importorskip("open_clip")

from torch import nn

from neuroclip.clip.model import load_clip
from neuroclip.compute.operations import multiply_accumulates


class Attention(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.attention = nn.MultiheadAttention(8, 2, batch_first=True)
        self.ran = 0

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        assert x.is_meta
        self.ran += 1
        return self.attention(x, x, x, need_weights=False)[0]


class Unfollowed(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x * float(x.sum())


def test_convolutions_and_linear_layers() -> None:
    network = nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1, groups=1), nn.ReLU(), nn.Conv2d(8, 4, 2, stride=2, groups=2),
        nn.Flatten(), nn.Linear(4 * 3 * 3, 5),
    )  # fmt: skip
    by_hand = 6 * 6 * 3 * 8 * 9 + 3 * 3 * 4 * 4 * 4 + 36 * 5
    assert multiply_accumulates(network, "forward", (1, 3, 6, 6)) == by_hand
    assert multiply_accumulates(network, "forward", (7, 3, 6, 6)) == 7 * by_hand


def test_attention() -> None:
    module = Attention()
    # Projections in and out of 5 tokens, and two products of every two tokens.
    assert multiply_accumulates(module, "forward", (1, 5, 8)) == 5 * 8 * 32 + 2 * 5 * 5 * 8


def test_the_bundled_clip_by_hand() -> None:
    clip = load_clip()
    width, tokens, layers = 96, 8 * 8 + 1, 3
    of_layer = tokens * width * 12 * width + 2 * tokens**2 * width
    by_hand = 64 * 48 * width + layers * of_layer + width * 64
    assert (
        multiply_accumulates(clip.module, "encode_image", (1, 3, 32, 32)) == by_hand == 24_300_096
    )


@pytest.mark.parametrize(("name", "published"), [("RN50", 6.1e9), ("ViT-B-32", 4.4e9)])
def test_towers_of_open_clip(name: str, published: float) -> None:
    """Within five per cent of what open_clip's own table of models says, in GMACs."""
    config = open_clip.get_model_config(name)
    with torch.device("meta"):
        module = open_clip.CLIP(**{k: config[k] for k in ("embed_dim", "vision_cfg", "text_cfg")})
    side = config["vision_cfg"]["image_size"]
    found = multiply_accumulates(module, "encode_image", (1, 3, side, side))
    assert found == pytest.approx(published, rel=0.05)


def test_what_cannot_be_followed_is_not_guessed() -> None:
    assert multiply_accumulates(Unfollowed(), "forward", (1, 4)) is None
