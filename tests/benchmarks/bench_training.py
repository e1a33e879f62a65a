"""A training step on the chip's arithmetic beside snnTorch's float neurons: `make bench`.

Two dense layers of the same sizes; one step is forward over time, backward and Adam. Nothing here
asserts a time.
"""

import argparse
import os
import time
from collections.abc import Callable

import snntorch as snn
import torch
from torch import Tensor, nn

from neuroclip.neurons import ChipNeuron, run
from neuroclip.quantize import V_UNIT, ChipLinear, weight_exponent

BETA = 0.9
# Low enough for both layers to spike with the initial weights of torch's Linear.
THRESHOLD = 0.2

Runner = Callable[[nn.Module, Tensor], Tensor]


def float_network(size: int, neuron: Callable[[], nn.Module]) -> nn.Module:
    """Linear and a neuron of snnTorch, twice, as its tutorials write it."""
    layers = (nn.Linear(size, size), neuron(), nn.Linear(size, size), neuron())
    return nn.Sequential(*layers)


def chip_network(size: int) -> nn.Module:
    """The same sizes and leak on the chip's arithmetic."""
    layers: list[nn.Module] = []
    for linear in (nn.Linear(size, size), nn.Linear(size, size)):
        exponent = weight_exponent(linear.weight, 1, 2**17)
        unit = V_UNIT * 2.0**exponent
        leak = {"dv": round(4096 * (1 - BETA)), "vth": round(THRESHOLD * 2.0**exponent)}
        layers += [
            ChipLinear(linear.weight, exponent),
            ChipNeuron(linear.bias, unit=unit, **leak),
        ]
    return nn.Sequential(*layers)


def run_float(network: nn.Module, spikes: Tensor) -> Tensor:
    """[N, T, in] → [N, T, out], state cleared first."""
    for module in network:
        if isinstance(module, snn.SpikingNeuron):
            module.reset_mem()
    return torch.stack([network(spikes[:, t]) for t in range(spikes.shape[1])], dim=1)


def milliseconds(
    network: nn.Module,
    runner: Runner,
    spikes: Tensor,
    labels: Tensor,
    repeats: int,
) -> float:
    """The fastest training step of some, after one that is not counted."""
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-3)
    times = []
    for _ in range(repeats + 1):
        started = time.perf_counter()
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy(runner(network, spikes).mean(dim=1), labels)
        loss.backward()
        optimizer.step()
        times.append(1e3 * (time.perf_counter() - started))
    return min(times[1:])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--size", type=int, default=512)
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--timesteps", type=int, default=10)
    parser.add_argument("--repeats", type=int, default=10)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    torch.manual_seed(options.seed)
    size, shape = options.size, (options.batch, options.timesteps, options.size)
    spikes = (torch.rand(shape) < 0.1).to(torch.float32)
    labels = torch.randint(0, size, (options.batch,))

    shared = {"beta": BETA, "threshold": THRESHOLD, "init_hidden": True, "reset_mechanism": "zero"}
    leaky = float_network(size, lambda: snn.Leaky(**shared))
    synaptic = float_network(size, lambda: snn.Synaptic(alpha=0.0, **shared))
    rows = []
    for title, network, runner in (
        ("snnTorch Leaky, float32", leaky, run_float),
        ("snnTorch Synaptic, float32", synaptic, run_float),
        ("chip's arithmetic, trained", chip_network(size), run),
    ):
        with torch.no_grad():
            rate = float(runner(network, spikes).mean())
        rows.append((title, rate, milliseconds(network, runner, spikes, labels, options.repeats)))

    print(
        f"{size}-{size}-{size} dense, batch {options.batch}, {options.timesteps} time steps, ",
        end="",
    )
    print(f"seed {options.seed}; {os.environ.get('OMP_NUM_THREADS', 'all')} threads")
    print(f"{'':28} {'ms/step':>9} {'× first row':>12} {'output rate':>12}")
    for title, rate, ms in rows:
        print(f"{title:28} {ms:9.1f} {ms / rows[0][2]:12.2f} {100 * rate:10.1f} %")


if __name__ == "__main__":
    main()
