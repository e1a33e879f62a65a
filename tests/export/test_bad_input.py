"""Bad input to `neuroclip-export`: status 2, one line that names it, nothing left in the output."""

import errno
import json
import os
import pickle
import shutil
import struct
import subprocess
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

h5py = pytest.importorskip("h5py")
nir = pytest.importorskip("nir")

from deploy.emulate.trace import load_trace
from deploy.errors import BadInput
from deploy.program.file import load_program
from export.commands.main import main
from export.nir_format.read.file import read_nir
from neuroclip.data.spikes import read_spikes

Refused = Callable[..., str]


def export(refused: Refused, model: object, tmp_path: Path, *more: object, says: tuple = ()) -> str:
    out = tmp_path / "out"
    line = refused(main, model, "--target", "emulator", "--out", out, *more, says=says)
    assert not out.exists()
    return line


class Code:
    """Pickles to a call that leaves a mark, if anyone ever loads it."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[Any, ...]:
        return (os.mkdir, (str(self.mark),))


# ---------------------------------------------------------------- checkpoints


@pytest.fixture
def model(tmp_path: Path, checkpoint_folder: Path) -> Path:
    """A copy of the checkpoint to damage."""
    return Path(shutil.copytree(checkpoint_folder, tmp_path / "model"))


@pytest.fixture
def run_model(
    refused: Refused, model: Path, recordings_folder: Path, tmp_path: Path
) -> Callable[..., str]:
    return lambda *says: export(refused, model, tmp_path, "--data", recordings_folder, says=says)


FILES = ("config.json", "float.safetensors", "chip.safetensors")


@pytest.mark.parametrize("name", FILES)
def test_a_missing_file_of_a_checkpoint(run_model: Any, model: Path, name: str) -> None:
    (model / name).unlink()
    run_model(model / name)


@pytest.mark.parametrize("keep", [0.0, 0.01, 0.5, 0.98])
@pytest.mark.parametrize("name", FILES)
def test_a_truncated_file_of_a_checkpoint(
    run_model: Any, model: Path, name: str, keep: float
) -> None:
    whole = (model / name).read_bytes()
    (model / name).write_bytes(whole[: int(keep * len(whole))])
    run_model(model / name)


@pytest.mark.parametrize("name", FILES)
def test_a_folder_in_place_of_a_file(run_model: Any, model: Path, name: str) -> None:
    (model / name).unlink()
    (model / name).mkdir()
    run_model(model / name)


@pytest.mark.parametrize("name", FILES[1:])
def test_a_pickle_disguised_as_safetensors(
    run_model: Any, model: Path, tmp_path: Path, name: str
) -> None:
    import torch

    torch.save({"down": Code(tmp_path / "executed")}, model / name)
    run_model(model / name)
    (model / name).write_bytes(pickle.dumps(Code(tmp_path / "executed")))
    run_model(model / name)
    assert not (tmp_path / "executed").exists()


def changed_tensors(path: Path, change: Callable[[dict[str, Any]], Any]) -> None:
    from safetensors.torch import load_file, save_file

    tensors = load_file(path)
    change(tensors)
    save_file(tensors, path)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
@pytest.mark.parametrize(
    ("name", "tensor"), [("float.safetensors", "down.weight"), ("chip.safetensors", "down")]
)
def test_weights_that_are_no_numbers(
    run_model: Any, model: Path, name: str, tensor: str, value: float
) -> None:
    changed_tensors(model / name, lambda t: t[tensor].view(-1)[3:4].fill_(value))
    run_model(model / name, tensor, "NaN or infinity")


@pytest.mark.parametrize(
    ("name", "tensor"), [("float.safetensors", "down.weight"), ("chip.safetensors", "down")]
)
def test_a_checkpoint_of_another_shape(run_model: Any, model: Path, name: str, tensor: str) -> None:
    changed_tensors(model / name, lambda t: t.update({tensor: t[tensor][:-1].clone()}))
    run_model(model / name, tensor, "(7, 64)", "(8, 64)")


@pytest.mark.parametrize(
    ("name", "tensor"), [("float.safetensors", "down.weight"), ("chip.safetensors", "down")]
)
def test_a_checkpoint_without_a_tensor(run_model: Any, model: Path, name: str, tensor: str) -> None:
    changed_tensors(model / name, lambda t: t.pop(tensor))
    run_model(model / name, tensor, "missing")


def test_a_deviation_that_divides_by_nothing(run_model: Any, model: Path) -> None:
    changed_tensors(model / "chip.safetensors", lambda t: t["deviation"].zero_())
    run_model(model / "chip.safetensors", "deviation")


def test_integers_in_place_of_weights(run_model: Any, model: Path) -> None:
    import torch

    changed_tensors(
        model / "chip.safetensors", lambda t: t.update(down=t["down"].to(torch.complex64))
    )
    run_model(model / "chip.safetensors", "down")


@pytest.mark.parametrize(
    ("where", "value"),
    [
        ("adapter.hidden", "x"),
        ("adapter.hidden", 10**9),
        ("adapter.hidden", 2.5),
        ("adapter.hidden", True),
        ("adapter.hidden", -1),
        ("adapter.hidden", None),
        ("adapter.features", 10**9),
        ("adapter.features", 10**30),
        ("adapter.steps", 10**12),
        ("adapter.steps", 7),
        ("adapter.cut", "sideways"),
        ("adapter.cut", ["folded"]),
        ("adapter.decay", "slow"),
        ("adapter.decay", -3.0),
        ("adapter.decay", float("nan")),
        ("adapter.threshold", float("inf")),
        ("adapter.threshold", -1.0),
        ("adapter.threshold", 1e30),
        ("adapter.dropout", 2),
        ("adapter.blend", [1]),
        ("adapter.message_max", 10**9),
        ("adapter.message_exponent", 5000),
        ("adapter.message_exponent", -5000),
        ("adapter.unknown", 1),
        ("adapter", []),
        ("scales.down_exponent", 5000),
        ("scales.down_exponent", -5000),
        ("scales.up_exponent", "8"),
        ("scales.up_exponent", -5000),
        ("scales.hidden_bias_exponent", -5000),
        ("scales.hidden_bias_exponent", 99),
        ("scales.readout_bias_exponent", 1.5),
        ("scales", None),
        ("labels", []),
        ("labels", "abc"),
        ("labels", 5),
        ("labels", ["0"] * 10),
        ("template", 3),
        ("template", "no place for the label"),
        ("frames.steps", 10**9),
        ("frames.steps", "4"),
        ("frames.slicing", "sideways"),
        ("frames.threshold", "1"),
        ("frames", 7),
        ("clip.model", "no-such-clip"),
        ("clip.model", 7),
        ("clip.digest", "0" * 64),
        ("clip", None),
        ("training", 5),
        ("format", "other"),
        ("version", 99),
    ],
)
def test_a_configuration_with_wrong_values(
    run_model: Any, model: Path, where: str, value: object
) -> None:
    config = json.loads((model / "config.json").read_text())
    *outer, key = where.split(".")
    entry = config
    for name in outer:
        entry = entry[name]
    entry[key] = value
    (model / "config.json").write_text(json.dumps(config))
    run_model(*() if where.startswith("clip.") else (model / "config.json",))


def test_labels_that_the_weights_were_not_made_for(run_model: Any, model: Path) -> None:
    config = json.loads((model / "config.json").read_text())
    (model / "config.json").write_text(json.dumps(config | {"labels": ["a", "b"]}))
    run_model(model / "chip.safetensors", "'text'", "(10, 64)", "(2, 64)")


@pytest.mark.parametrize(
    "text", ["", "{", "[]", "null", "\xff", "[" * 100_000, "{}", '{"a": 1' + "0" * 5000 + "}"]
)
def test_an_unreadable_configuration(run_model: Any, model: Path, text: str) -> None:
    (model / "config.json").write_bytes(text.encode("latin-1"))
    run_model(model / "config.json")


def test_an_unknown_model(refused: Refused, tmp_path: Path) -> None:
    export(refused, "no-such-model", tmp_path, says=("no-such-model",))


# ---------------------------------------------------------------- event data


def record(folder: Path, content: bytes) -> Path:
    folder.mkdir()
    (folder / "events.bin").write_bytes(content)
    return folder / "events.bin"


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "zero events"),
        (b"\x01\x02\x00\x00\x00" * 3 + b"\x01\x02", "truncated"),
        (b"\x01\x02\x00\x00\x00" * 3 + b"\xfa\x02\x00\x00\x05", " 250"),
        (b"\x01\x02\x00\x03\xe9" + b"\x01\x02\x00\x00\x00", "not sorted"),
    ],
)
@pytest.mark.parametrize("in_a_set", [False, True])
def test_bad_event_files(
    refused: Refused,
    checkpoint_folder: Path,
    recordings_folder: Path,
    tmp_path: Path,
    content: bytes,
    says: str,
    in_a_set: bool,
) -> None:
    if in_a_set:
        data = Path(shutil.copytree(recordings_folder, tmp_path / "set"))
        bad = data / "Test" / "0" / "00000.bin"
        bad.write_bytes(content)
    else:
        data = bad = record(tmp_path / "one", content)
    export(refused, checkpoint_folder, tmp_path, "--data", data, says=(bad, says))


def test_data_that_is_nowhere_or_of_no_kind(
    refused: Refused, checkpoint_folder: Path, tmp_path: Path
) -> None:
    run = [refused, checkpoint_folder, tmp_path, "--data"]
    export(*run, tmp_path / "nowhere", says=(tmp_path / "nowhere",))
    (tmp_path / "empty").mkdir()
    export(*run, tmp_path / "empty", says=(tmp_path / "empty",))
    (tmp_path / "events.txt").write_text("1 2 3")
    export(*run, tmp_path / "events.txt", says=(tmp_path / "events.txt",))
    np.savez(tmp_path / "events.npz", x=np.array([1]))
    export(*run, tmp_path / "events.npz", says=(tmp_path / "events.npz",))
    (tmp_path / "damaged.npz").write_bytes(b"PK\x03\x04 no archive")
    export(*run, tmp_path / "damaged.npz", says=(tmp_path / "damaged.npz",))


@pytest.mark.parametrize("labels", ["", " , ", "a,a", "x" * 500])
def test_labels_that_are_none(
    refused: Refused, checkpoint_folder: Path, recordings_folder: Path, tmp_path: Path, labels: str
) -> None:
    data = ("--data", recordings_folder)
    export(refused, checkpoint_folder, tmp_path, *data, "--labels", labels)


# ---------------------------------------------------------------- NIR files


@pytest.fixture
def graph(tmp_path: Path, graph_file: Path) -> Path:
    """A copy of the graph to damage."""
    return Path(shutil.copy(graph_file, tmp_path / "damaged.nir"))


@pytest.fixture
def run_graph(
    refused: Refused, graph: Path, spikes_file: Path, tmp_path: Path
) -> Callable[..., str]:
    return lambda *says: export(refused, graph, tmp_path, "--data", spikes_file, says=says)


Damage = Callable[[Any], object]
NODES = "node/nodes"
WEIGHT, BIAS, TYPE = (f"{NODES}/fc1/{name}" for name in ("weight", "bias", "type"))
VTH, TAU, INPUT = f"{NODES}/lif/v_threshold", f"{NODES}/lif/tau", f"{NODES}/in/shape"
TEXT = h5py.string_dtype()


def removed(file: Any, *entries: str) -> None:
    for entry in entries:
        if entry in file:
            del file[entry]


def gone(*entries: str) -> Damage:
    return lambda file: removed(file, *entries)


def put(entry: str, value: Any) -> Damage:
    """Something else in place of an entry."""
    return lambda file: (removed(file, entry), file.__setitem__(entry, value))


def filled(entry: str, value: float, at: Any = ...) -> Damage:
    """Values of an entry, changed where they lie."""
    return lambda file: file[entry].__setitem__(at, value)


def made(entry: str, *how: Any, **more: Any) -> Damage:
    """A data set in place of an entry, as `create_dataset` takes it."""
    return lambda file: (removed(file, entry), file.create_dataset(entry, *how, **more))


def virtual(file: Any) -> None:
    removed(file, WEIGHT)
    layout = h5py.VirtualLayout((5, 6), "f8")
    layout[:] = h5py.VirtualSource("other.h5", "weight", (5, 6))
    file.create_virtual_dataset(WEIGHT, layout)


def compressed_bomb(file: Any) -> None:
    """Many small entries that are each allowed, together not."""
    for index in range(3):
        file.create_dataset(f"{NODES}/x{index}", (2**28,), "f8", chunks=(4096,), compression=9)


def no_nodes(file: Any) -> None:
    made("node/edges", (0,), TEXT)(file)
    removed(file, *(f"{NODES}/{name}" for name in file[NODES]))


def more_edges(file: Any, *pairs: tuple[str, str]) -> None:
    held = [[a.decode(), b.decode()] for a, b in file["node/edges"][()]]
    edges = np.array([*held, *map(list, pairs)], dtype=object)
    made("node/edges", data=edges, dtype=TEXT)(file)


def cycle_without_a_neuron(file: Any) -> None:
    file.copy(f"{NODES}/fc2", f"{NODES}/again")
    put(f"{NODES}/again/weight", np.full((5, 3), 2.0))(file)
    more_edges(file, ("fc2", "again"), ("again", "fc2"))


def huge_attribute(file: Any) -> None:
    """Attributes mean nothing in NIR and are not read; what refuses this file is its weight."""
    for index in range(4):
        file["node"].attrs[f"a{index}"] = "A" * 60_000
    filled(WEIGHT, np.nan, (2, 3))(file)


DAMAGES: dict[str, tuple[Damage, str]] = {
    "external link": (put(WEIGHT, h5py.ExternalLink("other.h5", "/weight")), f"/{WEIGHT}"),
    "soft link": (put(WEIGHT, h5py.SoftLink(f"/{NODES}/fc2/weight")), f"/{WEIGHT}"),
    "external storage": (
        made(WEIGHT, (5, 6), "f8", external=[("/etc/passwd", 0, 240)]),
        f"/{WEIGHT}",
    ),
    "virtual": (virtual, f"/{WEIGHT}"),
    "cycle": (lambda file: put(f"{NODES}/fc1/loop", file["node"])(file), f"/{NODES}/fc1/loop"),
    "objects": (made(WEIGHT, (5, 6), h5py.ref_dtype), f"/{WEIGHT}"),
    "ten gigabytes": (made(WEIGHT, (5, 250_000_000), "f8", chunks=(1, 4096)), f"/{WEIGHT}"),
    "compressed bomb": (compressed_bomb, f"/{NODES}/x"),
    "long text": (
        made("version", (2**29,), h5py.string_dtype("ascii", 100), chunks=(64,)),
        "/version",
    ),
    "nan": (filled(WEIGHT, np.nan, (2, 3)), "'fc1': weight holds nan"),
    "infinity": (filled(VTH, np.inf, 1), "'lif': v_threshold holds inf"),
    "text in place of weights": (put(WEIGHT, "no numbers"), "fc1"),
    "missing node": (gone(f"{NODES}/fc2"), "fc2"),
    "missing parameter": (gone(TAU), "tau"),
    "unchained": (put(f"{NODES}/fc2/weight", np.full((3, 4), 2.0)), "fc2"),
    "short bias": (put(BIAS, np.full(4, 1.0)), "fc1"),
    "flat weights": (put(WEIGHT, np.full(6, 2.0)), "fc1"),
    "no edges": (made("node/edges", (0,), TEXT), ""),
    "no nodes": (no_nodes, ""),
    "nothing": (lambda file: removed(file, *file), ""),
    "unknown type": (put(TYPE, "Teleport"), "Teleport"),
    "many inputs": (lambda file: file.copy(f"{NODES}/in", f"{NODES}/in2"), "2 inputs"),
    "huge input": (filled(INPUT, 10**15), "node 'in': shape [1000000000000000]"),
    "negative input": (filled(INPUT, -6), "node 'in': the input has shape [-6]"),
    "huge weight": (filled(WEIGHT, 1e300, (0, 0)), "'fc1': weight holds 1e+300"),
    "huge threshold": (filled(VTH, 1e300), "'lif': v_threshold holds 1e+300"),
    "negative threshold": (filled(VTH, -1.0), "lif"),
    "huge bias": (filled(BIAS, 1e300), "'fc1': bias holds 1e+300"),
    "zero tau": (filled(TAU, 0.0), "'lif': tau 0.0"),
    "tiny tau": (filled(TAU, 1e-320), "'lif'"),
    "edge to nowhere": (
        lambda file: more_edges(file, ("fc1", "nowhere")),
        "edge 'fc1' → 'nowhere': there is no node 'nowhere'",
    ),
    "a cycle": (cycle_without_a_neuron, "nodes 'again', 'fc2': a cycle without a neuron"),
    "huge text": (put(TYPE, "A" * 20_000_000), "node 'fc1': 'AAAA"),
    "huge attribute": (huge_attribute, "'fc1': weight holds nan"),
    "zeros that are not stored": (
        made(f"{NODES}/x", (2**27,), "f8", chunks=(4096,)),
        f"/{NODES}/x",
    ),
    "deep groups": (
        lambda file: file.create_group("/".join(["deep"] * 150)),
        "nested deeper than 100",
    ),
    "long name": (
        lambda file: file.move(f"{NODES}/lif", f"{NODES}/{'l' * 5000}"),
        "no name of at most 200 characters",
    ),
    "line break in a name": (
        lambda file: file.move(f"{NODES}/lif", f"{NODES}/li\nf"),
        "no name of at most 200 characters",
    ),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_graph(run_graph: Any, graph: Path, damage: str) -> None:
    change, says = DAMAGES[damage]
    with h5py.File(graph, "r+") as file:
        change(file)
    run_graph(graph.name, says)


@pytest.mark.parametrize("keep", [0.0, 0.01, 0.5, 0.95])
def test_a_truncated_graph(run_graph: Any, graph: Path, keep: float) -> None:
    whole = graph.read_bytes()
    graph.write_bytes(whole[: int(keep * len(whole))])
    run_graph(graph)


def test_a_graph_that_is_nowhere_or_a_folder(run_graph: Any, graph: Path) -> None:
    graph.unlink()
    run_graph(graph)
    graph.mkdir()
    run_graph(graph)


def test_a_pipe_in_place_of_a_graph(graph: Path) -> None:
    graph.unlink()
    os.mkfifo(graph)
    try:
        with pytest.raises(BadInput, match="is a pipe, expected a file"):
            read_nir(graph)
    finally:
        graph.unlink()


def test_a_graph_without_data_or_with_labels(
    refused: Refused, graph_file: Path, spikes_file: Path, tmp_path: Path
) -> None:
    export(refused, graph_file, tmp_path, says=(graph_file, "--data"))
    more = ("--data", spikes_file, "--labels", "a,b")
    export(refused, graph_file, tmp_path, *more, says=("--labels",))


# ---------------------------------------------------------------- spikes


GOOD = np.zeros((3, 8, 6), np.uint8)


@pytest.mark.parametrize(
    ("arrays", "says"),
    [
        ({}, "spikes"),
        ({"spike": GOOD}, "spikes"),
        ({"spikes": GOOD[0, 0]}, "(6,)"),
        ({"spikes": GOOD[:0]}, "(0, 8, 6)"),
        ({"spikes": GOOD[:, :0]}, "(3, 0, 6)"),
        ({"spikes": np.zeros((3, 8, 7), np.uint8)}, "(3, 8, 7)"),
        ({"spikes": GOOD + 0.5}, "float64"),
        ({"spikes": GOOD * np.nan}, "float64"),
        ({"spikes": GOOD + 1e300}, ""),
        ({"spikes": GOOD + np.uint64(2**63)}, str(2**63)),
        ({"spikes": GOOD.astype(np.int64) - 2**40}, str(-(2**40))),
        ({"spikes": GOOD.astype(np.complex64)}, "complex64"),
        ({"spikes": GOOD.astype("U1")}, "<U1"),
        ({"spikes": GOOD, "labels": np.zeros(2, int)}, "labels"),
        ({"spikes": GOOD, "labels": np.zeros(3)}, "labels"),
        ({"spikes": GOOD, "labels": np.zeros((3, 1), int)}, "labels"),
    ],
)
def test_bad_spikes(
    refused: Refused, graph_file: Path, tmp_path: Path, arrays: dict[str, Any], says: str
) -> None:
    path = tmp_path / "spikes.npz"
    np.savez(path, **arrays)
    export(refused, graph_file, tmp_path, "--data", path, says=(path.name, says))


def test_spikes_that_are_pickles(refused: Refused, graph_file: Path, tmp_path: Path) -> None:
    code = np.array([[[Code(tmp_path / "executed")] * 6] * 8] * 3, dtype=object)
    np.savez(tmp_path / "code.npz", spikes=code)
    np.save(tmp_path / "code.npy", code)
    (tmp_path / "raw.npy").write_bytes(pickle.dumps(Code(tmp_path / "executed")))
    (tmp_path / "raw.npz").write_bytes(pickle.dumps(Code(tmp_path / "executed")))
    for name in ("code.npz", "code.npy", "raw.npy", "raw.npz"):
        export(refused, graph_file, tmp_path, "--data", tmp_path / name, says=(tmp_path / name,))
    assert not (tmp_path / "executed").exists()


def npy_header(shape: str, size: int = 16) -> bytes:
    text = f"{{'descr': '<f8', 'fortran_order': False, 'shape': {shape}, }}".encode()
    text += b" " * (-(len(text) + 11) % 64) + b"\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text + bytes(size)


@pytest.mark.parametrize("shape", ["(10000000000, 1, 6)", "(-3, 8, 6)", "(3, 8", "(3, 8.5, 6)"])
def test_small_files_that_declare_much(
    refused: Refused, graph_file: Path, tmp_path: Path, shape: str
) -> None:
    (tmp_path / "huge.npy").write_bytes(npy_header(shape))
    with zipfile.ZipFile(tmp_path / "huge.npz", "w") as archive:
        archive.writestr("spikes.npy", npy_header(shape))
    for name in ("huge.npy", "huge.npz"):
        export(refused, graph_file, tmp_path, "--data", tmp_path / name, says=(tmp_path / name,))


def test_damaged_and_missing_spikes(
    refused: Refused, graph_file: Path, spikes_file: Path, tmp_path: Path
) -> None:
    whole = spikes_file.read_bytes()
    for name, content in (
        ("half.npz", whole[: len(whole) // 2]),
        ("flipped.npz", whole[:100] + bytes(b ^ 255 for b in whole[100:140]) + whole[140:]),
        ("empty.npz", b""),
        ("empty.npy", b""),
        ("text.csv", b"1,0,1"),
    ):
        (tmp_path / name).write_bytes(content)
        export(refused, graph_file, tmp_path, "--data", tmp_path / name, says=(tmp_path / name,))
    nowhere = tmp_path / "nowhere.npz"
    export(refused, graph_file, tmp_path, "--data", nowhere, says=(nowhere,))
    export(refused, graph_file, tmp_path, "--data", tmp_path, says=(tmp_path,))


# ---------------------------------------------------------------- chips and coefficients


@pytest.mark.parametrize("option", ["--chip", "--coefficients"])
@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[]",
        "[" * 100_000,
        "{}",
        "\xff\xfe",
        '{"format": "neuroclip-chip", "version": 1}',
        '{"format": "neuroclip-coefficients", "version": 1, "coefficients": {"synapse_ac": 1}}',
        '{"format": "neuroclip-chip", "version": 1, "name": "a", "description": "", "chips": 1,'
        ' "extends": "loihi2", "limits": {"neurons": {"value": 1e999, "source": "x"}}}',
    ],
)
def test_damaged_descriptions(
    refused: Refused, graph_file: Path, spikes_file: Path, tmp_path: Path, option: str, text: str
) -> None:
    path = tmp_path / "described.json"
    path.write_bytes(text.encode("latin-1"))
    data = ("--data", spikes_file)
    export(refused, graph_file, tmp_path, *data, option, path, says=(path,))


@pytest.mark.parametrize("option", ["--chip", "--coefficients"])
@pytest.mark.parametrize(
    "name", ["loihi9000", "nowhere.json", "", str(Path("..", "..", "etc", "passwd"))]
)
def test_unknown_descriptions(
    refused: Refused, graph_file: Path, spikes_file: Path, tmp_path: Path, option: str, name: str
) -> None:
    data = ("--data", spikes_file)
    export(refused, graph_file, tmp_path, *data, option, name, says=(name,))


# ---------------------------------------------------------------- options


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ([], "--target"),
        (["--target", "moon"], "moon"),
        (["--target", "emulator", "--calibrate", "x"], "--calibrate"),
        (["model.net", "--target", "emulator"], "model.net"),
        (["g.nir", "--target", "emulator", "--samples", "0"], "--samples"),
        (["g.nir", "--target", "emulator", "--samples", "-3"], "--samples"),
        (["g.nir", "--target", "emulator", "--samples", "many"], "--samples"),
        (["g.nir", "--target", "emulator", "--dt", "nan"], "--dt"),
        (["g.nir", "--target", "emulator", "--dt", "0"], "--dt"),
        (["g.nir", "--target", "emulator", "--dt", "inf"], "--dt"),
        (["g.nir", "--target", "emulator", "--timeout", "-1"], "--timeout"),
        (["g.nir", "--target", "emulator", "--jobs", "0"], "--jobs"),
        (["g.nir", "--target", "emulator", "--tries", "0"], "--tries"),
        (["g.nir", "--target", "emulator", "--record", "some"], "--record"),
        (["g.nir", "--target", "emulator", "--record-samples", "0"], "--record-samples"),
        (["g.nir", "--target", "emulator", "--seed", "x"], "--seed"),
        (["g.nir", "--target", "emulator", "--unknown"], "--unknown"),
        (["g.nir", "h.nir", "--target", "emulator"], "h.nir"),
    ],
)
def test_bad_options(
    refused: Refused, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: Any, says: str
) -> None:
    monkeypatch.chdir(tmp_path)
    refused(main, *arguments, says=(says,))


def test_a_seed_that_no_generator_takes(
    refused: Refused, checkpoint_folder: Path, recordings_folder: Path, tmp_path: Path
) -> None:
    data = ("--data", recordings_folder)
    export(refused, checkpoint_folder, tmp_path, *data, "--seed", "-1", says=("seed",))


def test_a_step_under_which_no_register_is_near(
    refused: Refused, graph_file: Path, spikes_file: Path, tmp_path: Path
) -> None:
    for dt in ("1e-300", "1e300"):
        export(refused, graph_file, tmp_path, "--data", spikes_file, "--dt", dt, says=("node '",))


def test_a_lava_python_that_is_none(
    refused: Refused, graph_file: Path, spikes_file: Path, tmp_path: Path
) -> None:
    arguments = (graph_file, "--data", spikes_file, "--target", "lava", "--out", tmp_path / "out")
    (tmp_path / "text").write_text("no program")
    for python in (tmp_path / "nowhere", tmp_path / "text", tmp_path):
        refused(main, *arguments, "--lava-python", python, says=(python,))


# ---------------------------------------------------------------- output folders and disks


def test_an_output_that_cannot_be_written(
    refused: Refused, graph_file: Path, spikes_file: Path, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("in the way")
    for out in (tmp_path / "file", tmp_path / "file" / "below", tmp_path / ("x" * 300)):
        run = (graph_file, "--data", spikes_file, "--target", "emulator", "--out", out)
        refused(main, *run, says=(out,))


@pytest.mark.parametrize("written", range(3))
def test_a_disk_that_gets_full(
    refused: Refused,
    graph_file: Path,
    spikes_file: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    written: int,
) -> None:
    """Full at the first, second, … array of the run: nothing of it stays."""
    out, count, write = tmp_path / "out", 0, np.lib.format.write_array

    def full(stream: Any, *arguments: Any, **keywords: Any) -> None:
        nonlocal count
        count += 1
        if count > 10 * written:
            stream.write(b"half")
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        write(stream, *arguments, **keywords)

    monkeypatch.setattr(np.lib.format, "write_array", full)
    run = (graph_file, "--data", spikes_file, "--target", "emulator", "--record", "all")
    refused(main, *run, "--out", out, says=(out, "No space left on device"))
    assert count > 10 * written and not out.exists()


def test_a_disk_that_really_is_full(
    refused: Refused, graph_file: Path, spikes_file: Path, tmp_path: Path
) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=24k", "tmpfs", str(disk)]
    if os.geteuid() != 0 or subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("a small disk can be mounted by root only")
    try:
        run = (graph_file, "--data", spikes_file, "--target", "emulator")
        refused(main, *run, "--out", disk / "out", says=(disk, "No space left on device"))
        assert list(disk.iterdir()) == []
    finally:
        subprocess.run(["umount", str(disk)], check=True)


# ---------------------------------------------------------------- damaged bytes of any kind


def damaged(whole: bytes, rng: np.random.Generator) -> bytes:
    """The file with some bytes changed, at its end cut, or with some taken out."""
    content, kind = bytearray(whole), rng.integers(4)
    if kind == 0:
        return bytes(content[: rng.integers(len(content))])
    if kind == 1:
        start = rng.integers(len(content))
        return bytes(content[:start] + content[start + rng.integers(1, 30) :])
    # Headers, where the harm is done, are at the beginning.
    end = len(content) if kind == 2 else min(len(content), 400)
    for place in rng.integers(0, end, 3):
        content[place] = rng.integers(256)
    return bytes(content)


def assert_read_or_refused(path: Path, read: Callable[[Path], object], repeats: int) -> None:
    whole, refusals = path.read_bytes(), 0
    for seed in range(repeats):
        path.write_bytes(damaged(whole, np.random.default_rng(seed)))
        try:
            read(path)
        except BadInput as error:
            refusals += 1
            assert str(path) in str(error), seed
        except Exception as error:
            raise AssertionError(f"damage {seed}: {error!r}") from error
    assert refusals > repeats / 4


REPEATS = pytest.mark.parametrize("repeats", [50, pytest.param(400, marks=pytest.mark.long)])


@REPEATS
def test_arrays_of_damaged_bytes(
    tmp_path: Path, graph_file: Path, spikes_file: Path, repeats: int
) -> None:
    command = [graph_file, "--data", spikes_file, "--target", "emulator", "--out", tmp_path / "run"]
    assert main([str(a) for a in command]) == 0
    spikes = Path(shutil.copy(spikes_file, tmp_path))
    np.save(tmp_path / "spikes.npy", np.load(spikes_file)["spikes"])
    assert_read_or_refused(tmp_path / "run" / "program.npz", load_program, repeats)
    assert_read_or_refused(tmp_path / "run" / "trace.npz", load_trace, repeats)
    assert_read_or_refused(spikes, read_spikes, repeats)
    assert_read_or_refused(tmp_path / "spikes.npy", read_spikes, repeats)


@REPEATS
def test_graphs_of_damaged_bytes(graph: Path, repeats: int) -> None:
    assert_read_or_refused(graph, read_nir, repeats)


@REPEATS
def test_weights_of_damaged_bytes(tmp_path: Path, repeats: int) -> None:
    torch = pytest.importorskip("torch")
    safetensors = pytest.importorskip("safetensors.torch")
    from neuroclip.storage.weights import read_weights

    tensors = {"a": torch.ones(3, 4), "b": torch.ones(2)}
    torch.save(tensors, tmp_path / "new.pt")
    torch.save(tensors, tmp_path / "old.pt", _use_new_zipfile_serialization=False)
    safetensors.save_file(tensors, tmp_path / "file.safetensors")
    for name in ("new.pt", "old.pt", "file.safetensors"):
        assert_read_or_refused(tmp_path / name, read_weights, repeats)


@pytest.mark.parametrize("label", [3, -1, 10**12])
def test_a_label_that_is_no_class(
    refused: Refused, graph_file: Path, tmp_path: Path, label: int
) -> None:
    spikes = tmp_path / "spikes.npz"
    np.savez(spikes, spikes=np.ones((2, 4, 6), np.uint8), labels=np.array([0, label]))
    says = ("spikes.npz", f"label {label} of sample 1", "3 classes 0..2")
    base = ("--target", "emulator", "--out", tmp_path / "out")
    refused(main, graph_file, "--data", spikes, *base, says=says)


@pytest.mark.parametrize("command", ["export", "train"])
def test_an_output_folder_has_a_name(
    tmp_path, monkeypatch, graph_file, spikes_file, capsys, command
):
    """An empty one, as of a variable that is not set, would be the folder where one stands."""
    monkeypatch.chdir(tmp_path)
    if command == "export":
        from export.commands.main import main

        given = [str(graph_file), "--data", str(spikes_file), "--target", "emulator"]
    else:
        from neuroclip.commands.main import main

        given = ["train", "--data", "digits"]
    with pytest.raises(SystemExit) as ended:
        raise SystemExit(main([*given, "--out", ""]))
    assert ended.value.code == 2 and "an empty name is no folder" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["report.json", "program.npz", "trace.npz", "sub/../report.html"])
def test_metrics_in_place_of_what_the_run_writes(
    refused: Refused, tmp_path: Path, graph_file: Path, spikes_file: Path, name: str
) -> None:
    file = tmp_path / "out" / name
    more = ("--data", spikes_file, "--neurobench", file)
    says = (f"--neurobench {file}", "the run itself writes")
    export(refused, graph_file, tmp_path, *more, says=says)
