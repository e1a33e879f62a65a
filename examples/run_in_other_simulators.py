"""One exported network in snnTorch, Norse and Sinabs: how many of its spikes are the chip's.

    python examples/run_in_other_simulators.py [MODEL.nir SPIKES.npz | MODEL] [--samples N] [--dt SECONDS]

MODEL: a bundled model or a checkpoint folder, with its own data; without arguments, the bundled
NeuroCLIP. Each reader is given the file as it is, and then in its dialect
(`export.nir_format.write.dialects`): the same network in the words that this reader gets right. What is
left are the semantics: none of them
truncates as the chip does, so that with leak a membrane potential that is near the threshold can pass
it one step earlier or later, or not at all. `spikeclip-digits` leaves nothing to truncate.
"""

import argparse
from pathlib import Path

import numpy as np

from deploy.emulate.reference import emulate
from deploy.errors import BadInput
from export.deployment.deployment import Deployment
from export.lowering.exact import lower
from export.nir_format.normal.neurons import DEFAULT_DT
from export.peers.nir_readers import READERS, run_graph


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("files", nargs="*", metavar="MODEL.nir SPIKES.npz | MODEL")
    parser.add_argument("--samples", type=int, default=20)
    parser.add_argument("--dt", type=float, default=DEFAULT_DT)
    options = parser.parse_args()
    deployment = opened(options.files, options.samples, options.dt)
    (data,) = deployment.inputs.values()
    program = lower(deployment.graph, dt=options.dt, input_ranges=deployment.input_ranges)
    chip = emulate(program, deployment.inputs, "spikes").s
    print(f"{deployment.model}: {len(data)} samples of {data.shape[1]} steps")
    for reader in READERS:
        for dialect in (False, True):
            given = "in its dialect" if dialect else "as it is"
            try:
                found = run_graph(reader, deployment.graph, data, options.dt, dialect=dialect)
            except BadInput as error:
                print(f"{reader:9} {given:15} {error}")
                continue
            for node, spikes in found.items():
                differ = int(np.count_nonzero(spikes != chip[node]))
                print(
                    f"{reader:9} {given:15} {node}: {differ} of {spikes.size} steps differ "
                    f"({int(np.count_nonzero(chip[node]))} spikes on the chip)"
                )


def opened(files: list[str], samples: int, dt: float) -> Deployment:
    """A graph and its spikes, or a model and its own data."""
    if len(files) > 1:
        from export.frontends.nir import from_nir

        return from_nir(Path(files[0]), files[1], samples)
    from export.frontends.frontend import Request
    from export.frontends.table import read_model

    return read_model(files[0] if files else None, Request(samples=samples, dt=dt))


if __name__ == "__main__":
    main()
