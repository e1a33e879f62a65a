"""Spikingformer-4-384, deployable, random weights: every stage to one image on the emulator.

    python tests/benchmarks/bench_full.py [--skips fan-in stream] [--chip NAME|FILE] [--small]

For each lowering of the residual skips: lowering, proof, partition and placement, the independent
validator, one image of 4 steps, and its counts: neurons, synapses, cores, chips, the resource that
limits each layer, processor seconds of all threads, and the most memory so far. Needs torch. The
lowerings run one after another in a process each, so that memory is each one's own. --small: a model
of the same shape, 32 channels wide and 2 blocks deep.
"""

import argparse
import resource
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from typing import TypeVar

import numpy as np
import torch
from torch import nn

from deploy.count.operations import count
from deploy.emulate.fast import emulate_fast
from deploy.errors import CheckFailed
from deploy.hardware.chip import Chip, amount, load_chip
from deploy.hardware.mapping import Mapping
from deploy.map.core.costs import RESOURCES, loads
from deploy.map.core.hypergraph import parts_of
from deploy.map.partition import partition
from deploy.map.validate import validate
from deploy.program.program import Program
from deploy.program.residual_stream import as_stream
from deploy.prove.proof import prove
from export.lowering.exact import lower
from export.nir_format.write.module import to_nir
from neuroclip.chip.network import INPUT
from neuroclip.chip.neurons import run
from neuroclip.spikeclip.config import SpikeClipConfig
from neuroclip.spikeclip.encoder import NormedConv2d
from neuroclip.spikeclip.model import SpikeClip, messages, quantized_model, repeated

Made = TypeVar("Made")

LABELS = 10
# With which no sum that leaves 21 bits is excluded by proof, but weights keep their bits: see
# `SpikeClipConfig.sum_factor`; the smallest at which random weights do not round to nothing.
FULL = SpikeClipConfig(sum_factor=8)
SMALL = SpikeClipConfig(width=32, blocks=2, features=64, sum_factor=1)
# Random weights with which neurons fire: gains and offsets of the BatchNorms, set on random images.
GAIN, OFFSET, ROUNDS, IMAGES = (1.5, 3.0), (-0.4, 1.4), 3, 2


@torch.no_grad()
def random_model(config: SpikeClipConfig, seed: int = 0) -> SpikeClip:
    """A SpikeCLIP in floating point whose neurons fire."""
    torch.manual_seed(seed)
    model = SpikeClip(config)
    for module in model.encoder.modules():
        if isinstance(module, NormedConv2d):
            nn.init.uniform_(module.norm.weight, *GAIN)
            nn.init.uniform_(module.norm.bias, *OFFSET)
    size = (config.channels, config.image_size, config.image_size)
    pixels = torch.rand(IMAGES, config.steps, *size)
    for _ in range(ROUNDS):
        run(model.encoder.train(), pixels)
    return model.eval()


def program_of(config: SpikeClipConfig, skips: str) -> tuple[Program, dict[str, np.ndarray]]:
    """The program of a random model, through NIR, and one random image."""
    model = random_model(config)
    text = nn.functional.normalize(torch.randn(LABELS, config.features), dim=1)
    wiring = quantized_model(model, text).eval().wiring()
    graph = to_nir(wiring.network(("readout",)))
    program = lower(graph, input_ranges={INPUT: (0, config.message_max)})
    size = (1, config.channels, config.image_size, config.image_size)
    image = torch.randint(0, 256, size).to(torch.uint8)
    sent = repeated(config, messages(config, image)).numpy().astype(np.int16)
    if skips == "stream":
        program = as_stream(program, wiring.readers)
    return program, {INPUT: sent}


class Stages:
    """Prints what each stage took."""

    def time(self, name: str, make: Callable[[], Made]) -> Made:
        start = time.process_time()
        made = make()
        seconds = time.process_time() - start
        memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
        print(f"  {name:12} {seconds:7.1f} s of the processor, {memory:5.2f} GiB", flush=True)
        return made


def measure(config: SpikeClipConfig, skips: str, chip: Chip) -> None:
    """One lowering through every stage. Raises CheckFailed where it does not fit."""
    print(f"skips: {skips}, on {chip.name}", flush=True)
    stages = Stages()
    program, inputs = stages.time("lowering", lambda: program_of(config, skips))
    total = sum(c.synapse_count() for c in program.connections)
    held = sum(c.weight.size for c in program.connections)
    print(
        f"    {len(program.populations)} populations, {sum(p.size for p in program.populations):,} "
        f"neurons, {total:,} synapses of {held:,} weights"
    )
    proof = stages.time("proof", lambda: prove(program, config.steps))
    edges = [e for found in proof.edges.values() for e in found.values()]
    reachable = Counter(edge for _, edge, _ in proof.reachable)
    print(f"    {len(edges)} edges; not excluded: {dict(reachable) or 'none'}")
    mapping = stages.time("partition", lambda: partition(program, chip))
    limiting(program, chip, mapping)
    violations = stages.time("validator", lambda: validate(program, chip, mapping))
    print(f"    {len(violations)} violations")
    if violations:
        raise CheckFailed(violations[0].message)
    trace = stages.time("emulator", lambda: emulate_fast(program, inputs, "none"))
    counts = stages.time(
        "counts", lambda: count(program, trace.messages, 1, config.steps, mapping, chip)
    )
    assert counts.messages is not None and counts.hops is not None
    print(
        f"    one image: {sum(counts.synaptic_ops.values()):,} synaptic operations "
        f"({sum(counts.macs.values()):,} of graded messages), "
        f"{sum(counts.neuron_updates.values()):,} neuron updates, "
        f"{sum(counts.messages.values()):,} packets, {sum(counts.hops.total.values()):,} hops"
    )


def limiting(program: Program, chip: Chip, mapping: Mapping) -> None:
    """Print cores, chips, and the fullest resource of the layers with the most cores."""
    parts = parts_of(program, mapping)
    used = loads(program, chip, parts, len(mapping.cores))
    chips = {core.index // amount(chip.cores_per_chip) for core in mapping.cores}
    print(f"    {len(mapping.cores):,} cores on {len(chips):,} chips of {chip.chips:,}")
    rows = []
    for name, part in parts.items():
        own = np.unique(part)
        share = {
            r: float(used[r][own].mean()) / limit
            for r in RESOURCES
            if (limit := getattr(chip, r).value) is not None
        }
        fullest = max(share, key=lambda r: share[r])
        rows.append((len(own), name, fullest, share[fullest]))
    by_resource: Counter[str] = Counter()
    for cores, _, fullest, _ in rows:
        by_resource[fullest] += cores
    said = ", ".join(f"{r.replace('_', ' ')} {n:,}" for r, n in by_resource.most_common())
    print(f"    cores by the resource of which their layer is fullest: {said}")
    for cores, name, fullest, mean in sorted(rows, reverse=True)[:8]:
        print(
            f"      {name:16} {cores:6,} cores, {fullest.replace('_', ' ')} {mean:4.0%} full on average"
        )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--skips", nargs="+", choices=("stream", "fan-in"))
    parser.add_argument("--chip", default="hala-point")
    parser.add_argument("--small", action="store_true")
    options = parser.parse_args()
    if options.skips is None or len(options.skips) > 1:
        for each in options.skips or ("stream", "fan-in"):
            more = ["--small"] if options.small else []
            command = [sys.executable, __file__, "--skips", each, "--chip", options.chip, *more]
            subprocess.run(command, check=True)
    else:
        measure(SMALL if options.small else FULL, options.skips[0], load_chip(options.chip))
