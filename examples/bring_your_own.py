"""Your own snnTorch network, on the chip: train, convert, prove, export.

    python examples/bring_your_own.py [OUT [emulator|lava]]

A small network learns which half of its inputs is busier. It is trained in plain snnTorch, becomes
an integer network, is trained a little further on exactly that arithmetic, and then goes through
NIR and `Program` to a target, compared spike for spike with torch, with a report in OUT.
"""

import sys

import snntorch as snn
import torch
from torch import nn

import neuroclip as nc
from neuroclip.chip.neurons import run
from neuroclip.convert.snntorch import to_chip

STEPS, INPUTS = 20, 16


def busier_half(count: int, generator: torch.Generator) -> tuple[torch.Tensor, torch.Tensor]:
    """Spikes [count, STEPS, INPUTS] and which half of the inputs fires more often."""
    label = torch.randint(2, (count,), generator=generator)
    rate = torch.full((count, INPUTS), 0.2)
    rate[label == 0, : INPUTS // 2] = 0.35
    rate[label == 1, INPUTS // 2 :] = 0.35
    spikes = torch.rand(count, STEPS, INPUTS, generator=generator) < rate[:, None]
    return spikes.float(), label


def network() -> nn.Sequential:
    """The chip resets to zero at once; a neuron that never resets is a read-out."""
    return nn.Sequential(
        nn.Linear(INPUTS, 24),
        snn.Leaky(beta=0.9, reset_mechanism="zero", reset_delay=False, init_hidden=True),
        nn.Linear(24, 2),
        snn.Leaky(beta=1.0, reset_mechanism="none", init_hidden=True, output=True),
    )


def float_scores(model: nn.Sequential, spikes: torch.Tensor) -> torch.Tensor:
    """Membrane potentials of the read-out after the last step."""
    for module in model:
        if isinstance(module, snn.Leaky):
            module.reset_mem()
    for t in range(STEPS):
        _, potential = model(spikes[:, t])
    return potential


def main(out: str, target: str = "emulator") -> None:
    torch.manual_seed(0)
    generator = torch.Generator().manual_seed(0)
    model = network()
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    for _ in range(60):
        spikes, label = busier_half(128, generator)
        loss = nn.functional.cross_entropy(float_scores(model, spikes), label)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()

    # Two lines bring a network to the chip: to_chip and nc.export. Between them, here, a little training
    # on the chip's arithmetic.
    chip = to_chip(model)
    optimizer = torch.optim.Adam(chip.parameters(), lr=0.002)
    for _ in range(20):
        spikes, label = busier_half(128, generator)
        potential = run(chip, spikes)[:, -1] / chip.neuron("3").unit
        loss = nn.functional.cross_entropy(potential, label)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()

    spikes, label = busier_half(500, torch.Generator().manual_seed(1))
    with torch.no_grad():
        before = float_scores(model, spikes).argmax(dim=1)
    report = nc.export(chip, spikes, label, target=target, out=out, float_predictions=before)
    print(report)
    if not report.ok:
        raise SystemExit(1)


if __name__ == "__main__":
    main(*(sys.argv[1:3] or ["runs/own"]))
