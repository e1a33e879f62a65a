"""SpikeCLIP's neurons and one block of its encoder beside SpikingJelly's and snnTorch's.

Forward and backward of v ← v + (x − v)/2, threshold 1, hard reset, sigmoid surrogate of slope 4, at
the sizes of the paper's encoder; then of one whole block (spike-driven attention and MLP) with the
neurons of each. All see the same data in the layout that they like best: ours [samples, time, …],
SpikingJelly's multi-step mode [time, samples, …], snnTorch's one step after the other. Each figure is
the CPU time of the best of rounds that take turns; nothing here asserts a time.
"""

import argparse
import copy
import os
from collections.abc import Callable

import snntorch as snn
import torch
from bench_training import CHIP, FLOAT, JELLY, SNNTORCH, Runner, stepwise
from timing import machine, rounds
from torch import Tensor, nn

from neuroclip.chip.neurons import ChipNeuron, run
from neuroclip.chip.synapses import V_UNIT
from neuroclip.compute.devices import channels_last_
from neuroclip.spikeclip.config import SpikeClipConfig
from neuroclip.spikeclip.encoder import DECAY, SURROGATE, float_block, float_encoder, neurons
from neuroclip.spikeclip.training.settings import read_settings

try:
    from spikingjelly.activation_based import functional, neuron, surrogate
except ImportError:
    neuron = None

STEPS = 4
# Of the chip's neuron: a synaptic sum per 1.0 of current.
UNIT = 2.0**9


def multistep(network: nn.Module, x: Tensor) -> Tensor:
    """[T, N, …], all steps of a layer before the next layer."""
    functional.reset_net(network)
    return network(x)


def snntorch_neuron() -> nn.Module:
    """m = 2·v ← m/2 + x, which fires at 2."""
    return snn.Leaky(
        beta=DECAY, threshold=2.0, init_hidden=True, reset_mechanism="zero", reset_delay=False,
        spike_grad=SURROGATE,
    )  # fmt: skip


def jelly_neuron() -> nn.Module:
    return neuron.LIFNode(
        tau=2.0, decay_input=True, v_threshold=1.0, v_reset=0.0, step_mode="m",
        surrogate_function=surrogate.Sigmoid(alpha=4.0),
    )  # fmt: skip


def chip_neuron(shape: tuple[int, ...]) -> nn.Module:
    return ChipNeuron(
        torch.zeros(shape[0], 1, 1), unit=V_UNIT * UNIT, shape=shape,
        dv=round(4096 * (1 - DECAY)), vth=round(2 * UNIT), surrogate=SURROGATE,
    )  # fmt: skip


def forward_and_backward(network: nn.Module, runner: Runner, x: Tensor, back: Tensor) -> Tensor:
    for leaf in (x, *network.parameters()):
        leaf.grad = None
    out = runner(network, x)
    out.backward(back)
    return out


def compared(title: str, ways: dict[str, tuple[nn.Module, Runner, Tensor]], repeats: int) -> None:
    """Print CPU time of each, and how many times its own that of the peers is."""
    backs = {
        name: torch.rand(runner(network, x).shape) for name, (network, runner, x) in ways.items()
    }
    calls = {
        name: lambda of=of, back=backs[name]: forward_and_backward(*of, back)
        for name, of in ways.items()
    }
    best = rounds(calls, repeats)
    print(title)
    for name, (_, cpu) in best.items():
        peers = [peer for peer in (SNNTORCH, JELLY) if peer in best]
        ratios = "   ".join(f"{best[peer][1] / cpu:5.2f}× {peer.split()[0]}" for peer in peers)
        print(f"  {name:28}{1e3 * cpu:9.1f} ms   {ratios}")


def layer(title: str, samples: int, shape: tuple[int, ...], repeats: int) -> None:
    """One layer of neurons."""
    x = (1.5 * torch.randn(samples, STEPS, *shape)).requires_grad_()
    ways: dict[str, tuple[nn.Module, Runner, Tensor]] = {
        SNNTORCH: (snntorch_neuron(), stepwise, x),
        FLOAT: (neurons(1.0), run, x),
        CHIP: (chip_neuron(shape), run, torch.round(x.detach() * UNIT).requires_grad_()),
    }
    if neuron is not None:
        first = x.detach().transpose(0, 1).contiguous().requires_grad_()
        ways[JELLY] = (jelly_neuron(), multistep, first)
    size = "×".join(str(n) for n in shape)
    compared(f"{title}: {STEPS} steps × {samples} samples × {size}", ways, repeats)
    with torch.no_grad():
        rates = (float(runner(network, x).mean()) for network, runner, x in ways.values())
        print("  firing rates", *(f"{100 * rate:.2f} %" for rate in rates))


def block(samples: int, config: SpikeClipConfig, repeats: int) -> None:
    """One block of the deployable encoder, weights and all else but the neurons the same."""
    ours = float_block(config).train()
    x = 2 * torch.randn(samples, STEPS, config.width, config.side, config.side)

    def with_neurons(make: Callable[[], nn.Module]) -> nn.Module:
        made = copy.deepcopy(ours)
        for parent in (made, made.attention):
            for name, child in parent.named_children():
                if isinstance(child, snn.SpikingNeuron):
                    setattr(parent, name, make())
        return made

    ways: dict[str, tuple[nn.Module, Runner, Tensor]] = {
        SNNTORCH: (with_neurons(snntorch_neuron), stepwise, x.clone().requires_grad_()),
        FLOAT: (ours, run, x.clone().requires_grad_()),
    }
    if neuron is not None:
        first = x.transpose(0, 1).contiguous().requires_grad_()
        ways[JELLY] = (with_neurons(jelly_neuron), multistep, first)
    shape = f"{config.width}×{config.side}×{config.side}"
    compared(f"one block: {STEPS} steps × {samples} samples × {shape}", ways, repeats)


def encoder(samples: int, config: SpikeClipConfig, repeats: int) -> None:
    """The encoder of a bundled configuration for CPUs: ours in bfloat16 as it is trained, and in
    float32; the peers' neurons in the same modules, in float32, as these libraries train on a CPU.
    Without neurons and norms ours is what no training in bfloat16 can be faster than.
    """
    ours = float_encoder(config).train()
    x = torch.rand(samples, config.steps, config.channels, config.image_size, config.image_size)

    def mixed(network: nn.Module, x: Tensor) -> Tensor:
        with torch.autocast("cpu", torch.bfloat16):
            return run(network, x).float()

    def replaced(make: Callable[[], nn.Module], *kinds: type[nn.Module]) -> nn.Module:
        made = copy.deepcopy(ours)
        for parent in list(made.modules()):
            for name, child in parent.named_children():
                if isinstance(child, kinds):
                    setattr(parent, name, make())
        return made

    def with_neurons(make: Callable[[], nn.Module]) -> nn.Module:
        made = replaced(make, snn.SpikingNeuron)
        made.tokenizer.steps = -1  # as many as there are; the others' layouts differ
        return made

    lasting = copy.deepcopy(ours)
    bare = replaced(nn.Identity, snn.SpikingNeuron, nn.BatchNorm2d)
    for network in (lasting, bare):
        channels_last_(network)
    ways: dict[str, tuple[nn.Module, Runner, Tensor]] = {
        SNNTORCH: (with_neurons(snntorch_neuron), stepwise_alone, x.clone().requires_grad_()),
        FLOAT: (copy.deepcopy(lasting), run, x.clone().requires_grad_()),
        "fused, bfloat16": (lasting, mixed, x.clone().requires_grad_()),
        "its convolutions, bfloat16": (bare, mixed, x.clone().requires_grad_()),
    }
    if neuron is not None:
        first = x.transpose(0, 1).contiguous().requires_grad_()
        ways[JELLY] = (with_neurons(jelly_neuron), multistep, first)
    compared(
        f"whole encoder: {config.steps} steps × {samples} images, {config.width} wide, depths "
        f"{list(config.depths)}", ways, repeats,
    )  # fmt: skip


def stepwise_alone(network: nn.Module, x: Tensor) -> Tensor:
    """One step after the other, each [N, 1, …]: the tokenizer's own steps are one."""
    for module in network.modules():
        if isinstance(module, snn.SpikingNeuron):
            module.reset_mem()
    return torch.cat([network(x[:, t, None]) for t in range(x.shape[1])], dim=1)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--samples", type=int, default=64)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    torch.manual_seed(options.seed)
    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", os.cpu_count() or 1)))
    print(f"{machine()}, seed {options.seed}; forward + backward")
    config = SpikeClipConfig()
    channels = config.tokenizer_channels
    size = config.image_size
    layer("tokenizer, first neurons", options.samples, (channels[0], size, size), options.repeats)
    layer("block, neurons", options.samples, (config.width, config.side, config.side),
          options.repeats)  # fmt: skip
    block(max(1, options.samples // 8), config, max(1, options.repeats - 2))
    small = read_settings("cifar10-cpu").model
    encoder(options.samples, small, max(1, options.repeats - 2))


if __name__ == "__main__":
    main()
