"""The bundled SpikeCLIP: images in, classes out, the whole encoder on every target, other labels."""

import importlib.util
import json

import numpy as np
import pytest

torch = pytest.importorskip("torch")
for package in ("snntorch", "open_clip", "nirtorch"):
    pytest.importorskip(package)

from export import cli
from export.from_checkpoint import from_checkpoint
from neuroclip import cli as neuroclip_cli
from neuroclip.spikeclip.checkpoint import load_spikeclip

NAME = "spikeclip-digits"
needs_lava = pytest.mark.skipif(
    importlib.util.find_spec("lava") is None, reason="Lava is not installed (Python 3.10 only)"
)


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


@needs_lava
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
    labels = ",".join((*words[:9], "a cat"))
    own, other = (from_checkpoint(NAME, None, 40, given, 0, 1e-4) for given in (None, labels))
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
    assert [line.split()[0] for line in lines] == ["own", "own"] + ["replaced"] * 2 + [
        "expanded"
    ] * 2
    assert all(float(line.split("%")[0].split()[-1]) > 70 for line in lines)


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
