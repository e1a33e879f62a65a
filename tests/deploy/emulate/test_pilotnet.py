"""PilotNet-LIF, whose network ships with lava-dl: cores against those that Intel's compiler used."""

from importlib.metadata import PackageNotFoundError, files
from typing import Any

import numpy as np
import pytest

from deploy.connections import Connection, Conv2d, Dense, one_to_one
from deploy.hardware.chip import load_chip
from deploy.map.cut.orders import orders
from deploy.map.cut.slices import layer_parts, to_mapping
from deploy.program.program import Program, make_input, make_population

h5py = pytest.importorskip("h5py")

# Intel's compiler, printed in a public lava-dl notebook.
INTEL = 74


def pilotnet() -> Program:
    """Its layers and connections with weights of zero: what it costs does not depend on weights."""
    try:
        found = [f for f in files("lava-dl") or () if str(f).endswith("pilotnet_lif/network.net")]
    except PackageNotFoundError:
        found = []
    if not found:
        pytest.skip("lava-dl, which ships PilotNet-LIF, is not installed")
    populations, connections = [], list[Connection]()
    source = None
    with h5py.File(str(found[0].locate()), "r") as net:
        for i in sorted(net["layer"], key=int):
            layer = net["layer"][i]
            kind = layer["type"][0].decode()
            shape = tuple(int(n) for n in layer["shape"])
            if kind == "flatten":
                continue
            name = f"{kind}{i}"
            populations.append(make_population(name, shape))
            size = int(np.prod(shape))
            if source is None:
                image = make_input("image", shape)
                connections.append(one_to_one(f"to {name}", "image", name, size))
            elif kind == "conv":
                weight = np.zeros(layer["weight"].shape, np.int32)
                connections.append(
                    Conv2d(
                        f"to {name}", source.name, name, weight, source.shape[1:],
                        _pair(layer["stride"]), _pair(layer["padding"]), _pair(layer["dilation"]),
                        int(layer["groups"][()]),
                    )
                )  # fmt: skip
            else:
                dense = np.zeros((size, source.size), np.int32)
                connections.append(Dense(f"to {name}", source.name, name, dense))
            source = populations[-1]
    return Program((image,), tuple(populations), tuple(connections), ())


def _pair(values: Any) -> tuple[int, int]:
    return int(values[0]), int(values[1])


def test_pilotnet_against_intels_compiler() -> None:
    program, chip = pilotnet(), load_chip("loihi2")
    ours = to_mapping(chip, layer_parts(program, chip, orders(program)))
    used = len(ours.cores)
    print(f"\nPilotNet-LIF on loihi2, cores: Intel's compiler {INTEL}")
    per_layer = ", ".join(f"{p.name} {len(ours.cores_of(p.name))}" for p in program.populations)
    print(f"  ours {used} ({used / INTEL - 1:+.0%}): {per_layer}")
    assert used == 53  # fewer: Intel's halves layers until they fit, ours takes the fewest cores
