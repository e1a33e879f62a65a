"""lava-dl's SLAYER: its quantized forward pass on the CPU, its files, and where it disagrees."""

from pathlib import Path
from types import SimpleNamespace

import h5py
import numpy as np
import pytest

torch = pytest.importorskip("torch")
slayer = pytest.importorskip("lava.lib.dl.slayer")

from deploy.emulate.fast import emulate_fast
from deploy.errors import BadInput
from export.net_format.read import read_net

SAMPLES, STEPS, NETWORKS = 2, 20, 16
UNIT = 64 * 64  # one of SLAYER's states is 4096 of the chip's


def neuron_parameters(rng, **more):
    return {
        "threshold": float(rng.uniform(0.3, 2)),
        "current_decay": float(rng.choice([1.0, rng.uniform(0, 1)])),
        "voltage_decay": float(rng.uniform(0, 0.999)),
        **more,
    }


def random_blocks(rng, delays):
    """Blocks of a random network, and the shape of its input."""
    cuba = slayer.block.cuba
    blocks, shape = [], tuple(int(n) for n in (rng.integers(1, 4), *rng.integers(4, 8, 2)))
    first = shape
    for _ in range(int(rng.integers(0, 3))):
        kernel, stride = int(rng.integers(1, 4)), int(rng.integers(1, 3))
        more = {"norm": slayer.neuron.norm.MeanOnlyBatchNorm} if rng.random() < 0.5 else {}
        if rng.random() < 0.3 and min(shape[1:]) >= 2:
            blocks.append(cuba.Pool(neuron_parameters(rng), 2, delay_shift=False, weight_scale=1.1))
            # SLAYER pads what its kernel does not divide.
            shape = (shape[0], *((n + n % 2) // 2 for n in shape[1:]))
            continue
        groups = shape[0] if rng.random() < 0.3 else 1
        channels = groups * int(rng.integers(1, 4))
        blocks.append(
            cuba.Conv(
                neuron_parameters(rng, **more), shape[0], channels, kernel, stride=stride,
                padding=(1, 0), groups=groups, weight_scale=3, delay=delays, delay_shift=False,
            )
        )  # fmt: skip
        shape = (
            channels,
            *((n + 2 * p - kernel) // stride + 1 for n, p in zip(shape[1:], (1, 0), strict=True)),
        )
        if min(shape) < 1:
            return random_blocks(rng, delays)
    blocks.append(cuba.Flatten())
    size = int(np.prod(shape))
    for _ in range(int(rng.integers(1, 3))):
        targets = int(rng.integers(2, 9))
        kind = cuba.Recurrent if rng.random() < 0.4 else cuba.Dense
        more = {}
        if kind is cuba.Dense and rng.random() < 0.5:
            more = {"norm": slayer.neuron.norm.MeanOnlyBatchNorm}
        if rng.random() < 0.5:
            more |= {
                "shared_param": False,
                "current_decay": (0.1, 0.9),
                "voltage_decay": (0.1, 0.9),
            }
        blocks.append(
            kind(
                neuron_parameters(rng, **more), size, targets, weight_scale=3, delay=delays,
                delay_shift=False,
            )
        )  # fmt: skip
        size = targets
    return blocks, first


def run_slayer(blocks, spikes, rng):
    """Outputs and recorded current and voltage of every block with neurons, on cleared state."""
    x = torch.from_numpy(spikes)
    found = []
    for block in blocks:
        recorded = SimpleNamespace(block=block, current=[], voltage=[], s=[])
        if hasattr(block, "neuron"):
            prepare(block, x, rng)
            record(block.neuron, recorded)
            found.append(recorded)
        x = block(x)
        recorded.out = x.numpy()
    return found


def prepare(block, x, rng):
    """Random means and delays, which SLAYER makes at the first pass; then states are cleared."""
    block.eval()
    size = block(x).shape[1]
    if block.neuron.norm is not None:
        block.neuron.norm.running_mean = torch.from_numpy(rng.uniform(-0.3, 0.3, size)).float()
        block.neuron.norm.num_features = size
    if block.delay is not None:
        block.delay.delay.data = torch.from_numpy(rng.integers(0, 5, size)).float() + 0.25
    clear(block)


def clear(block):
    for state in ("current_state", "voltage_state"):
        setattr(block.neuron, state, torch.zeros_like(getattr(block.neuron, state)))


def record(neuron, recorded):
    dynamics, spike = neuron.dynamics, neuron.spike

    def recording(z):
        current, voltage = dynamics(z)
        recorded.current.append(current.detach().numpy().copy())
        recorded.voltage.append(voltage.detach().numpy().copy())
        return current, voltage

    def spiking(voltage):
        s = spike(voltage)
        recorded.s.append(s.detach().numpy().copy())
        return s

    neuron.dynamics, neuron.spike = recording, spiking


def export_file(path, blocks):
    """lava-dl's own export of a chain of blocks."""
    with h5py.File(path, "w") as file:
        for i, block in enumerate(blocks):
            block.export_hdf5(file.create_group(f"layer/{i}"))


def chip(parts):
    """SLAYER's [samples, *shape, time] parts → [samples, time, *shape], in the chip's units."""
    return np.moveaxis(np.concatenate(parts, axis=-1), -1, 1)


def assert_equal_to_slayer(path: Path, seed: int, delays: bool) -> int:
    rng = np.random.default_rng(seed)
    torch.manual_seed(seed)
    with torch.no_grad():
        blocks, shape = random_blocks(rng, delays)
        spikes = (rng.random((SAMPLES, *shape, STEPS)) < 0.4).astype(np.float32)
        found = run_slayer(blocks, spikes, rng)
        export_file(path, blocks)
    program = read_net(path, input_shape=shape)
    inputs = {"input": np.moveaxis(spikes, -1, 1).astype(np.uint8)}
    trace = emulate_fast(program, inputs)
    names = [f"layer{i}" for i, block in enumerate(blocks) if hasattr(block, "neuron")]
    for name, recorded in zip(names, found, strict=True):
        u, v, s = (chip(parts) for parts in (recorded.current, recorded.voltage, recorded.s))
        p = program.population(name)
        s, u, v = (a.reshape(SAMPLES, STEPS, *p.shape) for a in (s, u, v))
        assert np.array_equal(trace.s[name], s)
        # SLAYER adds a bias to its current, and shows v as it was before a spike clears it.
        assert np.array_equal(trace.u[name] + p.bias, u * UNIT)
        assert np.array_equal(trace.v[name], np.where(s > 0, 0, v * UNIT))
    last = program.populations[-1].name
    out = np.moveaxis(found[-1].out, -1, 1)
    assert np.array_equal(trace.s[last], out.reshape(trace.s[last].shape))
    return int(sum(a.any() for a in trace.s.values()))


@pytest.mark.parametrize("delays", [False, True], ids=["no delays", "delays"])
def test_random_networks_equal_slayer_in_every_state(tmp_path, delays):
    fired = [assert_equal_to_slayer(tmp_path / "a.net", seed, delays) for seed in range(NETWORKS)]
    assert sum(fired) > NETWORKS


@pytest.mark.long
@pytest.mark.parametrize("delays", [False, True], ids=["no delays", "delays"])
def test_many_random_networks_equal_slayer_in_every_state(tmp_path, delays):
    for seed in range(1000, 1300):
        assert_equal_to_slayer(tmp_path / "a.net", seed, delays)


def test_an_input_block_is_driven_by_transformed_data(tmp_path):
    block = slayer.block.cuba.Input(
        {"threshold": 0.9, "current_decay": 0.4, "voltage_decay": 0.1},
        weight=0.7, bias=0.13, delay_shift=False,
    )  # fmt: skip
    data = np.random.default_rng(0).integers(-4, 4, (2, 3, 4, 5, 12)).astype(np.float32)
    with torch.no_grad():
        spikes = np.moveaxis(block(torch.from_numpy(data)).numpy(), -1, 1)
        dense = slayer.block.cuba.Dense(
            {"threshold": 1, "current_decay": 1, "voltage_decay": 0}, 60, 2
        )
        dense(torch.zeros(1, 60, 1))
        export_file(tmp_path / "a.net", [block, dense])
    with h5py.File(tmp_path / "a.net") as file:
        weight, bias = (int(file[f"layer/0/{field}"][()].flat[0]) for field in ("weight", "bias"))
    assert (weight, bias) == (44, 8)
    messages = np.moveaxis(data, -1, 1).astype(np.int32) * weight + bias
    program = read_net(tmp_path / "a.net", input_range=(-256, 256))
    trace = emulate_fast(program, {"input": messages})
    assert spikes.any()
    assert np.array_equal(trace.s["layer0"], spikes)


def test_a_bias_enters_a_recurrent_current_for_good(tmp_path):
    """SLAYER keeps the state of a recurrent block's current with its bias in it; no chip does."""
    block = slayer.block.cuba.Recurrent(
        {
            "threshold": 9.0, "current_decay": 0.5, "voltage_decay": 0.1,
            "norm": slayer.neuron.norm.MeanOnlyBatchNorm,
        },
        2, 1, delay_shift=False,
    )  # fmt: skip
    recorded = SimpleNamespace(current=[], voltage=[], s=[])
    with torch.no_grad():
        block.eval()(torch.zeros(1, 2, 1))
        block.neuron.norm.running_mean[:] = -0.5
        clear(block)
        record(block.neuron, recorded)
        block(torch.zeros(1, 2, 3))
        export_file(tmp_path / "a.net", [block])
    u = chip(recorded.current).reshape(-1) * UNIT
    assert u.tolist() == [2048, 3072, 3584]
    program = read_net(tmp_path / "a.net")
    trace = emulate_fast(program, {"input": np.zeros((1, 3, 2), np.int32)})
    assert program.populations[0].bias.tolist() == [2048]
    assert not trace.u["layer0"].any()


def dense_block(**more):
    parameters = {"threshold": 1.0, "current_decay": 1.0, "voltage_decay": 0.1} | more
    block = slayer.block.cuba.Dense(parameters, 2, 1, delay_shift=False)
    block(torch.zeros(1, 2, 1))
    return block


def test_quantize_hook_fx_allows_twice_what_a_weight_holds(tmp_path):
    quantized = slayer.utils.quantize_hook_fx(torch.tensor([-9.0, 9.0]), descale=True)
    assert quantized.tolist() == [-512, 510]
    assert slayer.utils.quantize_hook_fx(torch.tensor([0.02, 0.05]), descale=True).tolist() == [
        2,
        4,
    ]
    block = slayer.block.cuba.Dense(
        {"threshold": 1.0, "current_decay": 1.0, "voltage_decay": 0.1}, 2, 1,
        pre_hook_fx=slayer.utils.quantize_hook_fx,
    )  # fmt: skip
    block(torch.zeros(1, 2, 1))
    with torch.no_grad():
        block.synapse.weight[:] = 9.0
        export_file(tmp_path / "a.net", [block])
    with pytest.raises(BadInput, match=r"layer0_weight.*weight 510 is outside -256\.\.254"):
        read_net(tmp_path / "a.net")


def test_quantize_8bit_reaches_a_weight_that_two_connections_share(tmp_path):
    block = dense_block()
    with torch.no_grad():
        block.synapse.weight[:] = torch.tensor([-9.0, 9.0]).reshape(1, 2, 1, 1, 1)
        export_file(tmp_path / "a.net", [block])
    program = read_net(tmp_path / "a.net")
    assert [c.weight.tolist() for c in program.connections] == [[[-254, 254]], [[-2, 0]]]
    trace = emulate_fast(program, {"input": np.array([[[1, 0]]])})
    assert trace.u["layer0"].tolist() == [[[-256 * 64]]]


def test_a_threshold_is_cut_and_a_decay_rounded(tmp_path):
    block = dense_block(threshold=0.999, voltage_decay=414.6 / 4096)
    export_file(tmp_path / "a.net", [block])
    (population,) = read_net(tmp_path / "a.net").populations
    assert int(population.vth[0]) == 63  # int(63.9)
    # lava-dl 0.6.0 stores the decay that it computes with; other versions stored one less.
    assert int(population.dv[0]) == 415
