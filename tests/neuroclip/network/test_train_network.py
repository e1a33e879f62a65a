"""From a module in a file to a network that is fine-tuned on the chip's arithmetic, exported and proven."""

import copy
import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("snntorch")

from deploy.errors import BadInput
from deploy.files import read_json
from deploy.program.file import load_program
from export.commands.main import main as export
from neuroclip.chip.network_file import described_network, network_from, network_tensors
from neuroclip.commands.main import main as neuroclip
from neuroclip.convert.snntorch import to_chip
from neuroclip.network.checkpoint import load_network, message_ids
from neuroclip.network.evaluation import evaluated_part
from neuroclip.network.module_file import module_of

FRAMES = ("--frame-ms", "10", "--steps", "4")


def trained(*arguments: object) -> int:
    return neuroclip(["train", "network", *map(str, arguments)])


def test_from_a_file_to_a_program_with_three_accuracies(
    network_file: Path, nmnist_like: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run, model = tmp_path / "run", f"{network_file}:make_model"
    assert trained(model, "--data", nmnist_like, *FRAMES, "--epochs", 5, "--quantized-epochs", 2,
                   "--batch", 8, "--learning-rate", 0.01, "--out", run) == 0  # fmt: skip
    printed = capsys.readouterr().out
    assert "test       fine-tuned" in printed and "validation float" in printed
    history = read_json(run / "history.json")
    assert [h["epoch"] for h in history if h["stage"] == "quantized"] == [0, 1, 2]
    assert (run / "history.svg").read_text().startswith("<?xml")

    assert export([str(run), "--data", str(nmnist_like), "--target", "emulator",
                   "--out", str(tmp_path / "out")]) == 0  # fmt: skip
    report = read_json(tmp_path / "out" / "report.json")
    assert report["ok"] and report["model"] == "make_model" and report["samples"] == 12
    accuracy, kept = report["accuracy"], read_json(run / "config.json")["accuracy"]["test"]
    for key, name in (("float", "float"), ("untuned", "quantized"), ("quantized", "tuned")):
        assert {k: accuracy[key][k] for k in ("correct", "total")} == kept[name]
    assert accuracy["emulator"] == accuracy["quantized"]
    assert accuracy["quantized"]["correct"] >= 9, "it learns what the columns tell"
    assert report["predictions"]["labels"] == ["0", "1", "2"]
    assert "event frames (4 of 10 ms, counts, as they are)" in report["placement"]["host"]
    assert load_program(tmp_path / "out" / "program.npz").outputs

    # The module with the weights that training left is what "float" says.
    assert export([model, "--weights", str(run / "float.safetensors"), "--data", str(nmnist_like),
                   *FRAMES, "--target", "emulator", "--out", str(tmp_path / "again")]) == 0  # fmt: skip
    again = read_json(tmp_path / "again" / "report.json")
    assert (
        again["samples"] == 60 and again["accuracy"]["float"]["correct"] >= kept["float"]["correct"]
    )

    assert neuroclip(["evaluate", str(run), "--data", str(nmnist_like)]) == 0
    printed = capsys.readouterr().out
    assert all(f"({kept[n]['correct']} of 12)" in printed for n in kept)

    # Whatever it has seen is not evaluated, under any name.
    shutil.copytree(nmnist_like, tmp_path / "moved")
    held = load_network(run)
    part = evaluated_part(held, str(run), str(tmp_path / "moved"))
    assert part.messages.labels is not None and len(part.messages.labels) == 12
    ids = message_ids(part.messages)
    assert not np.isin(ids, held.seen.learned).any() and not np.isin(ids, held.seen.chose).any()


def test_a_killed_training_goes_on_to_the_same_weights(
    dense_file: Path, spikes_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = f"{dense_file}:make_model"
    more = ("--epochs", 8, "--quantized-epochs", 2, "--batch", 8, "--learning-rate", 0.02)
    assert trained(model, "--data", spikes_file, *more, "--out", tmp_path / "whole") == 0

    import neuroclip.training.loop as loop

    kept, calls = loop.keep_state, []

    def killed(*arguments: object) -> None:
        kept(*arguments)  # type: ignore[arg-type]
        calls.append(1)
        if len(calls) == 9:  # in the second stage
            raise KeyboardInterrupt

    monkeypatch.setattr(loop, "keep_state", killed)
    assert trained(model, "--data", spikes_file, *more, "--out", tmp_path / "broken") == 130
    assert not (tmp_path / "broken" / "config.json").exists()
    monkeypatch.setattr(loop, "keep_state", kept)
    assert (
        trained(model, "--data", spikes_file, *more, "--out", tmp_path / "broken", "--resume") == 0
    )
    for name in ("float", "quantized", "chip"):
        a, b = (
            (tmp_path / run / f"{name}.safetensors").read_bytes() for run in ("whole", "broken")
        )
        assert a == b
    report = read_json(tmp_path / "whole" / "config.json")
    assert report["config"]["class_names"] == ["low", "middle", "high"]
    assert report["accuracy"]["test"]["tuned"]["correct"] >= 10


def test_a_network_is_read_back_as_it_was(network_file: Path) -> None:
    torch.manual_seed(0)
    chip = to_chip(module_of(f"{network_file}:Net").eval(), shape=(2, 34, 34), message_max=3)
    again = network_from(described_network(chip), network_tensors(chip))
    from export.run.torch_run import run_torch, torch_registers

    held, read = torch_registers(chip), torch_registers(again)
    assert held.keys() == read.keys() and all(np.array_equal(held[k], read[k]) for k in held)
    sent = {"input": np.random.default_rng(0).integers(0, 3, (2, 4, 2, 34, 34))}
    a, b = run_torch(chip, sent), run_torch(again, sent)
    assert all(np.array_equal(a.s[n], b.s[n]) and np.array_equal(a.v[n], b.v[n]) for n in a.s)
    slopes = {n: m.spike_grad.width for n, m in chip.named_modules() if hasattr(m, "spike_grad")}
    assert slopes == {n: m.spike_grad.width for n, m in again.named_modules() if n in slopes}


def _break(raw: dict, tensors: dict, how: str) -> None:
    if how == "kind":
        raw["modules"]["fc"]["kind"] = "code"
    elif how == "missing":
        del tensors["fc.weight"]
    elif how == "left over":
        tensors["odd"] = torch.zeros(1)
    elif how == "shape":
        tensors["fc.weight"] = torch.zeros(3, 99)
    elif how == "register":
        tensors["lif2.vth"] = torch.tensor(1 << 20, dtype=torch.int32)
    elif how == "nan":
        tensors["fc.weight"][0, 0] = float("nan")
    elif how == "wire":
        raw["wires"][0]["target"] = "nowhere"
    elif how == "size":
        raw["modules"]["lif2"]["shape"] = [1 << 30]
    elif how == "output":
        raw["outputs"] = ["fc"]


@pytest.mark.parametrize(
    ("how", "says"),
    [
        ("kind", "kind 'code' is none of"), ("missing", "'fc.weight' is missing"),
        ("left over", "'odd' belongs to no module"), ("shape", "do not fit each other"),
        ("register", "vth"), ("nan", "NaN"), ("wire", "nowhere"), ("size", "shape"),
        ("output", "output 'fc'"),
    ],
)  # fmt: skip
def test_a_damaged_network_is_refused(network_file: Path, how: str, says: str) -> None:
    chip = to_chip(module_of(f"{network_file}:Net").eval(), shape=(2, 34, 34))
    raw = described_network(chip)
    tensors = {name: x.clone() for name, x in network_tensors(chip).items()}
    _break(raw, tensors, how)
    with pytest.raises(BadInput, match=says):
        network_from(raw, tensors)


def _places(value: object, at: tuple = ()) -> Iterator[tuple]:
    yield at
    items = (
        value.items()
        if isinstance(value, dict)
        else enumerate(value)
        if isinstance(value, list)
        else ()
    )
    for key, inner in items:
        yield from _places(inner, (*at, key))


def test_any_value_at_any_place_is_read_or_refused(network_file: Path) -> None:
    chip = to_chip(module_of(f"{network_file}:Net").eval(), shape=(2, 34, 34))
    whole, tensors = json.loads(json.dumps(described_network(chip))), network_tensors(chip)
    values = [
        None,
        True,
        -1,
        0,
        1 << 40,
        1 << 70,
        0.5,
        1e308,
        "",
        "x",
        [],
        ["a"],
        [[1]],
        {},
        {"a": 1},
    ]
    refused = 0
    for place in list(_places(whole))[1:]:
        for value in values:
            raw = inside = copy.deepcopy(whole)
            for key in place[:-1]:
                inside = inside[key]
            inside[place[-1]] = value
            try:
                network_from(raw, dict(tensors))
            except BadInput as error:
                refused += "\n" not in str(error)
    assert refused > 10 * len(list(_places(whole)))


def test_labels_choose_nothing_of_the_test(
    spikes_file: Path, dense_file: Path, tmp_path: Path
) -> None:
    """Other labels of the test samples change no weight."""
    from neuroclip.network.parts import parts_of
    from neuroclip.network.samples import open_samples

    arrays = dict(np.load(spikes_file))
    test = parts_of(open_samples(spikes_file), 0).test
    # Of the test samples two change places: the proportions of the classes stay as they are.
    labels = arrays["labels"].copy()
    a, b = test[0], next(i for i in test if labels[i] != labels[test[0]])
    arrays["spikes"][[a, b]] = arrays["spikes"][[b, a]]
    np.savez(tmp_path / "other.npz", **arrays)
    more = ("--epochs", 2, "--quantized-epochs", 1)
    found = []
    for name, data in (("a", spikes_file), ("b", tmp_path / "other.npz")):
        assert (
            trained(f"{dense_file}:make_model", "--data", data, *more, "--out", tmp_path / name)
            == 0
        )
        found.append((tmp_path / name / "chip.safetensors").read_bytes())
    assert found[0] == found[1]


TWO_INPUTS = """
import snntorch as snn
from torch import nn

KEPT = {"reset_mechanism": "zero", "reset_delay": False, "init_hidden": True}


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.a, self.b = nn.Linear(4, 8), nn.Linear(2, 8, bias=False)
        self.lif, self.fc = snn.Leaky(0.9, threshold=0.5, **KEPT), nn.Linear(8, 3)
        self.out = snn.Leaky(0.9, threshold=0.5, **KEPT)

    def forward(self, left, right):
        return self.out(self.fc(self.lif(self.a(left) + self.b(right))))
"""


def test_several_inputs_are_trained_on_and_exported(spikes_file: Path, tmp_path: Path) -> None:
    (tmp_path / "two.py").write_text(TWO_INPUTS)
    arrays = dict(np.load(spikes_file))
    spikes = arrays.pop("spikes")
    np.savez(tmp_path / "two.npz", left=spikes[..., :4], right=spikes[..., 4:], **arrays)
    data, run = ("--data", tmp_path / "two.npz"), tmp_path / "run"
    short = ("--epochs", 2, "--quantized-epochs", 1)
    assert trained(f"{tmp_path / 'two.py'}:Net", *data, *short, "--out", run) == 0
    out = tmp_path / "out"
    assert export([str(run), *map(str, data), "--target", "emulator", "--out", str(out)]) == 0
    report = read_json(out / "report.json")
    assert report["samples"] == 12 and report["predictions"]["labels"] == ["low", "middle", "high"]
    kept = read_json(run / "config.json")["accuracy"]["test"]
    assert report["accuracy"]["float"]["correct"] == kept["float"]["correct"]
    assert report["accuracy"]["emulator"]["correct"] == kept["tuned"]["correct"]
