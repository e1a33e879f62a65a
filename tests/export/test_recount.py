"""Every figure of a run counted again, from its files alone: no code of the package is in the recount."""

import json
from itertools import product
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
import pytest

COEFFICIENTS = Path(__file__).parents[2] / "deploy" / "count" / "coefficients"
UNITS = {"J": 1.0, "nJ": 1e-9, "pJ": 1e-12}
OF_KIND = {"dense": "synapse_ac", "sparse": "synapse_sparse", "conv2d": "synapse_conv"}


def recount(folder: Path) -> dict[str, Any]:
    """Counts over all samples from chip_program.npz, inputs.npz, trace.npz and mapping.json."""
    arrays = dict(np.load(folder / "chip_program.npz"))
    program = json.loads(arrays["program.json"].tobytes())
    shapes = {n["name"]: n["shape"] for n in program["inputs"] + program["populations"]}
    sent = _sent(folder, program, shapes)
    mapping = json.loads((folder / "mapping.json").read_text())
    core_of = {name: np.full(prod(shape), -1) for name, shape in shapes.items()}
    place = {}
    for number, core in enumerate(mapping["cores"]):
        place[number] = core["place"]
        for part in core["slices"]:
            core_of[part["population"]][part["start"] : part["stop"]] = number
    inputs = {n["name"] for n in program["inputs"]}
    heard: dict[str, set[tuple[int, int]]] = {name: set() for name in shapes}
    operations, stored = {}, {}
    for c in program["connections"]:
        source, target, weight = _synapses(c, arrays, shapes)
        messages = sent[c["source"]][source]
        operations[c["name"]] = int(messages[weight != 0].sum())
        stored[c["name"]] = int(messages.sum())
        heard[c["source"]] |= set(
            zip(source.tolist(), core_of[c["target"]][target].tolist(), strict=True)
        )
    packets, hops = dict.fromkeys(shapes, 0), {"east_west": 0, "north_south": 0}
    for name, pairs in heard.items():
        for neuron, core in pairs:
            own = int(core_of[name][neuron])
            if own == core:
                continue
            packets[name] += int(sent[name][neuron])
            if own >= 0:  # an input is on the host, which is nowhere on the mesh
                a, b = place[own], place[core]
                assert a["chip"] == b["chip"], "one chip only"
                hops["east_west"] += abs(a["x"] - b["x"]) * int(sent[name][neuron])
                hops["north_south"] += abs(a["y"] - b["y"]) * int(sent[name][neuron])
    graded = {
        n["name"]
        for n in program["inputs"]
        if arrays[f"{n['name']}/low"].min() < -1 or arrays[f"{n['name']}/high"].max() > 1
    }
    return {
        "cores": len(mapping["cores"]),
        "neurons": {n["name"]: prod(n["shape"]) for n in program["populations"]},
        "spikes": {n: int(x.sum()) for n, x in sent.items() if n not in inputs},
        "packets": packets,
        "hops": hops,
        "synaptic_ops": operations,
        "synaptic_ops_dense": stored,
        "coefficient": {
            c["name"]: "synapse_mac" if c["source"] in graded else OF_KIND[c["kind"]]
            for c in program["connections"]
        },
    }


def _sent(folder: Path, program: Any, shapes: dict[str, Any]) -> dict[str, np.ndarray]:
    """{node: messages other than zero of each neuron, over all samples and steps}."""
    sent = _messages(folder, program)
    return {name: sent[name].sum(axis=(0, 1)).astype(int) for name in shapes}


def _messages(folder: Path, program: Any) -> dict[str, np.ndarray]:
    """{node: 1 where it sends a message other than zero, [samples, steps, neurons]}."""
    trace, inputs = np.load(folder / "trace.npz"), np.load(folder / "inputs.npz")
    found = {}
    for name in (n["name"] for n in program["inputs"] + program["populations"]):
        source = name
        while source not in inputs.files and f"{source}/s" not in trace.files:
            # a relay passes on what its one source sends
            (source,) = {c["source"] for c in program["connections"] if c["target"] == source}
        values = inputs[source] if source in inputs.files else trace[f"{source}/s"]
        found[name] = (values != 0).reshape(*values.shape[:2], -1).astype(float)
    return found


def _synapses(c: Any, arrays: Any, shapes: Any) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(source, target, weight) of every stored synapse of a connection."""
    weight = arrays[f"{c['name']}/weight"]
    if c["kind"] == "dense":
        target, source = np.indices(weight.shape)
        return source.reshape(-1), target.reshape(-1), weight.reshape(-1)
    if c["kind"] == "sparse":
        rows = np.diff(arrays[f"{c['name']}/indptr"])
        return arrays[f"{c['name']}/indices"], np.repeat(np.arange(len(rows)), rows), weight
    outs, ins, height, width = weight.shape
    rows, columns = c["size"]
    channels, (_, high, wide) = prod(shapes[c["source"]]) // (rows * columns), shapes[c["target"]]
    found = []
    for out, i, y, x in product(range(outs), range(ins), range(height), range(width)):
        channel = out // (outs // c["groups"]) * ins + i
        assert channel < channels
        for v, u in product(range(high), range(wide)):
            row = v * c["stride"][0] - c["padding"][0] + y * c["dilation"][0]
            column = u * c["stride"][1] - c["padding"][1] + x * c["dilation"][1]
            if 0 <= row < rows and 0 <= column < columns:
                source = (channel * rows + row) * columns + column
                found.append((source, (out * high + v) * wide + u, weight[out, i, y, x]))
    source, target, values = np.array(found).T
    return source, target, values


def times(folder: Path, report: dict[str, Any]) -> dict[str, tuple[float, float]]:
    """Seconds (low, high) of an inference alone and in a stream, by SANA-FE's set, from the files."""
    arrays = dict(np.load(folder / "chip_program.npz"))
    program = json.loads(arrays["program.json"].tobytes())
    shapes = {n["name"]: n["shape"] for n in program["inputs"] + program["populations"]}
    file = json.loads((COEFFICIENTS / "loihi1-sanafe.json").read_text())["latency"]
    of = {n: c["value"] * {"ns": 1e-9, "us": 1e-6}[c["unit"]] for n, c in file.items()}
    cores = json.loads((folder / "mapping.json").read_text())["cores"]
    core_of = {name: np.full(prod(shape), -1) for name, shape in shapes.items()}
    for number, core in enumerate(cores):
        for part in core["slices"]:
            core_of[part["population"]][part["start"] : part["stop"]] = number
    neurons = np.array([sum(p["stop"] - p["start"] for p in core["slices"]) for core in cores])
    # {quantity: {node: [neuron, core], how often a message of the neuron makes a core do it}}
    each = {
        quantity: {name: np.zeros((prod(shape), len(cores))) for name, shape in shapes.items()}
        for quantity in ("ops", "stored", "in", "out", "spikes")
    }
    for c in program["connections"]:
        source, target, weight = _synapses(c, arrays, shapes)
        where = source, core_of[c["target"]][target]
        np.add.at(each["stored"][c["source"]], where, 1)
        np.add.at(each["ops"][c["source"]], where, weight != 0)
        each["in"][c["source"]][where] = 1
    for name, own in core_of.items():
        placed = np.flatnonzero(own >= 0)
        each["in"][name][placed, own[placed]] = 0
        each["out"][name][placed, own[placed]] = each["in"][name][placed].sum(axis=1)
        each["spikes"][name][placed, own[placed]] = 1
    sent = _messages(folder, program)
    samples, steps = next(iter(sent.values())).shape[:2]
    lag = {name: report["lowered"]["latency_steps"].get(name, 0) for name in shapes}
    fill = report["lowered"]["fill"]
    places = [core["place"] for core in cores]
    far = max(
        abs(a["x"] - b["x"]) * of["hop_east_west"] + abs(a["y"] - b["y"]) * of["hop_north_south"]
        for a, b in product(places, places)
    )

    def lasts(streams: int) -> tuple[float, float]:
        """Of so many streams of samples, each behind the other, an inference."""
        length = samples // streams * steps
        done = {q: np.zeros((streams, length + fill, len(cores))) for q in each}
        for quantity, nodes in each.items():
            for name, table in nodes.items():
                x = sent[name].reshape(streams, length, -1) @ table
                end = min(length + fill, length + lag[name])
                done[quantity][:, lag[name] : end] += x[:, : end - lag[name]]
        out = done["out"] * of["message_out"] + done["spikes"] * of["neuron_spike"]
        heard = done["in"] * of["message_in"]
        idle = of["neuron_update_min"]
        own = neurons * idle + done["spikes"] * (of["neuron_update"] - idle) + out
        low = np.maximum(own, heard + done["ops"] * of["synapse"]).max(axis=2) + of["barrier_min"]
        high = neurons * of["neuron_update"] + out + heard + done["stored"] * of["synapse"]
        return low.sum() / samples, (high.max(axis=2) + of["barrier"] + far).sum() / samples

    return {"alone_s": lasts(samples), "inference_s": lasts(1)}


# Horowitz 2014: pJ of an addition, of a multiply-accumulate, of 64 bits of memory.
CONVENTIONS = ((0.1, 0.23, 0), (0.1, 0.3, 0), (0.9, 4.6, 0), (0.1, 0.3, 20), (0.1, 0.3, 100))


def against_ann(folder: Path, report: dict[str, Any], found: dict[str, Any]) -> None:
    """Every row of the comparison with an ANN, from program.npz, the recount and the shares of zeros."""
    said = report["baseline"]
    samples, steps = report["samples"], report["timesteps"]
    arrays = dict(np.load(folder / "program.npz"))
    program = json.loads(arrays["program.json"].tobytes())
    shapes = {n["name"]: n["shape"] for n in program["inputs"] + program["populations"]}
    weights = {c["name"]: len(_synapses(c, arrays, shapes)[2]) for c in program["connections"]}
    source = {c["name"]: c["source"] for c in program["connections"]}
    inputs = {n["name"] for n in program["inputs"]}
    # Of the spiking network all that is performed, of the ANN no sum that is only carried on.
    dense = {name: n / samples for name, n in found["synaptic_ops_dense"].items()}
    graded = {name for name, key in found["coefficient"].items() if key == "synapse_mac"}
    macs = sum(n for name, n in dense.items() if name in graded)
    adds = sum(dense.values()) - macs
    assert said["per_node"].keys() <= weights.keys()
    of_inputs = sum(weights[n] for n in said["per_node"] if source[n] in inputs)
    of_hidden = sum(weights[n] for n in said["per_node"]) - of_inputs
    all_macs = steps * sum(n for name, n in weights.items() if name in graded)
    everything = steps * sum(weights.values())
    zeros = said["skipping"]
    if said["trained"] is None:
        seen = sum(dense[n] for n in said["per_node"] if source[n] in inputs)
        assert zeros["input_sparsity"] == pytest.approx(1 - seen / (steps * of_inputs))

    def performed(shares: dict[str, Any]) -> float:
        skipped = shares["input_sparsity"] or 0, shares["hidden_sparsity"] or 0
        return of_inputs * (1 - skipped[0]) + of_hidden * (1 - skipped[1])

    neurons = sum(prod(n["shape"]) for n in program["populations"])
    numbers = steps * (neurons + sum(prod(n["shape"]) for n in program["inputs"]))
    updates, packets = sum(found["neurons"].values()), sum(found["packets"].values())
    ann = of_inputs + of_hidden
    sides = {
        "snn_j": (adds, macs, 9 / 8 * (adds + macs) + 2 * steps * updates + packets / samples),
        "snn_not_skipping_j": (
            *(everything - all_macs, all_macs),
            9 / 8 * everything + 2 * steps * neurons + numbers,
        ),
    }
    once, each = performed(zeros["one_pass"]), performed(zeros)
    for key, products, passes in (
        ("ann_j", steps * ann, steps),
        ("ann_skipping_j", steps * each, steps),
        ("ann_one_pass_j", ann, 1),
        ("ann_one_pass_skipping_j", once, 1),
    ):
        sides[key] = 0, products, products / 4 + passes * neurons / 8
    known = any(zeros["one_pass"][k] is not None for k in ("input_sparsity", "hidden_sparsity"))
    for row, (add, mac, word) in zip(said["like_for_like"], CONVENTIONS, strict=True):
        for key, (a, m, words) in sides.items():
            expected = 1e-12 * (a * add + m * mac + words * word)
            if key == "ann_one_pass_skipping_j" and not known:
                assert row[key] is None
            else:
                assert row[key] == pytest.approx(expected, rel=1e-9), (row["convention"], key)
    limits = said["break_even"]
    assert limits["spike_rate_limit"] == pytest.approx(min(1, 0.057 * 5 / steps))
    fire = [n["name"] for n in program["populations"] if n["kind"] != "integrator"]
    spikes = sum(found["spikes"][n] for n in fire)
    of_spiking = sum(prod(shapes[n]) for n in fire)
    relays = sum(n for name, n in found["neurons"].items() if name not in shapes)
    if not relays:  # which are no neurons of the network
        assert limits["spike_rate"] == pytest.approx(spikes / (samples * steps * of_spiking))
        per_synapse = sum(dense.values()) / sum(weights.values())
        assert limits["messages_per_synapse"] == pytest.approx(per_synapse)


def joules(found: dict[str, Any], name: str, samples: int, steps: int) -> tuple[float, float]:
    """The low and the high end of a coefficient set, per inference."""
    file = json.loads((COEFFICIENTS / f"{name}.json").read_text())
    each = {n: c["value"] * UNITS[c["unit"]] for n, c in file["coefficients"].items()}
    low = high = 0.0
    for connection, key in found["coefficient"].items():
        price = each.get(key, each["synapse_ac"])
        charged = "synaptic_ops_dense" if file["zero_weights"] else "synaptic_ops"
        high += found[charged][connection] * price
        low += found["synaptic_ops"][connection] * price
    if "neuron_update" in each:
        active = each["neuron_update"]
        idle, fires = each.get("neuron_update_min", active), each.get("neuron_spike", 0.0)
        for population, neurons in found["neurons"].items():
            updates, spikes = neurons * samples * steps, found["spikes"][population]
            high += updates * active + spikes * fires
            low += (updates - spikes) * idle + spikes * (active + fires)
    between = sum(found["packets"].values()) * each.get("message", 0.0)
    between += found["hops"]["east_west"] * each.get("hop_east_west", 0.0)
    between += found["hops"]["north_south"] * each.get("hop_north_south", 0.0)
    return (low + between) / samples, (high + between) / samples


def skipping(folder: Path) -> Path:
    """A NIR network with a skip, whose messages have to wait on a chip."""
    nir = pytest.importorskip("nir")
    rng = np.random.default_rng(3)

    def dense(target: int, source: int) -> Any:
        weight = 2.0 * rng.integers(-9, 14, (target, source))
        return nir.Linear(np.where(rng.random(weight.shape) < 0.3, 0, weight))

    def lif(size: int) -> Any:
        dv = np.full(size, 700.0)
        still = np.zeros(size)
        return nir.LIF(
            tau=4096 * 1e-4 / dv, r=4096 / dv, v_leak=still, v_threshold=still + 12, v_reset=still
        )

    nodes = {"in": nir.Input(np.array([9])), "a": lif(12), "b": lif(10), "c": lif(8)}
    nodes |= {"in_a": dense(12, 9), "a_b": dense(10, 12), "b_c": dense(8, 10), "in_c": dense(8, 9)}
    nodes |= {
        "c_out": dense(4, 8),
        "sum": nir.I(r=np.full(4, 1e4)),
        "out": nir.Output(np.array([4])),
    }
    edges = [
        *(("in", "in_a"), ("in_a", "a"), ("a", "a_b"), ("a_b", "b"), ("b", "b_c"), ("b_c", "c")),
        *(("in", "in_c"), ("in_c", "c"), ("c", "c_out"), ("c_out", "sum"), ("sum", "out")),
    ]
    nir.write(folder / "skip.nir", nir.NIRGraph(nodes, edges))
    spikes = rng.integers(0, 2, (20, 9, 9), dtype=np.uint8)
    np.savez(folder / "spikes.npz", spikes=spikes, labels=np.arange(20) % 4)
    return folder / "skip.nir"


def ran(folder: Path, *command: object) -> tuple[dict[str, Any], dict[str, Any]]:
    """What the command reports, and the recount of its files."""
    from export.commands.main import main

    out = folder / "run"
    assert main([*map(str, command), "--target", "emulator", "--out", str(out)]) == 0
    return json.loads((out / "report.json").read_text()), recount(out)


@pytest.mark.parametrize("network", ["demo", "spikeclip-digits", "nir"])
def test_a_recount_from_the_files_alone(network: str, tmp_path: Path) -> None:
    if network == "nir":
        data = "--data", tmp_path / "spikes.npz", "--ann-zeros", 0.25
        report, found = ran(tmp_path, skipping(tmp_path), *data)
        assert report["lowered"]["depth"] > 1
        told = report["baseline"]["skipping"]
        assert told["hidden_sparsity"] == told["one_pass"]["hidden_sparsity"] == 0.25
        assert told["one_pass"]["input_sparsity"] is None and "--ann-zeros" in told["source"]
    else:
        pytest.importorskip("open_clip")
        model = [] if network == "demo" else [network]
        report, found = ran(tmp_path, *model, "--samples", 8)
    against_ann(tmp_path / "run", report, found)
    samples, steps = report["samples"], report["timesteps"]
    said = report["counts"]
    for key in ("synaptic_ops", "synaptic_ops_dense"):
        assert said[key]["exact_total"] == sum(found[key].values()) > 0
        assert said[key]["per_node"] == {n: x / samples for n, x in found[key].items()}
    assert said["spikes"]["per_node"] == {n: x / samples for n, x in found["spikes"].items()}
    assert said["neuron_updates"]["total"] == steps * sum(found["neurons"].values())
    assert said["messages"]["exact_total"] == sum(found["packets"].values())
    assert said["messages"]["per_node"] == {n: x / samples for n, x in found["packets"].items()}
    for way in ("east_west", "north_south"):
        assert said["hops"][way] == found["hops"][way] / samples
    assert report["cores"]["used"] == found["cores"]
    for entry in report["energy"]:
        ends = joules(found, entry["coefficients"], samples, steps)
        assert (entry["low_j"], entry["total_j"]) == pytest.approx(ends, rel=1e-12)
    (timed,) = report["latency"]
    for key, ends in times(tmp_path / "run", report).items():
        assert timed[key] == pytest.approx(ends, rel=1e-9), key
    parity = report["parity"]["pairs"]
    states = sum(found["neurons"].values()) - report["lowered"]["relay_neurons"]
    for pair in parity:
        assert pair["states_compared"] == 2 * samples * steps * states
    system = {entry["coefficients"]: entry for entry in report["system"]["sets"]}
    for name, entry in system.items():
        file = json.loads((COEFFICIENTS / f"{name}.json").read_text())["coefficients"]
        mac = file["host_mac"]["value"] * UNITS[file["host_mac"]["unit"]]
        moved = sum(report["system"]["messages"].values())
        static = report["system"]["static"]
        host = mac * sum(p["operations"] or 0 for p in report["system"]["host"] if not p["once"])
        for end, key in enumerate(("transfer_min", "transfer")):
            total = host + moved * file[key]["value"] * UNITS[file[key]["unit"]]
            total += static["watts"] * static["chips"] * static["seconds"][end]
            total += joules(found, name, samples, steps)[end]
            assert entry["total_j"][end] == pytest.approx(total, rel=1e-12)


def test_the_recount_notices_a_changed_file(tmp_path: Path) -> None:
    report, found = ran(tmp_path, skipping(tmp_path), "--data", tmp_path / "spikes.npz")
    trace = dict(np.load(tmp_path / "run" / "trace.npz"))
    trace["a/s"] = trace["a/s"] ^ 1
    np.savez(tmp_path / "run" / "trace.npz", **trace)
    other = recount(tmp_path / "run")
    assert other["synaptic_ops"] != found["synaptic_ops"] and other["packets"] != found["packets"]
    assert report["counts"]["synaptic_ops"]["exact_total"] != sum(other["synaptic_ops"].values())
