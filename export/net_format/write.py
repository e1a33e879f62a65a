"""`Program` → lava-dl's `.net` file, which `lava.lib.dl.netx.hdf5.Network` runs spike for spike.

Load it with `reset_interval` = the steps of a sample and `reset_offset=1` (a source process feeds
it), and with `input_message_bits` where messages are graded. What loops or delays carry, Lava does
not clear between samples.
"""

import io
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from deploy.compare.parity import compare_registers
from deploy.errors import CheckFailed
from deploy.files import atomic_path
from deploy.program.program import IntArray, Population, Program, registers
from export.net_format.chain import NetxLayer, netx_layers, netx_program, stored
from export.net_format.neuron import BIAS_EXP
from export.net_format.read import read_net


def write_net(path: str | Path, program: Program) -> None:
    """Write a `.net` file atomically, and read it back, equal register by register.

    Raises BadInput naming the node that netx cannot hold, and why; CheckFailed where what is read
    back differs.
    """
    path = Path(path)
    content = io.BytesIO()
    with h5py.File(content, "w") as file:
        _write(file, program, netx_layers(program))
    with atomic_path(path) as temporary:
        temporary.write_bytes(content.getvalue())
    (node,) = program.inputs
    again = read_net(path, input_range=(node.low, node.high))
    different = compare_registers(registers(netx_program(program)), registers(again))
    if different is not None:
        raise CheckFailed(f"{path}: read back, it holds another {different}")


def _write(file: h5py.File, program: Program, layers: tuple[NetxLayer, ...]) -> None:
    (drive,) = program.inputs
    _group(file, drive.name, "input", drive.shape)
    shape = drive.shape
    for layer in layers:
        p, weight, how = layer.population, layer.weight, layer.how
        if not how.images and len(shape) > 1:
            _group(file, f"{p.name}_flatten", "flatten", (weight.source_size, 1, 1))
        group = _group(file, p.name, how.layer + "_rec" * (layer.loop is not None), p.shape)
        group["weight"] = weight.weight
        if layer.loop is not None:
            group["weight_rec"] = layer.loop.weight
        if layer.delays is not None:
            group["delay"] = layer.delays
        for field, said in how.fields(weight).items():
            group[field] = said
        if p.bias.any():
            group["bias"] = _bias(p)
        du = stored(p.du)
        assert du is not None  # `netx_layers` has checked it
        neuron: dict[str, Any] = {
            "type": "CUBA",
            "iDecay": du + 1,
            "vDecay": stored(p.dv),
            "vThMant": stored(p.vth),
            "refDelay": 1,
            "gradedSpike": False,
        }
        for field, value in neuron.items():
            group[f"neuron/{field}"] = value
        shape = p.shape


def _group(file: h5py.File, name: str, kind: str, shape: tuple[int, ...]) -> h5py.Group:
    index = len(file["layer"]) if "layer" in file else 0
    group = file.create_group(f"layer/{index}")
    group.create_dataset("type", (1,), "S10", [kind.encode("ascii")])
    group["shape"] = np.array(shape)
    group["name"] = name  # netx does not look at it; our reader gives nodes their names back
    return group


def _bias(p: Population) -> IntArray:
    mantissa = p.bias >> BIAS_EXP
    each = stored(mantissa)
    if len(p.shape) == 1:
        return mantissa
    if each is not None:
        return np.broadcast_to(each, (p.shape[0],))
    # netx takes a bias for every neuron in its own order: (width, height, channel).
    return np.ascontiguousarray(mantissa.transpose(2, 1, 0))
