"""The time of every sample on the cores that the program was mapped to, as one stream and each alone."""

from collections.abc import Sequence

from deploy.count.activity import Fan
from deploy.count.energy import Coefficients
from deploy.count.step_time import Clock, Pipeline
from deploy.emulate.fast import emulate_fast, prepare
from deploy.emulate.trace import Trace, record_bytes
from deploy.hardware.mesh import Distances
from deploy.program.program import Program
from deploy.program.timed import Timed
from deploy.progress import track
from export.targets.target import Arrays

# Recordings of a chunk of samples.
_CHUNK_BYTES = 256 << 20


def timed_run(
    of: Timed,
    program: Program,
    inputs: Arrays,
    trace: Trace,
    found: Sequence[Fan],
    sets: Sequence[Coefficients],
    way: Distances,
    jobs: int = 1,
) -> Clock:
    """A clock to which every sample was added.

    of: the mapped program; program: the one that the emulator runs. trace: the emulator's, whose
    recordings are taken as far as they go; the samples after them run once more, since where a neuron
    is was not known before all of them had run.
    """
    clock = Clock(found, sets, way, Pipeline(of.latency, of.fill))
    if not any(each.latency for each in sets):
        return clock
    samples = len(next(iter(inputs.values())))
    recorded = min((len(s) for s in trace.s.values()), default=0)
    size = max(1, _CHUNK_BYTES // record_bytes(program.populations, 1, trace.timesteps, "spikes"))
    plan = prepare(program) if recorded < samples else None
    with track(total=samples, desc="time") as bar:
        for start in [*range(0, recorded, size), *range(recorded, samples, size)]:
            stop = min(start + size, recorded if start < recorded else samples)
            part = {name: x[start:stop] for name, x in inputs.items()}
            if start < recorded:
                sent = {name: s[start:stop] for name, s in trace.s.items()}
            else:
                assert plan is not None
                sent = dict(emulate_fast(plan, part, "spikes", jobs).s)
            clock.add(of.with_relays({**part, **sent}))
            bar.update(stop - start)
    return clock
