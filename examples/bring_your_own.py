"""Your own snnTorch network, on the chip: train, convert, prove, export.

    python examples/bring_your_own.py [OUT]

A small network learns which half of its inputs is busier. It is trained in plain snnTorch, becomes
an integer network, is trained a little further on exactly that arithmetic, and is then written as
NIR and as a `Program` that the emulator runs spike for spike like torch.
"""

import sys
from pathlib import Path

import numpy as np
import snntorch as snn
import torch
from torch import nn

from deploy.emulator import emulate
from deploy.parity import compare
from deploy.program import registers
from deploy.program_file import save_program
from deploy.proof import prove
from export.lower import lower
from export.nir_file import read_nir, write_nir
from export.nir_write import to_nir
from export.torch_run import run_torch, torch_registers
from neuroclip.convert import to_chip
from neuroclip.neurons import run

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


def main(out: Path) -> None:
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

    # The three lines that bring a network to the chip, and a little training on its arithmetic.
    chip = to_chip(model)
    optimizer = torch.optim.Adam(chip.parameters(), lr=0.002)
    for _ in range(20):
        spikes, label = busier_half(128, generator)
        potential = run(chip, spikes)[:, -1] / chip[-1].unit
        loss = nn.functional.cross_entropy(potential, label)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()

    write_nir(out / "model.nir", to_nir(chip))
    program = lower(read_nir(out / "model.nir"))
    save_program(out / "program.npz", program)

    spikes, label = busier_half(500, torch.Generator().manual_seed(1))
    inputs = {"input": spikes.numpy().astype(np.int8)}
    trace = emulate(program, inputs)
    parity = compare(
        "torch", torch_registers(chip), run_torch(chip, inputs),
        "emulator", registers(program), trace,
    )  # fmt: skip
    with torch.no_grad():
        before = (float_scores(model, spikes).argmax(dim=1) == label).double().mean()
    after = (trace.readout["3"].argmax(axis=1) == label.numpy()).mean()
    print(f"accuracy: snnTorch {100 * before:.1f} %, emulator {100 * after:.1f} %")
    print(parity.describe())
    print(f"portable, every simulator must agree: {prove(program, STEPS).portable}")
    print(f"written: {out / 'model.nir'}, {out / 'program.npz'}")
    if not parity.ok:
        raise SystemExit(1)


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "runs/own"))
