"""Real networks on Loihi 2: cores, use, packets beside the baselines, and the range of the energy.

    python tests/benchmarks/bench_mapped.py [adapter] [nir] [pilotnet]

NeuroCLIP's bundled adapter on its own test samples (needs torch); the NIR paper's convolutional
network on N-MNIST (NEUROCLIP_DATA); PilotNet-LIF, which ships with lava-dl, on the image there.
A board of 8 chips is taken where one is too small.
"""

import sys
from importlib.metadata import PackageNotFoundError, files
from pathlib import Path

import numpy as np
from bench_partition import table, timed
from networks import data_folder

from deploy.count.energy import bundled_coefficients, energy_report
from deploy.count.operations import count
from deploy.emulate.fast import emulate_fast
from deploy.errors import CheckFailed
from deploy.hardware.chip import load_chip
from deploy.map.core.costs import core_report
from deploy.map.partition import partition, require_fit
from deploy.map.validate import validate
from deploy.program.program import Program
from neuroclip.storage.checkpoint_files import DEFAULT_MODEL

Run = tuple[Program, dict[str, np.ndarray]]
SAMPLES = 20


class Missing(Exception):
    """What a network needs and is not here."""


def adapter() -> Run:
    try:
        from export.frontends.checkpoint import from_checkpoint
    except ImportError as error:
        raise Missing(f"torch and what belongs to it: {error}") from error
    from export.frontends.frontend import Request
    from export.lowering.exact import lower

    found = from_checkpoint(DEFAULT_MODEL, Request(samples=SAMPLES))
    return lower(found.graph, dt=1e-4, input_ranges=found.input_ranges), dict(found.inputs)


def nir() -> Run:
    folder = data_folder()
    if folder is None:
        raise Missing("NEUROCLIP_DATA with nmnist/ and nir/cnn_sinabs.nir")
    from export.frontends.nir import from_nir
    from export.lowering.exact import lower

    found = from_nir(folder / "nir" / "cnn_sinabs.nir", folder / "nmnist", SAMPLES)
    return lower(found.graph, input_ranges=found.input_ranges), dict(found.inputs)


def pilotnet() -> Run:
    try:
        shipped = {p.name: p for p in files("lava-dl") or () if p.parent.name == "pilotnet_lif"}
    except PackageNotFoundError:
        shipped = {}
    if not {"network.net", "image.npy"} <= shipped.keys():
        raise Missing("lava-dl, which ships it")
    from export.net_format.read import read_net

    network, image = (Path(str(shipped[n].locate())) for n in ("network.net", "image.npy"))
    # 17 steps a sample, as its recordings have.
    steps = np.repeat(np.load(image).transpose().astype(np.int32)[None, None], 17, axis=1)
    return read_net(network, input_range=(0, 255)), {"input": steps}


NETWORKS = {
    "adapter": ("NeuroCLIP's adapter", adapter),
    "nir": ("NIR convolutional network", nir),
    "pilotnet": ("PilotNet-LIF", pilotnet),
}


def measure(name: str, program: Program, inputs: dict[str, np.ndarray]) -> None:
    chip = load_chip("loihi2")
    try:
        require_fit(program, chip)
    except CheckFailed as refused:
        print(f"{name}: {refused}")
        chip = load_chip("kapoho-point")
    sent = emulate_fast(program, inputs, record="none").messages
    samples, steps = next(iter(inputs.values())).shape[:2]
    mapping, seconds = timed(lambda: partition(program, chip, sent))
    report = core_report(program, chip, mapping)
    neurons = sum(p.size for p in program.populations)
    print(
        f"{name} on {chip.name}: {neurons:,} neurons, {samples} samples of {steps} steps; "
        f"{report['used']} cores on {report['chips']} chips, {seconds:.1f} s, "
        f"{len(validate(program, chip, mapping))} violations; cores {report['per_node']}"
    )
    use = ", ".join(
        f"{resource.replace('_', ' ')} {found['mean']:.1%} ({found['max']:.1%})"
        for resource, found in report["utilisation"].items()
        if found["mean"] is not None
    )
    print(f"  mean use (fullest core): {use}")
    table(program, chip, sent, mapping, samples)
    counts = count(program, sent, samples, steps, mapping, chip)
    low, high = energy_report(counts, bundled_coefficients())["energy_range_j"]
    print(
        f"  energy over all coefficient sets: {low:.3g} to {high:.3g} J per inference", flush=True
    )


if __name__ == "__main__":
    for chosen in sys.argv[1:] or NETWORKS:
        name, make = NETWORKS[chosen]
        try:
            made = make()
        except Missing as missing:
            print(f"{name}: left out, needs {missing}")
            continue
        measure(name, *made)
