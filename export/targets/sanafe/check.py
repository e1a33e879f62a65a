"""SANA-FE's run of our traffic: its counts must be ours; its energy and time stand beside ours."""

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from deploy.count.activity import fans, step_counts
from deploy.count.energy import energy, load_coefficients
from deploy.count.operations import Counts, count
from deploy.count.packets import HOST
from deploy.count.step_time import latency
from deploy.errors import BadInput, CheckFailed
from deploy.files import temporary_folder
from deploy.hardware.chip import Chip
from deploy.hardware.mapping import Mapping as CoreMapping
from deploy.program.program import Program
from export.targets.sanafe.files import (
    ARCHITECTURE,
    COEFFICIENTS,
    NETWORK,
    Places,
    synapse_unit,
    write_sanafe,
)

# Some seconds of SANA-FE: synaptic events, entries of spike trains, and packets, each of which is a
# line of its trace. One sample is run whatever it takes.
_MOST_EVENTS, _MOST_ENTRIES, _MOST_PACKETS = 10_000_000, 10_000_000, 300_000

NOTES = (
    "Every neuron is one of SANA-FE's input neurons with the spike train of our emulator: its "
    "neuron model computes in floating point with a step of delay per layer. What it counts, "
    "routes, charges and times of this traffic is its own.",
    "SANA-FE sends a packet to a neuron's own core too, and charges it; ours do not leave the core.",
    "SANA-FE's input neurons are idle in steps without a spike: its figure is to be held against "
    "the low end of ours. By its rules, our counts give the energy beside its own.",
    "Our inputs are on the host, nowhere on the mesh; in SANA-FE they are a column east of it, "
    "and the energy of their hops is given apart.",
)


def cross_check(
    folder: Path,
    program: Program,
    chip: Chip,
    mapping: CoreMapping,
    sent: Mapping[str, NDArray[Any]],
    timeout: float = 600.0,
) -> dict[str, Any]:
    """Write SANA-FE's files to a folder, run it where it is installed, and compare: `sanafe`.

    sent: recorded messages {source: integers [samples, time, *shape]}, of which as many samples are
    run as take some seconds. Returns {"ok": true, false, or null where it is not installed, "why",
    "version", "samples", "counts": [{"quantity", "ours", "sanafe", "equal"}], "energy":
    {"coefficients", "ours_j": [low, high], "by_its_rules_j", "sanafe_j", "host_hops_j",
    "own_core_j", "joules"}, "latency": {"ours_s": [low, high], "sanafe_s"}, "notes"}, counts over
    the samples run, joules and seconds per inference. Raises BadInput for what SANA-FE cannot hold,
    and CheckFailed where it fails or takes longer than `timeout` seconds.
    """
    if not len(next(iter(sent.values()))):
        raise BadInput("--target sanafe: no sample was recorded, as one takes more than 2 GiB")
    samples = _samples(program, mapping, sent)
    sent = {name: np.asarray(array[:samples]) for name, array in sent.items()}
    where = write_sanafe(folder, program, chip, mapping, sent)
    if find_spec("sanafe") is None:
        return {
            "ok": None,
            "why": "sanafe is not installed (extra 'oracles'); its files are written",
            "samples": samples,
            "notes": list(NOTES),
        }
    steps = samples * next(iter(sent.values())).shape[1]
    found = _run(folder / ARCHITECTURE, folder / NETWORK, steps, timeout)
    ours = _counted(program, chip, mapping, sent)
    rows = _compared(program, mapping, sent, ours, where, found)
    return {
        "ok": all(row["equal"] for row in rows),
        "why": None,
        "version": found["version"],
        "samples": samples,
        "counts": rows,
        "energy": _energy(program, ours, where, found),
        "latency": _latency(program, mapping, sent, samples, found),
        "notes": list(NOTES),
    }


def _counted(
    program: Program, chip: Chip, mapping: CoreMapping, sent: Mapping[str, NDArray[Any]]
) -> Counts:
    samples, timesteps = next(iter(sent.values())).shape[:2]
    messages = {name: np.count_nonzero(x, axis=(0, 1)) for name, x in sent.items()}
    return count(program, messages, samples, timesteps, mapping, chip)


def _samples(program: Program, mapping: CoreMapping, sent: Mapping[str, NDArray[Any]]) -> int:
    """How many samples SANA-FE runs in some seconds, at least one."""
    recorded, timesteps = next(iter(sent.values())).shape[:2]
    neurons = sum(node.size for node in program.sources)
    messages = {name: np.count_nonzero(x, axis=(0, 1)) for name, x in sent.items()}
    counts = count(program, messages, recorded, timesteps, mapping)
    assert counts.traffic is not None
    for most, taken in (
        (_MOST_EVENTS, sum(counts.synaptic_ops_dense.values()) / recorded),
        (_MOST_ENTRIES, neurons * timesteps),
        (_MOST_PACKETS, int(counts.traffic.packets.sum()) / recorded),
    ):
        recorded = min(recorded, max(1, int(most / max(taken, 1))))
    return recorded


def _run(architecture: Path, network: Path, steps: int, timeout: float) -> dict[str, Any]:
    with temporary_folder("neuroclip-sanafe-") as folder:
        out = folder / "found.json"
        command = [sys.executable, str(Path(__file__).with_name("worker.py"))]
        command += [str(architecture.resolve()), str(network.resolve()), str(steps), str(out)]
        command += [str(os.getpid())]
        try:
            done = subprocess.run(
                command, cwd=folder, capture_output=True, text=True, timeout=timeout, check=False
            )
        except subprocess.TimeoutExpired as error:
            raise CheckFailed(f"SANA-FE took longer than {timeout:g} s") from error
        if done.returncode or not out.is_file():
            said = (done.stderr or done.stdout).strip().splitlines() or ["nothing"]
            raise CheckFailed(f"SANA-FE ended with status {done.returncode} and said: {said[-1]}")
        found: dict[str, Any] = json.loads(out.read_text(encoding="utf-8"))
        return found


def _compared(
    program: Program,
    mapping: CoreMapping,
    sent: Mapping[str, NDArray[Any]],
    ours: Counts,
    where: Places,
    found: Mapping[str, Any],
) -> list[dict[str, Any]]:
    """Every count of ours beside SANA-FE's, in total, by step and by pair of cores."""
    assert ours.traffic is not None and ours.hops is not None and ours.messages is not None
    per_step = {name: np.count_nonzero(x, axis=0) for name, x in sent.items()}
    # SANA-FE's steps run on from sample to sample; one sample's counts are those of its own steps.
    each: dict[str, list[NDArray[Any]]] = {"fired": [], "synapses": []}
    for i in range(len(next(iter(sent.values())))):
        one = step_counts(program, {name: x[i] != 0 for name, x in sent.items()}, 1)
        each["fired"].append(np.add(one["spikes"], one["input_messages"]))
        each["synapses"].append(np.asarray(one["synaptic_ops_dense"]))
    steps = {name: np.concatenate(parts).astype(np.int64) for name, parts in each.items()}
    assert int(steps["fired"].sum()) == sum(int(n.sum()) for n in per_step.values())

    traffic: dict[str, int] = {}
    for a, b, n in zip(
        ours.traffic.sender.tolist(),
        ours.traffic.receiver.tolist(),
        ours.traffic.packets.tolist(),
        strict=True,
    ):
        pair = f"{where.host if a == HOST else where.of[a]}>{where.of[b]}"
        traffic[pair] = traffic.get(pair, 0) + n
    theirs = {pair: n for pair, (n, _) in found["packets"].items()}
    remote = sum(n for pair, n in theirs.items() if len(set(pair.split(">"))) == 2)
    hops = sum(
        h for pair, (_, h) in found["packets"].items() if not pair.startswith(f"{where.host}>")
    )
    seen = found["per_step"]

    def row(quantity: str, a: int, b: int, equal: bool = True) -> dict[str, Any]:
        return {"quantity": quantity, "ours": a, "sanafe": b, "equal": equal and a == b}

    spikes = sum(ours.spikes.values()) + sum(ours.input_messages.values())
    operations = sum(ours.synaptic_ops_dense.values())
    return [
        row("spikes and input messages", spikes, sum(seen["fired"])),
        row("synaptic operations, zero weights included", operations, sum(seen["synapses"])),
        row("packets to other cores", sum(ours.messages.values()), remote),
        row("packets, own core included", int(ours.traffic.packets.sum()), found["sent"]),
        row("hops between cores", sum(ours.hops.total.values()), hops),
        row(
            "steps with equal spikes",
            len(seen["fired"]),
            int((steps["fired"] == np.asarray(seen["fired"])).sum()),
        ),
        row(
            "steps with equal synaptic operations",
            len(seen["synapses"]),
            int((steps["synapses"] == np.asarray(seen["synapses"])).sum()),
        ),
        row("pairs of cores with packets", len(traffic), len(theirs), traffic == theirs),
    ]


def _energy(
    program: Program, ours: Counts, where: Places, found: Mapping[str, Any]
) -> dict[str, Any]:
    used = load_coefficients(COEFFICIENTS)
    j = {name: c.joules for name, c in used.values.items()}
    stated = energy(ours, used)
    host = sum(
        n * (x * j["hop_east_west"] + y * j["hop_north_south"])
        for pair, (n, _) in found["packets"].items()
        if pair.startswith(f"{where.host}>")
        for x, y in [_way(where, *pair.split(">"))]
    )
    own = sum(n for p, (n, _) in found["packets"].items() if len(set(p.split(">"))) == 1)
    units = {"dense": "synapse_ac", "sparse": "synapse_sparse", "conv2d": "synapse_conv"}
    assert ours.traffic is not None and ours.hops is not None
    by_its_rules = (
        sum(
            ours.synaptic_ops_dense[c.name] * j[units[synapse_unit(program, c.target)]]
            for c in program.connections
        )
        + sum(ours.neuron_updates.values()) * j["neuron_update_min"]
        + sum(ours.spikes.values())
        * (j["neuron_update"] - j["neuron_update_min"] + j["neuron_spike"])
        + int(ours.traffic.packets.sum()) * j["message"]
        + sum(ours.hops.east_west.values()) * j["hop_east_west"]
        + sum(ours.hops.north_south.values()) * j["hop_north_south"]
        + host
    )
    inference = ours.samples
    return {
        "coefficients": COEFFICIENTS,
        "ours_j": [stated.low_j, stated.total_j],
        "by_its_rules_j": by_its_rules / inference,
        "sanafe_j": found["energy"]["total"] / inference,
        "host_hops_j": host / inference,
        "own_core_j": own * j["message"] / inference,
        "joules": {name: e / inference for name, e in found["energy"].items() if name != "total"},
    }


def _way(where: Places, a: str, b: str) -> tuple[int, int]:
    """Hops east–west and north–south between two of SANA-FE's cores."""
    tiles = [int(core.split(".")[0]) for core in (a, b)]
    (x0, y0), (x1, y1) = (divmod(tile, where.rows) for tile in tiles)
    return abs(x0 - x1), abs(y0 - y1)


def _latency(
    program: Program,
    mapping: CoreMapping,
    sent: Mapping[str, NDArray[Any]],
    samples: int,
    found: Mapping[str, Any],
) -> dict[str, Any]:
    ours = latency(fans(program, mapping), dict(sent), load_coefficients(COEFFICIENTS))
    return {
        "coefficients": COEFFICIENTS,
        "ours_s": None if ours is None else list(ours.inference),
        "sanafe_s": found["time_s"] / samples,
        "slowest_step_s": max(found["per_step"]["time_s"]),
    }
