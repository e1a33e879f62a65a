"""Runs `.net` files on Lava's netx: `python run_netx.py FOLDER`, a process of its own for the tests.

FOLDER holds N.net and N.npz (spikes [samples, time, C, H, W] or [samples, time, n]; bits) for N = 0,
1, …, with a threshold `delta` where the first layer is a delta encoder, and receives N.npy: the spikes
of the last layer [samples, time, *shape], latency removed.
"""

import sys
from pathlib import Path

import numpy as np
import torch
from lava.lib.dl.netx import hdf5
from lava.magma.core.run_conditions import RunSteps
from lava.magma.core.run_configs import Loihi2SimCfg
from lava.proc import io
from lava.proc.sdn.process import Delta

torch.set_num_threads(1)


def run(path, spikes, bits, delta=None):
    samples, steps = spikes.shape[:2]
    # netx's own input block does not compile (lava-dl 0.6.0): the encoder stands before the network.
    net = hdf5.Network(
        net_config=str(path), input_message_bits=bits, reset_interval=steps, reset_offset=1,
        skip_layers=int(delta is not None),
    )  # fmt: skip
    depth = len(net.layers)
    total = samples * steps
    data = spikes.reshape(total, *spikes.shape[2:]).transpose()  # (W, H, C, time)
    if len(net.inp.shape) == 1:
        data = spikes.reshape(total, -1).T
    padded = np.concatenate([data, np.zeros((*data.shape[:-1], depth), data.dtype)], axis=-1)
    source = io.source.RingBuffer(data=padded)
    sink = io.sink.RingBuffer(shape=net.out.shape, buffer=total + depth)
    drive = source.s_out
    if delta is not None:
        encoder = Delta(shape=net.inp.shape, vth=delta, spike_exp=6, state_exp=6)
        drive.connect(encoder.a_in)
        drive = encoder.s_out
    drive.connect(net.inp)
    net.out.connect(sink.a_in)
    net.run(
        condition=RunSteps(num_steps=total + depth), run_cfg=Loihi2SimCfg(select_tag="fixed_pt")
    )
    found = sink.data.get()[..., depth:]
    net.stop()
    return found.transpose().reshape(samples, steps, *found.shape[-2::-1])


def main(folder):
    for path in sorted(folder.glob("*.net")):
        with np.load(path.with_suffix(".npz")) as given:
            found = run(path, given["spikes"].astype(np.int32), int(given["bits"]),
                        int(given["delta"]) if "delta" in given else None)  # fmt: skip
        np.save(path.with_suffix(".npy"), found.astype(np.int64))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
