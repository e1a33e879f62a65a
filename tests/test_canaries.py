"""A stranger's file never runs code: a canary stands behind every door, and none sings."""

import io
import json
import os
import pickle
import shutil
import socket
import sys
import threading
import zipfile
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch")
pytest.importorskip("sklearn")
h5py = pytest.importorskip("h5py")

import torch

from export.commands.main import main as export
from neuroclip.commands.main import main as neuroclip

MODELS = Path(__file__).parents[1] / "neuroclip" / "models"


class Canary:
    """Making one of these from a pickle leaves a folder behind."""

    def __init__(self, song: Path) -> None:
        self.song = song

    def __reduce__(self):
        return os.mkdir, (str(self.song),)


@pytest.fixture
def song(tmp_path):
    path = tmp_path / "song"
    pickle.loads(pickle.dumps(Canary(path)))
    assert path.is_dir()  # it sings where it is loaded
    path.rmdir()
    yield path
    assert not path.exists()


def pickled_array(song: Path) -> bytes:
    stream = io.BytesIO()
    np.save(stream, np.array([Canary(song)], object), allow_pickle=True)
    return stream.getvalue()


def test_arrays(tmp_path, song, refused, graph_file):
    (tmp_path / "a.npy").write_bytes(pickled_array(song))
    (tmp_path / "b.npy").write_bytes(pickle.dumps(Canary(song)))
    for name, entry in (("c", "spikes"), ("d", "nodes"), ("e", "header")):
        with zipfile.ZipFile(tmp_path / f"{name}.npz", "w") as archive:
            archive.writestr(f"{entry}.npy", pickled_array(song))
    held = sorted(tmp_path.glob("*.np*"))
    assert len(held) == 5
    for path in held:
        refused(
            export,
            graph_file,
            "--data",
            path,
            "--target",
            "emulator",
            "--out",
            tmp_path / "o",
            says=(path.name,),
        )
        refused(neuroclip, "inspect", path, says=(path.name,))
        refused(neuroclip, "diff", path, path, says=(path.name,))


def test_recordings(tmp_path, song, refused):
    for label in ("0", "1"):
        (tmp_path / "data" / label).mkdir(parents=True)
        for i in range(4):
            with zipfile.ZipFile(tmp_path / "data" / label / f"{i}.npz", "w") as archive:
                for column in "xytp":
                    archive.writestr(f"{column}.npy", pickled_array(song))
    refused(neuroclip, "zero-shot", "--data", tmp_path / "data", says=(".npz",))


@pytest.fixture
def sent(tmp_path, monkeypatch):
    """Bytes as each live source gives them: by its door's name, content → what `watch` is asked for."""
    held = []

    def by_socket(content):
        server = socket.create_server(("127.0.0.1", 0))

        def serve():
            with server, server.accept()[0] as connection:
                connection.sendall(content)

        held.append(threading.Thread(target=serve))
        held[-1].start()
        return (f"tcp://127.0.0.1:{server.getsockname()[1]}",)

    def by_pipe(content):
        """A pipe that has a name; what it is given waits in it."""
        path = tmp_path / f"pipe{len(held)}"
        os.mkfifo(path)
        held.append(os.open(path, os.O_RDWR))
        os.write(held[-1], content)
        return path, "--live", "--idle", "0.01"

    def by_input(content):
        reading, writing = os.pipe()
        os.write(writing, content)
        os.close(writing)
        held.append(os.fdopen(reading))
        monkeypatch.setattr(sys, "stdin", held[-1])
        return ("-",)

    def by_growing_file(content):
        path = tmp_path / f"grows{len(held)}"
        path.write_bytes(content)
        return path, "--live", "--idle", "0"

    yield [by_socket, by_pipe, by_input, by_growing_file]
    for door in held:
        if isinstance(door, threading.Thread):
            door.join()
        else:
            os.close(door) if isinstance(door, int) else door.close()


@pytest.mark.skipif(sys.platform == "win32", reason="pipes that have a name")
@pytest.mark.parametrize("form", ["bin", "bs2", "dat", "csv", "txt"])
def test_live_sources(tmp_path, song, sent, form, capsys):
    """Whatever comes is events or is refused; binary formats take most bytes for events."""
    stream = io.BytesIO()
    torch.save({"a": Canary(song)}, stream)
    called = f"__import__('os').mkdir({str(song)!r}),1,1,1\n".encode()
    for content in (pickle.dumps(Canary(song)), pickled_array(song), stream.getvalue(), called):
        for door in sent:
            status = neuroclip(["watch", *map(str, door(content)), "--format", form])
            said = capsys.readouterr().err
            assert status in (0, 2) and "Traceback" not in said
            if status:
                assert said.startswith("neuroclip: ") and len(said.splitlines()) == 1
            if form in ("dat", "csv", "txt"):
                assert status == 2, said


def test_object_types_of_hdf5(tmp_path, song, refused):
    """Pickles as opaque bytes and as attributes: what some libraries load by themselves."""
    content = np.void(pickle.dumps(Canary(song)))
    with h5py.File(tmp_path / "graph.nir", "w") as file:
        node = file.create_group("node")
        node["type"] = content
        node.attrs["PSEUDOTYPE"] = content
    with h5py.File(tmp_path / "net.net", "w") as file:
        file.create_group("layer").attrs["object"] = content
        file["layer/0"] = content
    for name in ("graph.nir", "net.net"):
        refused(
            export, tmp_path / name, "--target", "emulator", "--out", tmp_path / "o", says=(name,)
        )


def test_weights_and_checkpoints(tmp_path, song, refused):
    torch.save({"visual.proj": Canary(song)}, tmp_path / "weights.pt")
    torch.save({"a": Canary(song)}, tmp_path / "old.pt", _use_new_zipfile_serialization=False)
    (tmp_path / "bare.bin").write_bytes(pickle.dumps(Canary(song)))
    for name in ("weights.pt", "old.pt", "bare.bin"):
        clip = ("--clip", "ViT-B-32", "--pretrained", tmp_path / name)
        refused(neuroclip, "zero-shot", *clip, says=(name,))
    shutil.copytree(MODELS / "neuroclip-digits", tmp_path / "model")
    (tmp_path / "model" / "chip.safetensors").write_bytes((tmp_path / "weights.pt").read_bytes())
    refused(neuroclip, "evaluate", tmp_path / "model", says=("chip.safetensors",))
    config = tmp_path / "model" / "config.json"
    config.write_bytes(pickle.dumps(Canary(song)))
    refused(neuroclip, "evaluate", tmp_path / "model", says=("config.json",))


@pytest.mark.parametrize("prefix", ["local-dir:", "hf-hub:", ""])
def test_a_tokenizer_that_a_checkpoint_names(tmp_path, song, refused, prefix):
    """open_clip takes folders and hubs for names, and transformers imports the code beside them."""
    there = tmp_path / "tokenizer"
    there.mkdir()
    (there / "canary.py").write_text(f"import os\nos.mkdir({str(song)!r})\n")
    text = {"tokenizer_kwargs": {"trust_remote_code": True}, "hf_tokenizer_name": str(there)}
    (there / "open_clip_config.json").write_text(json.dumps({"model_cfg": {"text_cfg": text}}))
    (there / "tokenizer_config.json").write_text(
        json.dumps({"auto_map": {"AutoTokenizer": ["canary.Canary", None]}})
    )
    shutil.copytree(MODELS / "spikeclip-digits", tmp_path / "model")
    path = tmp_path / "model" / "config.json"
    config = json.loads(path.read_text())
    config["text"]["clip"] = f"{prefix}{there}"
    path.write_text(json.dumps(config))
    refused(neuroclip, "evaluate", tmp_path / "model", says=(f"clip '{prefix}{there}'",))
    refused(
        export, tmp_path / "model", "--target", "emulator", "--out", tmp_path / "o",
        says=(f"clip '{prefix}{there}'",),
    )  # fmt: skip


def test_images_that_start_programs(tmp_path, song, refused, monkeypatch):
    """PostScript by the name of a picture: Pillow would start Ghostscript for it."""
    programs = tmp_path / "bin"
    programs.mkdir()
    (programs / "gs").write_text(f"#!/bin/sh\nmkdir {song}\n")
    (programs / "gs").chmod(0o755)
    monkeypatch.setenv("PATH", f"{programs}{os.pathsep}{os.environ['PATH']}")
    for folder in ("train/cat", "train/dog", "test/cat", "test/dog"):
        (tmp_path / "data" / folder).mkdir(parents=True)
        for i in range(4):
            (tmp_path / "data" / folder / f"{i}.png").write_bytes(
                b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 8 8\n%%EndComments\nshowpage\n"
            )
    data = ("--data", tmp_path / "data", "--samples", "2")
    refused(
        export, "spikeclip-cifar10", *data, "--target", "emulator", "--out", tmp_path / "o",
        says=(".png",),
    )  # fmt: skip


def test_batches_of_cifar(tmp_path, song, refused):
    folder = tmp_path / "cifar-10-batches-py"
    folder.mkdir()
    for name in (*(f"data_batch_{i}" for i in range(1, 6)), "test_batch", "batches.meta"):
        (folder / name).write_bytes(pickle.dumps({b"data": Canary(song), b"labels": [0]}, 2))
    refused(
        export, "spikeclip-cifar10", "--data", "cifar10", "--data-root", tmp_path,
        "--target", "emulator", "--out", tmp_path / "o", says=("cifar-10-batches-py",),
    )  # fmt: skip


def test_no_folder_or_hub_that_a_file_names_is_opened(tmp_path, song, refused, monkeypatch):
    """A checkpoint's CLIP and a configuration's teacher are named by the person, or bundled."""
    (tmp_path / "clip").mkdir()
    for name in ("config.json", "model.safetensors"):
        (tmp_path / "clip" / name).symlink_to(MODELS / "digits-clip" / name)
    monkeypatch.chdir(tmp_path)  # where a name without a folder would be found
    for named in (str(tmp_path / "clip"), "clip", "hf-hub:a/b", "ViT-B-32"):
        shutil.rmtree(tmp_path / "model", ignore_errors=True)
        shutil.copytree(MODELS / "neuroclip-digits", tmp_path / "model")
        path = tmp_path / "model" / "config.json"
        config = json.loads(path.read_text())
        config["clip"] |= {"model": named, "pretrained": "openai"}
        path.write_text(json.dumps(config))
        says = (f"CLIP '{named}'", "name it by --clip")
        refused(neuroclip, "evaluate", tmp_path / "model", says=says)
        target = ("--target", "emulator", "--out", tmp_path / "o")
        refused(export, tmp_path / "model", *target, says=says)
        settings = tmp_path / "settings.json"
        settings.write_text(json.dumps({"teacher": {"model": named}}))
        train = ("train", "spikeclip", "--config", settings, "--out", tmp_path / "o")
        refused(neuroclip, *train, says=(f"'{named}'", "--clip"))
    # What the person names is known by its weights.
    assert neuroclip(["evaluate", str(tmp_path / "model"), "--clip", "clip"]) == 0
