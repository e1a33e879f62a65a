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

Ways = dict[str, tuple[nn.Module, Runner, Tensor]]

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


def kept(network: nn.Module, runner: Runner, x: Tensor) -> int:
    """Bytes that a forward pass keeps for the backward one, without the parameters."""
    found: dict[int, int] = {}
    own = {p.untyped_storage().data_ptr() for p in network.parameters()}

    def note(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in own:
            found[storage.data_ptr()] = storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
        runner(network, x)
    return sum(found.values())


def compared(title: str, ways: Ways, repeats: int,
             images: int) -> None:  # fmt: skip
    """Print CPU time of each, how many times its own that of the peers is, and the memory of one of so
    many images and steps."""
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
        memory = kept(*ways[name]) / images / 1e6
        print(f"  {name:28}{1e3 * cpu:9.1f} ms   {ratios}   {memory:6.3f} MB an image and step")


def layer(title: str, samples: int, shape: tuple[int, ...], repeats: int) -> None:
    """One layer of neurons."""
    x = (1.5 * torch.randn(samples, STEPS, *shape)).requires_grad_()
    ways: Ways = {
        SNNTORCH: (snntorch_neuron(), stepwise, x),
        FLOAT: (neurons(1.0), run, x),
        CHIP: (chip_neuron(shape), run, torch.round(x.detach() * UNIT).requires_grad_()),
    }
    if neuron is not None:
        first = x.detach().transpose(0, 1).contiguous().requires_grad_()
        ways[JELLY] = (jelly_neuron(), multistep, first)
    size = "×".join(str(n) for n in shape)
    compared(f"{title}: {STEPS} steps × {samples} samples × {size}", ways, repeats, STEPS * samples)
    with torch.no_grad():
        rates = (float(runner(network, x).mean()) for network, runner, x in ways.values())
        print("  firing rates", *(f"{100 * rate:.2f} %" for rate in rates))


def replaced(of: nn.Module, make: Callable[[], nn.Module], *kinds: type[nn.Module]) -> nn.Module:
    """A copy in which all modules of some kinds are others."""
    made = copy.deepcopy(of)
    for parent in list(made.modules()):
        for name, child in parent.named_children():
            if isinstance(child, kinds):
                setattr(parent, name, make())
    return made


def in_bfloat16(network: nn.Module, x: Tensor) -> Tensor:
    """As ours is trained on a CPU."""
    with torch.autocast("cpu", torch.bfloat16):
        return run(network, x).float()


def ours_and_its_floor(network: nn.Module, x: Tensor) -> Ways:
    """Ours in both precisions; without neurons and norms it is what no training can be faster than."""
    bare = replaced(network, nn.Identity, snn.SpikingNeuron, nn.BatchNorm2d)
    ways: Ways = {}
    for name, runner in (("float32", run), ("bfloat16", in_bfloat16)):
        for what, of in (("ours", network), ("its convolutions", bare)):
            made = copy.deepcopy(of)
            channels_last_(made)
            ways[FLOAT if (what, name) == ("ours", "float32") else f"{what}, {name}"] = (
                made, runner, x.clone().requires_grad_(),
            )  # fmt: skip
    return ways


def block(samples: int, config: SpikeClipConfig, repeats: int) -> None:
    """One block of the deployable encoder, weights and all else but the neurons the same."""
    ours = float_block(config).train()
    x = 2 * torch.randn(samples, STEPS, config.width, config.side, config.side)
    peer = replaced(ours, snntorch_neuron, snn.SpikingNeuron)
    ways: Ways = {SNNTORCH: (peer, stepwise, x.clone().requires_grad_())}
    ways |= ours_and_its_floor(ours, x)
    if neuron is not None:
        first = x.transpose(0, 1).contiguous().requires_grad_()
        ways[JELLY] = (replaced(ours, jelly_neuron, snn.SpikingNeuron), multistep, first)
    shape = f"{config.width}×{config.side}×{config.side}"
    compared(
        f"one block: {STEPS} steps × {samples} samples × {shape}", ways, repeats, STEPS * samples
    )


def encoder(samples: int, config: SpikeClipConfig, repeats: int) -> None:
    """The encoder of a bundled configuration for CPUs; the peers' neurons in the same modules, in
    float32, as these libraries train on a CPU.
    """
    ours = float_encoder(config).train()
    x = torch.rand(samples, config.steps, config.channels, config.image_size, config.image_size)

    def with_neurons(make: Callable[[], nn.Module]) -> nn.Module:
        made = replaced(ours, make, snn.SpikingNeuron)
        made.tokenizer.steps = -1  # as many as there are; the others' layouts differ
        return made

    peer = with_neurons(snntorch_neuron)
    ways: Ways = {SNNTORCH: (peer, stepwise_alone, x.clone().requires_grad_())}
    ways |= ours_and_its_floor(ours, x)
    if neuron is not None:
        first = x.transpose(0, 1).contiguous().requires_grad_()
        ways[JELLY] = (with_neurons(jelly_neuron), multistep, first)
    compared(
        f"whole encoder: {config.steps} steps × {samples} images, {config.width} wide, depths "
        f"{list(config.depths)}", ways, repeats, config.steps * samples,
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
