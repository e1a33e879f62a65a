"""The image tower of few epochs: whitened patches, mirror images, and open_clip builds it."""

import pytest

torch = pytest.importorskip("torch")
open_clip = pytest.importorskip("open_clip")

from neuroclip.clip.convolutional_tower import NAME, ConvolutionalTower

VISION = {"timm_model_name": f"{NAME}16", "image_size": 32}
TEXT = {"context_length": 8, "vocab_size": 20, "width": 16, "heads": 1, "layers": 1}


def images(count, seed=0):
    """Smooth ones, whose pixels depend on their neighbours."""
    coarse = torch.rand(count, 3, 8, 8, generator=torch.Generator().manual_seed(seed))
    return torch.nn.functional.interpolate(coarse, 32, mode="bilinear") + 0.1 * coarse.repeat(
        1, 1, 4, 4
    )


def test_the_first_convolution_whitens():
    tower = ConvolutionalTower(16)
    seen = images(200)
    tower.whiten_(seen)
    half = tower.whiten.out_channels // 2
    out = tower.whiten(seen).detach()
    assert torch.equal(out[:, :half], -out[:, half:])
    rows = out[:, :half].movedim(1, -1).flatten(0, 2)
    covariance = torch.cov(rows.T)
    assert (covariance - torch.diag(covariance.diag())).abs().max() < 0.02
    assert (covariance.diag() > 0.2).all() and (covariance.diag() < 1.01).all()
    assert not tower.whiten.weight.requires_grad


def test_open_clip_builds_it_and_evaluates_both_mirror_images():
    torch.manual_seed(0)
    clip = open_clip.CLIP(
        32, open_clip.CLIPVisionCfg(**VISION), open_clip.CLIPTextCfg(**TEXT)
    ).eval()
    seen = images(3)
    made = clip.encode_image(seen)
    assert made.shape == (3, 32) and (made[0] - made[1]).abs().max() > 1e-3
    assert torch.allclose(made, clip.encode_image(seen.flip(-1)), atol=1e-5)
    # One view a step while it learns.
    learned = clip.train().encode_image(seen)
    assert not torch.allclose(learned, clip.encode_image(seen.flip(-1)), atol=1e-3)
