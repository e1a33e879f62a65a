"""The bundled SpikeCLIP: images in, classes out, the whole encoder on every target, other labels."""

import json

import numpy as np
import pytest

torch = pytest.importorskip("torch")
for package in ("snntorch", "open_clip", "nirtorch"):
    pytest.importorskip(package)

from deploy.program.file import load_program
from deploy.program.residual_stream import repeated
from export.commands import main as cli
from export.frontends.frontend import Request
from export.frontends.spikeclip import from_spikeclip
from neuroclip.commands import main as neuroclip_cli
from neuroclip.spikeclip.checkpoint import load_spikeclip

NAME = "spikeclip-digits"


def exported(out, *options):
    assert cli.main([NAME, "--out", str(out), *options]) == 0
    return json.loads((out / "report.json").read_text())


def test_every_spike_is_the_emulators(tmp_path):
    report = exported(tmp_path, "--target", "emulator", "--samples", "60", "--record", "all")
    (pair,) = report["parity"]["pairs"]
    assert pair["registers_equal"] and pair["spike_mismatches"] == pair["state_mismatches"] == 0
    rates = {
        name: total / 60 / 4 / size
        for name, total, size in (
            (n, report["counts"]["spikes"]["per_node"][n] * 60, s)
            for n, s in sizes(tmp_path).items()
        )
    }
    assert {"block1_kv", "block1_sum", "block1_mask", "last"} <= set(rates)
    assert all(rate > 0.0005 for rate in rates.values()), rates
    assert report["accuracy"]["emulator"]["value"] > 0.9
    assert report["accuracy"]["emulator"] == report["accuracy"]["quantized"]
    assert report["proof"] and report["unsupported"] == []
    new = report["new_labels"]
    assert new["layers"] == ["text"] and 0 < new["synapse_words"] < new["of"] / 2


def sizes(folder):
    with np.load(folder / "trace.npz") as trace:
        return {
            name.removesuffix("/s"): int(np.prod(trace[name].shape[2:]))
            for name in trace.files
            if name.endswith("/s") and name != "readout/s"
        }


def test_both_lowerings_of_the_skips_are_equal_and_have_their_costs(tmp_path):
    """Branches once: 13 → 16 populations, three stages of 32·4·4 relays before three readers."""
    reports = {
        name: exported(tmp_path / name, "--target", "emulator", "--samples", "40", "--skips", name)
        for name in ("fan-in", "stream")
    }
    fan_in, stream = (report["skips"] for report in reports.values())
    assert (fan_in["lowering"], stream["lowering"]) == ("fan-in", "stream")
    assert fan_in["costs"] == stream["costs"] and fan_in["refused"] == {}
    costs = stream["costs"]
    difference = {key: costs["stream"][key] - n for key, n in costs["fan-in"].items()}
    assert difference["populations"] == 3 and difference["neurons"] == 3 * 32 * 16
    assert difference["neuron_updates"] == 4 * difference["neurons"]
    # Of three branches, six synapses become three; two relays between stages, three to readers.
    assert difference["synapses"] == 5 * 512 - repeated_synapses(tmp_path / "fan-in")
    assert all(difference[key] < 0 for key in ("synaptic_ops", "synapse_words"))
    # A relay sends at almost every step, where a neuron of the fan-in mostly is silent.
    assert difference["messages"] > 0 and difference["macs"] > 0
    for name, report in reports.items():
        assert report["parity"]["ok"] and report["skips"]["equal"]["ok"]
        assert report["skips"]["equal"]["states_compared"] > 10**6
        own = report["skips"]["costs"][name]
        assert own["synaptic_ops"] == report["counts"]["synaptic_ops"]["total"]
        assert own["messages"] == report["counts"]["messages"]["total"]
        assert own["cores"] == report["cores"]["used"]
    # The equal ANN has every branch once, whichever way its sums reach their readers.
    a, b = (report["baseline"]["operations"]["mac"] for report in reports.values())
    assert a == b
    with (
        np.load(tmp_path / "fan-in" / "trace.npz") as x,
        np.load(tmp_path / "stream" / "trace.npz") as y,
    ):
        assert all(np.array_equal(x[entry], y[entry]) for entry in x.files)
        assert y["stream3/s"].dtype == np.int32 and y["stream3/s"].min() < 0
    assert (tmp_path / "fan-in" / "model.nir").exists()
    assert not (tmp_path / "stream" / "model.nir").exists()
    assert "'stream1': NIR has no neurons" in reports["stream"]["warnings"][0]
    page = (tmp_path / "stream" / "report.html").read_text()
    assert "Residual skips" in page and "stream (exported)" in page


def repeated_synapses(folder):
    """The synapses of the fan-in that a stream does without: those onto a later reader."""
    left_out = repeated(load_spikeclip(NAME).chip.wiring().readers)
    connections = load_program(folder / "program.npz").connections
    return sum(c.synapse_count() for c in connections if c.name in left_out)


@pytest.mark.usefixtures("lava")
def test_every_spike_of_the_stream_is_lavas(tmp_path):
    report = exported(tmp_path, "--target", "lava", "--samples", "2", "--skips", "stream")
    pairs = report["parity"]["pairs"]
    assert [(p["a"], p["b"]) for p in pairs] == [("torch", "emulator"), ("emulator", "lava")]
    assert all(p["registers_equal"] and not p["spike_mismatches"] for p in pairs)
    assert all(not p["state_mismatches"] and p["states_compared"] for p in pairs)


def test_skips_are_refused_where_there_are_none(tmp_path, refused):
    out = ("--out", tmp_path / "out")
    refused(
        cli.main, NAME, "--target", "nir", "--skips", "stream", *out,
        says=[NAME, "stream1", "NIR has no neurons"],
    )  # fmt: skip
    refused(cli.main, "--target", "emulator", "--skips", "stream", *out, says=["--skips"])
    refused(cli.main, "a.nir", "--target", "emulator", "--skips", "stream", says=["a.nir"])


def test_a_chip_of_short_messages_has_the_fan_in_only(tmp_path, capsys):
    chip = tmp_path / "short.json"
    limit = {"value": 8, "source": "a test", "assumption": False}
    described = {"format": "neuroclip-chip", "version": 1, "name": "short", "description": "8 bits"}
    described |= {"extends": "loihi2", "chips": 1, "limits": {"message_bits": limit}}
    chip.write_text(json.dumps(described))
    options = ("--target", "emulator", "--samples", "5", "--chip", str(chip))
    report = exported(tmp_path / "fan-in", *options)["skips"]
    assert report["costs"]["fan-in"]["cores"] and report["costs"]["stream"]["cores"] is None
    assert "graded messages of 24 bits" in report["refused"]["stream"]
    assert report["equal"]["ok"]
    capsys.readouterr()
    assert cli.main([NAME, *options, "--skips", "stream", "--out", str(tmp_path / "stream")]) == 1
    assert "'stream1': graded messages of 24 bits exceed the 8" in capsys.readouterr().err


@pytest.mark.usefixtures("lava")
def test_every_spike_is_lavas(tmp_path):
    report = exported(tmp_path, "--target", "lava", "--samples", "2")
    pairs = report["parity"]["pairs"]
    assert [(p["a"], p["b"]) for p in pairs] == [("torch", "emulator"), ("emulator", "lava")]
    assert all(p["registers_equal"] and not p["spike_mismatches"] for p in pairs)
    assert all(not p["state_mismatches"] and p["states_compared"] for p in pairs)
    # Relays align its skips for stock processes.
    assert (tmp_path / "lava_network.py").exists() and not report["warnings"]


def test_other_labels_are_another_last_layer(tmp_path):
    words = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
    labels = ",".join(f"{i}={word}" for i, word in enumerate((*words[:9], "a cat")))
    own, other = (
        from_spikeclip(NAME, Request(samples=40, labels=given)) for given in (None, labels)
    )
    a, b = (
        {
            n: m.integer_weight()
            for n, m in d.network.named_modules()
            if hasattr(m, "integer_weight")
        }
        for d in (own, other)
    )
    assert a.keys() == b.keys()
    assert [name for name in a if not torch.equal(a[name], b[name])] == ["text"]
    report = exported(tmp_path, "--target", "emulator", "--samples", "100", "--labels", labels)
    # Words in place of numerals, never seen by the image encoder; no nine among them.
    assert 0.7 < report["accuracy"]["emulator"]["value"] < 1
    assert report["parity"]["ok"]


def test_zero_shot_protocols_on_the_command_line(capsys):
    replacing = "7=seven,3=three"
    assert neuroclip_cli.main(
        ["evaluate", NAME, "--split", "validation", "--replace", replacing, "--expand", "cat,ten"]
    ) == 0  # fmt: skip
    lines = capsys.readouterr().out.splitlines()
    rows = ["own"] * 2 + ["replaced"] * 2 + ["expanded"] * 2
    assert [line.split()[:3] for line in lines] == [["4", "steps", row] for row in rows]
    assert all(float(line.split("%")[0].split()[-1]) > 70 for line in lines)
    few = ["evaluate", NAME, "--split", "validation", "--steps", "1,8"]
    assert neuroclip_cli.main(few) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == ["1", "1", "8", "8"]


def test_labels_that_no_text_is_made_of_are_refused(refused):
    for labels in (",", "a,a", "a label of far too many bytes"):
        refused(cli.main, NAME, "--target", "emulator", "--labels", labels, says=["label"])


def test_an_aligned_model_is_not_exported(tmp_path, refused):
    from neuroclip.spikeclip.checkpoint import SpikeCheckpoint, save_spikeclip

    held = load_spikeclip(NAME)
    aligned = SpikeCheckpoint(
        held.model, held.text_encoder, None, held.labels, held.template, {}, {}
    )
    save_spikeclip(tmp_path / "aligned", aligned)
    out = tmp_path / "out"
    refused(cli.main, tmp_path / "aligned", "--target", "emulator", "--out", out, says=["finetune"])
