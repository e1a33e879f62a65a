"""Random changes to training pictures: what a camera may do to a still picture of a digit."""

import math

import torch
from torch.nn import functional


def augment(pictures: torch.Tensor, random: torch.Generator) -> torch.Tensor:
    """Changed copies float32 [images, rows, columns] of pictures in 0 … 1, white on black.

    Geometry: rotation ±15°, shear ±0.2, scale 0.8 … 1.15 on each axis, shift ±4.5 pixels (N-MNIST's
    saccades move a digit by 3.5). Stroke: power 0.5 … 2.5 of the gray value. Light: the black and
    the white become two random grays at least 0.25 apart, either of them the brighter one, in half
    of the pictures; noise of deviation up to 0.1. All of it stays a picture: no edges, no events.
    """
    count, rows, columns = pictures.shape

    def uniform(low: float, high: float) -> torch.Tensor:
        return low + (high - low) * torch.rand(count, generator=random)

    angle = uniform(-math.pi / 12, math.pi / 12)
    shear, wide, tall = uniform(-0.2, 0.2), uniform(0.8, 1.15), uniform(0.8, 1.15)
    # Normalised coordinates run over 2 in each direction.
    shift_x, shift_y = uniform(-4.5, 4.5) * 2 / columns, uniform(-4.5, 4.5) * 2 / rows
    cos, sin = angle.cos(), angle.sin()
    first = torch.stack([cos / wide, (shear * cos - sin) / tall, shift_x], dim=1)
    second = torch.stack([sin / wide, (shear * sin + cos) / tall, shift_y], dim=1)
    grid = functional.affine_grid(
        torch.stack([first, second], dim=1), [count, 1, rows, columns], align_corners=False
    )
    moved = functional.grid_sample(pictures[:, None], grid, align_corners=False)[:, 0]
    ink = moved.clamp(0, 1) ** uniform(0.5, 2.5)[:, None, None]
    distance = uniform(0.25, 1.0)
    low = torch.rand(count, generator=random) * (1 - distance)
    inverted = torch.rand(count, generator=random) < 0.5
    ground = torch.where(inverted, low + distance, low)
    paint = torch.where(inverted, low, low + distance)
    plain = torch.rand(count, generator=random) < 0.5
    ground, paint = torch.where(plain, 0.0, ground), torch.where(plain, 1.0, paint)
    lit = ground[:, None, None] + (paint - ground)[:, None, None] * ink
    noise = torch.randn(count, rows, columns, generator=random) * uniform(0, 0.1)[:, None, None]
    return (lit + noise).clamp(0, 1)
