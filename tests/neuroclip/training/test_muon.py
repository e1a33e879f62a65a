"""Muon: orthogonal steps for convolutions, AdamW's own for all else."""

import pytest

torch = pytest.importorskip("torch")

from neuroclip.training.muon import Muon, muon, orthogonal


@pytest.mark.parametrize("shape", [(8, 20), (20, 8), (12, 12)])
def test_every_direction_moves_alike(shape):
    """Singular values of a step lie near 1, in the directions of the gradient's own."""
    torch.manual_seed(0)
    u, _, v = torch.linalg.svd(torch.randn(shape), full_matrices=False)
    values = torch.logspace(0, -1, min(shape))
    made = orthogonal(u @ torch.diag(values) @ v)
    found = torch.diag(u.T @ made @ v.T)
    assert (found > 0.5).all() and (found < 1.4).all()
    assert (u.T @ made @ v.T - torch.diag(found)).abs().max() < 0.1


def test_a_convolution_forgets_its_scale_and_steps_by_the_rate():
    torch.manual_seed(0)
    conv = torch.nn.Conv2d(4, 6, 3, bias=False)
    for scale in (1.0, 1e-6):
        with torch.no_grad():
            before = conv.weight.mul_(100).clone()
        optimizer = muon(conv, 1e-3, 0.1)
        for group in optimizer.param_groups:
            group["lr"] = 1e-3 * group["share"]
        (scale * conv(torch.randn(2, 4, 5, 5)).square().sum()).backward()
        optimizer.step()
        moved = conv.weight.detach() - before * 6**0.5 / before.norm()
        assert 0.1 * 6**0.5 * 0.6 < moved.norm() < 0.1 * 6**0.5 * 1.3


def test_all_else_takes_adamws_steps():
    torch.manual_seed(0)
    start, x = torch.randn(5, 7), torch.randn(20, 7)
    found = []
    for make in (
        lambda p: Muon([{"params": [p], "weight_decay": 0.1}], 0.01, betas=(0.9, 0.98)),
        lambda p: torch.optim.AdamW([p], 0.01, betas=(0.9, 0.98), weight_decay=0.1),
    ):
        weight = start.clone().requires_grad_()
        optimizer = make(weight)
        for _ in range(8):
            optimizer.zero_grad()
            (x @ weight.T).sin().sum().backward()
            optimizer.step()
        found.append(weight.detach())
    assert torch.allclose(*found, atol=1e-6) and not torch.allclose(found[0], start, atol=1e-2)


def test_a_kept_state_goes_on():
    """What resume_state keeps of an optimizer is tensors only."""
    torch.manual_seed(0)
    module = torch.nn.Sequential(
        torch.nn.Conv2d(2, 3, 3), torch.nn.Flatten(), torch.nn.Linear(12, 2)
    )
    optimizer = muon(module, 1e-3, 0.1)
    module(torch.randn(1, 2, 4, 4)).sum().backward()
    optimizer.step()
    held = optimizer.state_dict()
    assert all(isinstance(x, torch.Tensor) for s in held["state"].values() for x in s.values())
    again = muon(module, 1e-3, 0.1)
    again.load_state_dict(held)
    assert [g["share"] for g in again.param_groups] == pytest.approx([100.0, 1.0, 1.0])
