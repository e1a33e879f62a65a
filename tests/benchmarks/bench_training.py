"""Training on time series beside snnTorch and SpikingJelly: the recurrence alone, and a whole step.

The recurrence: forward and backward of one layer of neurons with the same leak, threshold and reset,
at 10 steps × 256 samples × 1 024 neurons. The step: two dense layers, forward over time, backward and
Adam. CLIP: frames encoded by the way from recordings to features, beside the bare encoder. Each
figure is the best of rounds that take turns; nothing here asserts a time.
"""

import argparse
import os
from collections.abc import Callable

import numpy as np
import snntorch as snn
import torch
from timing import rounds
from torch import Tensor, nn

from neuroclip.chip.neurons import ChipNeuron, FloatNeuron, run
from neuroclip.chip.recurrence import Surrogate
from neuroclip.chip.synapses import V_UNIT, ChipLinear, weight_exponent
from neuroclip.clip.model import Clip, encode_frames, encoder_input, load_clip
from neuroclip.data.events.frames import FrameOptions

try:
    from spikingjelly.activation_based import functional, neuron, surrogate
except ImportError:
    neuron = None

BETA = 0.9
# Low enough for both layers to spike with the initial weights of torch's Linear.
THRESHOLD = 0.2
SNNTORCH, JELLY = "snnTorch Leaky", "SpikingJelly LIFNode"
FLOAT, CHIP = "ours, float32", "ours, the chip's integers"

Runner = Callable[[nn.Module, Tensor], Tensor]


def stepwise(network: nn.Module, x: Tensor) -> Tensor:
    """[N, T, in] → [N, T, out] as snnTorch's tutorials run a network, state cleared first."""
    for module in network.modules():
        if isinstance(module, snn.SpikingNeuron):
            module.reset_mem()
    return torch.stack([network(x[:, t]) for t in range(x.shape[1])], dim=1)


def multistep(network: nn.Module, x: Tensor) -> Tensor:
    """The same as SpikingJelly runs one in multi-step mode, time first."""
    functional.reset_net(network)
    return network(x.transpose(0, 1)).transpose(0, 1)


def snntorch_neuron() -> nn.Module:
    """Reset to zero; the surrogate is the same rectangle for all."""
    return snn.Leaky(
        beta=BETA, threshold=THRESHOLD, init_hidden=True, reset_mechanism="zero",
        reset_delay=False, spike_grad=Surrogate(),
    )  # fmt: skip


def jelly_neuron() -> nn.Module:
    return neuron.LIFNode(
        tau=1 / (1 - BETA), decay_input=False, v_threshold=THRESHOLD, v_reset=0.0, step_mode="m",
        surrogate_function=surrogate.PiecewiseQuadratic(),
    )  # fmt: skip


def chip_neuron(size: int, exponent: int, bias: Tensor | None = None) -> ChipNeuron:
    return ChipNeuron(
        torch.zeros(size) if bias is None else bias, unit=V_UNIT * 2.0**exponent,
        dv=round(4096 * (1 - BETA)), vth=round(THRESHOLD * 2.0**exponent),
    )  # fmt: skip


def fastest(calls: dict[str, Callable[[], object]], repeats: int) -> dict[str, float]:
    """Milliseconds of the fastest of some calls that take turns."""
    return {name: 1e3 * wall for name, (wall, _) in rounds(calls, repeats).items()}


def shown(title: str, best: dict[str, float]) -> None:
    print(title)
    peers = [name for name in (SNNTORCH, JELLY) if name in best]
    for name, ms in best.items():
        ratios = "   ".join(f"{best[peer] / ms:5.2f}× {peer.split()[0]}" for peer in peers)
        print(f"  {name:28}{ms:9.1f} ms   {ratios}")


def recurrence(samples: int, steps: int, size: int, repeats: int) -> None:
    """Forward and backward of one layer of neurons."""
    x = (0.3 * torch.randn(samples, steps, size)).requires_grad_()
    exponent = 9
    sums = torch.round(x.detach() * 2.0**exponent).requires_grad_()
    back = torch.rand(samples, steps, size)
    layers: dict[str, tuple[nn.Module, Runner, Tensor]] = {
        SNNTORCH: (snntorch_neuron(), stepwise, x),
        FLOAT: (FloatNeuron(BETA, THRESHOLD), run, x),
        CHIP: (chip_neuron(size, exponent), run, sums),
    }
    if neuron is not None:
        layers[JELLY] = (jelly_neuron(), multistep, x)

    def once(layer: nn.Module, runner: Runner, data: Tensor) -> None:
        data.grad = None
        runner(layer, data).backward(back)

    best = fastest({name: lambda of=of: once(*of) for name, of in layers.items()}, repeats)
    shown(f"recurrence, forward + backward, {steps} steps × {samples} × {size}", best)
    # The memory that a fused pass cannot do without: what comes in and goes out, there and back.
    moved = fastest({"copies": lambda: (x.detach().clone(), back.clone()) * 2}, repeats)["copies"]
    print(f"  {'four copies of the data':28}{2 * moved:9.1f} ms")


def step(samples: int, steps: int, size: int, repeats: int) -> None:
    """A whole training step of two dense layers."""
    spikes = (torch.rand(samples, steps, size) < 0.1).to(torch.float32)
    labels = torch.randint(0, size, (samples,))

    def dense(make: Callable[[], nn.Module]) -> nn.Module:
        return nn.Sequential(nn.Linear(size, size), make(), nn.Linear(size, size), make())

    chip: list[nn.Module] = []
    for linear in (nn.Linear(size, size), nn.Linear(size, size)):
        exponent = weight_exponent(linear.weight, 1, 2**17)
        chip += [ChipLinear(linear.weight, exponent), chip_neuron(size, exponent, linear.bias)]
    networks: dict[str, tuple[nn.Module, Runner]] = {
        SNNTORCH: (dense(snntorch_neuron), stepwise),
        FLOAT: (dense(lambda: FloatNeuron(BETA, THRESHOLD)), run),
        CHIP: (nn.Sequential(*chip), run),
    }
    if neuron is not None:
        networks[JELLY] = (dense(jelly_neuron), multistep)

    def trained(network: nn.Module, runner: Runner) -> Callable[[], None]:
        optimizer = torch.optim.Adam(network.parameters(), lr=1e-3)

        def once() -> None:
            optimizer.zero_grad()
            nn.functional.cross_entropy(runner(network, spikes).mean(dim=1), labels).backward()
            optimizer.step()

        return once

    best = fastest({name: trained(*of) for name, of in networks.items()}, repeats)
    shown(f"training step, {size}-{size}-{size} dense, {steps} steps × {samples}", best)
    for name, (network, runner) in networks.items():
        with torch.no_grad():
            print(f"  {name:28}{100 * float(runner(network, spikes).mean()):9.1f} % output rate")


def encoding(clip: Clip, images: int, repeats: int) -> None:
    """Frames per second through the whole way, and through the encoder alone."""
    options = FrameOptions()
    frames = np.random.default_rng(0).integers(0, 256, (images, 34, 34)).astype(np.uint8)
    pixels = encoder_input(torch.from_numpy(frames).float() / 255, clip, options)

    @torch.no_grad()
    def bare() -> None:
        for start in range(0, images, 256):
            clip.module.encode_image(pixels[start : start + 256], normalize=True)

    best = fastest({"bare": bare, "whole": lambda: encode_frames(clip, frames, options)}, repeats)
    print(
        f"CLIP '{clip.name}': {1e3 * images / best['whole']:.0f} frames/s from gray frames to features, "
        f"{best['bare'] / best['whole']:.2f} of the bare encoder's"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--samples", type=int, default=256)
    parser.add_argument("--timesteps", type=int, default=10)
    parser.add_argument("--size", type=int, default=1024)
    parser.add_argument("--repeats", type=int, default=10)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    torch.manual_seed(options.seed)
    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", os.cpu_count() or 1)))
    print(f"{torch.get_num_threads()} threads, seed {options.seed}")
    recurrence(options.samples, options.timesteps, options.size, options.repeats)
    step(options.samples // 4, options.timesteps, options.size // 2, options.repeats)
    encoding(load_clip(device="cpu"), 1024, max(1, options.repeats // 3))


if __name__ == "__main__":
    main()
