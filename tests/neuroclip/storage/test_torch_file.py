"""Torch's own weight files, read without torch's readers: the same tensors, and nothing is run."""

import os
import pickle
import textwrap
import zipfile
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from torch import nn

from deploy.errors import BadInput
from neuroclip.storage.torch_file import torch_tensors
from neuroclip.storage.weights import read_weights


class Net(nn.Module):
    """Parameters and buffers of several types, transposed, tied, empty, in nested modules."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(3, 2)
        self.blocks = nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2))
        self.scale = nn.Parameter(torch.tensor(2.0))
        self.register_buffer("turned", torch.arange(6).reshape(2, 3).half().T)
        self.register_buffer("none", torch.empty(0, 4))
        self.register_buffer("flags", torch.tensor([True, False]))
        self.steps = 3
        self.name = "net"

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.linear(x) * self.scale


def assert_same(found, expected):
    assert found.keys() == expected.keys()
    for name, tensor in expected.items():
        assert found[name].dtype == tensor.dtype and torch.equal(found[name], tensor), name


# Since torch 1.6 a zip file, before it one stream.
ZIPPED = pytest.mark.parametrize("zipped", [True, False], ids=["zip", "old"])


@ZIPPED
@pytest.mark.parametrize("seed", range(3))
def test_a_state_dict_is_what_was_saved(tmp_path, seed, zipped):
    torch.manual_seed(seed)
    state = Net().state_dict()
    types = (torch.float64, torch.bfloat16, torch.int8, torch.uint8, torch.int16, torch.int32)
    state |= {f"x{i}": (100 * torch.rand(5, 4)).to(kind) for i, kind in enumerate(types)}
    whole = torch.rand(64)
    state |= {"part": whole[8:40].reshape(4, 8)[:, 2:5], "tied": whole[8:40]}
    held = [state, {"state_dict": state, "epoch": 3}, {f"module.{n}": x for n, x in state.items()}]
    for i, content in enumerate(held):
        torch.save(content, tmp_path / f"{i}.pt", _use_new_zipfile_serialization=zipped)
        assert_same(read_weights(tmp_path / f"{i}.pt"), state)
    torch.save(
        {n: nn.Parameter(x) for n, x in state.items() if x.is_floating_point()},
        tmp_path / "p.pt",
        _use_new_zipfile_serialization=zipped,
    )
    assert_same(
        read_weights(tmp_path / "p.pt"), {n: x for n, x in state.items() if x.is_floating_point()}
    )


def test_a_torchscript_archive_gives_its_tensors(tmp_path):
    net = Net().eval()
    torch.jit.save(torch.jit.script(net), tmp_path / "scripted.pt")
    torch.jit.save(torch.jit.trace(net, torch.rand(4, 3)), tmp_path / "traced.pt")
    for name in ("scripted.pt", "traced.pt"):
        found = read_weights(tmp_path / name)
        state = net.state_dict()
        # A trace keeps what the example needed; every parameter is in either.
        assert_same(found, {n: x for n, x in state.items() if name == "scripted.pt" or n in found})
        assert found.keys() >= dict(net.named_parameters()).keys() - {"scale"}


def test_the_code_of_a_torchscript_archive_is_not_run(tmp_path):
    """torch itself runs `__setstate__` of such an archive, even with weights_only=True."""
    canary = tmp_path / "canary.npy"
    source = tmp_path / "canary_module.py"
    source.write_text(
        textwrap.dedent(
            f"""
            import torch
            from torch import nn

            class Canary(nn.Module):
                def __init__(self):
                    super().__init__()
                    self.weight = nn.Parameter(torch.ones(2))

                @torch.jit.export
                def __getstate__(self):
                    return (self.weight, self.training)

                @torch.jit.export
                def __setstate__(self, state: tuple[torch.Tensor, bool]):
                    torch.save(state[0], {str(canary)!r})
                    self.weight = state[0]
                    self.training = state[1]

                def forward(self, x):
                    return x * self.weight
            """
        )
    )
    namespace: dict = {}
    import importlib.util

    spec = importlib.util.spec_from_file_location("canary_module", source)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    namespace.update(vars(module))
    torch.jit.save(torch.jit.script(namespace["Canary"]()), tmp_path / "weights.pt")
    assert not canary.exists()
    torch.jit.load(str(tmp_path / "weights.pt"))
    assert canary.exists()  # it sings where the archive is run
    canary.unlink()
    with pytest.raises(BadInput):  # its state is no dict of named tensors
        read_weights(tmp_path / "weights.pt")
    assert not canary.exists()


class Evil:
    def __init__(self, canary: Path) -> None:
        self.canary = canary

    def __reduce__(self):
        return os.mkdir, (str(self.canary),)


def test_a_pickle_is_not_run_wherever_it_stands(tmp_path):
    canary = tmp_path / "canary"
    torch.save({"a": torch.ones(2), "evil": Evil(canary)}, tmp_path / "inside.pt")
    (tmp_path / "bare.pt").write_bytes(pickle.dumps({"a": Evil(canary)}))
    torch.save({"a": Evil(canary)}, tmp_path / "old.pt", _use_new_zipfile_serialization=False)
    with zipfile.ZipFile(tmp_path / "zip.pt", "w") as archive:
        archive.writestr("x/data.pkl", pickle.dumps(Evil(canary)))
    for name in ("inside", "bare", "old", "zip"):
        with pytest.raises(BadInput, match=f"{name}.pt: "):
            read_weights(tmp_path / f"{name}.pt")
        assert not canary.exists()


def test_what_the_file_does_not_hold_is_refused(tmp_path):
    torch.save({"a": torch.arange(6.0).reshape(2, 3)}, tmp_path / "good.pt")
    with zipfile.ZipFile(tmp_path / "good.pt") as archive:
        held = {name: archive.read(name) for name in archive.namelist()}
    index = next(name for name in held if name.endswith("data.pkl"))
    folder = index.removesuffix("data.pkl")

    def written(changed: dict[str, bytes], how: int = zipfile.ZIP_STORED) -> Path:
        with zipfile.ZipFile(tmp_path / "bad.pt", "w", how) as archive:
            for name, content in (held | changed).items():
                archive.writestr(name, content)
        return tmp_path / "bad.pt"

    assert torch_tensors(written({})).keys() == {"a"}
    shape = b"K\x02K\x03\x86"  # (2, 3)
    assert shape in held[index]
    for changed in (
        {index: held[index].replace(shape, b"K\x02K\xff\x86")},
        {index: held[index].replace(shape, b"K\x02J\xff\xff\xff\xff\x86")},
        {index: held[index].replace(shape, b"K\x02\x8a\x10" + b"\x7f" * 16 + b"\x86")},
        {index: held[index].replace(b"FloatStorage", b"EvilStoragee")},
        {f"{folder}data/0": held[f"{folder}data/0"][:8]},
        {f"{folder}data/0": b""},
        {f"{folder}byteorder": b"big"},
        {index: held[index][: len(held[index]) // 2]},
        {"other/data.pkl": held[index]},
    ):
        with pytest.raises(BadInput, match=r"bad\.pt"):
            torch_tensors(written(changed))
    with pytest.raises(BadInput, match="compressed or overlap"):
        torch_tensors(written({}, zipfile.ZIP_DEFLATED))


def test_parts_that_share_parts_do_not_multiply(tmp_path):
    """Thirty modules, each of which has the one before it twice: a thousand million names."""
    index = b"\x80\x02}("
    for i in range(30):
        parts = b"".join(
            b"X\x01\x00\x00\x00" + name + b"h" + bytes([max(i - 1, 0)]) for name in (b"a", b"b")
        )
        module = b"c__torch__\nM\n)\x81}" + (b"(" + parts + b"u" if i else b"") + b"bq" + bytes([i])
        index += b"X\x01\x00\x00\x00" + bytes([64 + i]) + module
    with zipfile.ZipFile(tmp_path / "many.pt", "w") as archive:
        archive.writestr("x/data.pkl", index + b"u.")
    with pytest.raises(BadInput, match="more than 131072 names"):
        torch_tensors(tmp_path / "many.pt")


def test_an_old_file_that_ends_early_or_late_is_refused(tmp_path):
    path = tmp_path / "old.pt"
    torch.save({"a": torch.arange(6.0)}, path, _use_new_zipfile_serialization=False)
    content = path.read_bytes()
    assert torch_tensors(path)["a"].tolist() == [0, 1, 2, 3, 4, 5]
    count = content.rindex((6).to_bytes(8, "little"))
    for changed in (
        content[:-1],
        content + b"x",
        content[:count],
        content[:count] + (7).to_bytes(8, "little") + content[count + 8 :],
        content.replace(b"FloatStorage", b"EvilStoragee"),
        content.replace(b"little_endian", b"lattle_endian"),
        b"",
    ):
        path.write_bytes(changed)
        with pytest.raises(BadInput, match=r"old\.pt"):
            torch_tensors(path)


@ZIPPED
def test_random_bytes_are_refused_or_read(tmp_path, zipped):
    torch.save(
        {"a": torch.arange(6.0)}, tmp_path / "good.pt", _use_new_zipfile_serialization=zipped
    )
    content = bytearray((tmp_path / "good.pt").read_bytes())
    rng = np.random.default_rng(0)
    for _ in range(200):
        changed = bytearray(content)
        for at in rng.integers(0, len(content), 4):
            changed[at] = rng.integers(256)
        (tmp_path / "bad.pt").write_bytes(changed)
        try:
            read_weights(tmp_path / "bad.pt")
        except BadInput as error:
            assert "\n" not in str(error)
