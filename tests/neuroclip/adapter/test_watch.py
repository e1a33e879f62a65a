"""Online use: the frames of a stream, and running scores that end in the offline prediction."""

import os
from pathlib import Path

import numpy as np
import pytest
import torch

from deploy.errors import BadInput
from neuroclip.adapter.checkpoint import load_checkpoint
from neuroclip.adapter.watch import ChipScores, ScoredSlice, ZeroShotScores, watch
from neuroclip.clip.features import dataset_features
from neuroclip.clip.model import encode_text, load_clip
from neuroclip.clip.zero_shot import zero_shot_scores
from neuroclip.commands import main as cli
from neuroclip.data.events.cards import DIGITS
from neuroclip.data.events.catalogue import EventDataset, open_dataset
from neuroclip.data.events.frames import FrameOptions, Span, frames, span_of
from neuroclip.data.events.online import FrameStream, packets
from neuroclip.data.events.recording import Recording, save_recording


def random_recording(events: int, seed: int, times: int = 5000) -> Recording:
    random = np.random.default_rng(seed)
    t = np.sort(random.integers(50, 50 + times, events))
    x, y = random.integers(0, 9, events), random.integers(0, 5, events)
    return Recording(x, y, t, random.integers(0, 2, events), 9, 5, "random")


@pytest.mark.parametrize("slicing", ["count", "time"])
@pytest.mark.parametrize("rendering", ["polarity", "presence", "intensity"])
@pytest.mark.parametrize("packet", [1, 7, 10_000])
def test_streamed_frames_equal_the_whole_recordings(
    slicing: str, rendering: str, packet: int
) -> None:
    for events, times in ((1, 9), (6, 9), (30, 9), (233, 5000)):
        recording = random_recording(events, seed=events, times=times)
        options = FrameOptions(steps=10, slicing=slicing, rendering=rendering)
        stream = FrameStream(9, 5, options, span_of(recording))
        made = [frame for part in packets(recording, packet) for frame in stream.push(part)]
        assert all(frame.number < 10 for frame in made)
        made += stream.finish()
        assert np.array_equal(np.stack([frame.gray for frame in made]), frames(recording, options))
        assert [frame.number for frame in made] == list(range(1, 11))
        assert made[-1].events == events and made[-1].t_us == recording.t[-1]


def test_a_frame_comes_with_the_first_event_after_its_slice() -> None:
    """Of a live stream, whose end is not known: 10 slices of 100 µs were asked for."""
    options = FrameOptions(steps=10, slicing="time")
    stream = FrameStream(4, 4, options, Span(0, 0, 999))

    def event(t: int) -> Recording:
        one = np.ones(1, int)
        return Recording(one, one, one * t, one, 4, 4, "live")

    assert stream.push(event(10)) == [] and stream.push(event(99)) == []
    (frame,) = stream.push(event(100))
    assert (frame.number, frame.events, frame.t_us) == (1, 2, 99)
    assert [f.number for f in stream.push(event(450))] == [2, 3, 4]
    assert [f.number for f in stream.push(event(5000))] == [5, 6, 7, 8, 9]
    assert [f.number for f in stream.finish()] == [10]
    with pytest.raises(BadInput, match="event 5 at 4999 µs comes before 5000 µs"):
        stream.push(event(4999))
    with pytest.raises(BadInput, match="another sensor"):
        stream.push(random_recording(3, 0))


@pytest.fixture(scope="module")
def digits() -> tuple[EventDataset, np.ndarray]:
    dataset = open_dataset("digits")
    return dataset, dataset.test[:8]


def last(slices: list[ScoredSlice]) -> np.ndarray:
    assert [step.number for step in slices] == list(range(1, slices[0].steps + 1))
    return slices[-1].scores


def test_zero_shot_ends_in_the_offline_scores(digits: tuple[EventDataset, np.ndarray]) -> None:
    dataset, indices = digits
    clip, options = load_clip(), DIGITS.frames
    text = encode_text(clip, dataset.class_names, DIGITS.template)
    offline = zero_shot_scores(dataset_features(clip, dataset, indices, options), text)
    for index, wanted in zip(indices, offline, strict=True):
        online = list(watch(dataset.load(int(index)), clip, options, ZeroShotScores(text)))
        assert np.allclose(last(online), wanted, atol=1e-5)
        assert online[-1].scores.argmax() == wanted.argmax()


@pytest.mark.parametrize("name", ["neuroclip-digits", "neuroclip-digits-paper"])
def test_the_chip_adapter_ends_in_the_offline_scores(
    name: str, digits: tuple[EventDataset, np.ndarray]
) -> None:
    """Given equal features, its running state gives the very scores of the whole recording."""
    dataset, indices = digits
    checkpoint, clip = load_checkpoint(name), load_clip()
    adapter = checkpoint.chip_adapter
    features = dataset_features(clip, dataset, indices, checkpoint.frames, raw=adapter.config.raw)
    with torch.no_grad():
        offline = adapter.scores(torch.from_numpy(features)).numpy().astype(np.float32)
    for i, index in enumerate(indices):
        running = ChipScores(adapter)
        stepped = [running.add(feature) for feature in features[i]]
        assert np.allclose(stepped[-1], offline[i], rtol=0, atol=1e-6)
        # The chip's own part is one of integers: exactly equal.
        with torch.no_grad():
            messages = adapter.encode(torch.from_numpy(features[i : i + 1]))
            network = adapter.network
            for module in network.modules():
                if hasattr(module, "reset_mem"):
                    module.reset_mem()
            whole = torch.stack([network(messages[:, t]) for t in range(messages.shape[1])], 1)
        assert torch.equal(torch.stack(running.readouts, 1), whole)
        online = list(watch(dataset.load(int(index)), clip, checkpoint.frames, ChipScores(adapter)))
        assert last(online).argmax() == offline[i].argmax()


def test_the_command_prints_every_slice_and_the_prediction(
    tmp_path: Path,
    capsys: pytest.CaptureFixture,
    digits: tuple[EventDataset, np.ndarray],
) -> None:
    dataset, indices = digits
    path = tmp_path / "one.npz"
    save_recording(path, dataset.load(int(indices[0])))
    for extra in ([], ["--checkpoint", "neuroclip-digits"], ["--steps", "4", "--slicing", "count"]):
        assert cli.main(["watch", str(path), *extra]) == 0
        lines = capsys.readouterr().out.splitlines()
        steps = 4 if "--steps" in extra else 10
        assert len(lines) == steps + 1
        assert all(line.startswith(f"slice {n:2}/{steps}") for n, line in enumerate(lines[:-1], 1))
        label = lines[-1].removeprefix(f"prediction for {path}: ")
        assert label in dataset.class_names and f"  {label} | " in lines[-2]
    assert cli.main(["watch", str(path), "--labels", "three,seven", "--sensor", "34x34"]) == 0
    assert "three +" in capsys.readouterr().out.replace("three -", "three +")


@pytest.mark.parametrize(
    ("extra", "words"),
    [
        (["--sensor", "34"], "expected WIDTHxHEIGHT"),
        (["--sensor", "128x128"], "34×34 by the file, 128×128 as given"),
        (["--checkpoint", "neuroclip-digits", "--labels", "a,b"], "a checkpoint has its own"),
        (["--checkpoint", "neuroclip-digits", "--steps", "4"], "a checkpoint has its own"),
        (["--like", "es-imagenet"], "give them by --labels"),
        (["--labels", " , "], "empty"),
    ],
)
def test_bad_usage(
    tmp_path: Path,
    capsys: pytest.CaptureFixture,
    extra: list[str],
    words: str,
    digits: tuple[EventDataset, np.ndarray],
) -> None:
    path = tmp_path / "one.npz"
    save_recording(path, digits[0].load(0))
    try:
        status = cli.main(["watch", str(path), *extra])
    except SystemExit as usage:
        status = usage.code
    assert status == 2
    shown = capsys.readouterr()
    assert words in shown.err and shown.err.count("\n") == 1 and not shown.out


@pytest.mark.skipif(
    "NEUROCLIP_DATA" not in os.environ, reason="NEUROCLIP_DATA (folder of real data) is not set"
)
@pytest.mark.parametrize("name", ["neuroclip-digits", "neuroclip-digits-paper"])
def test_real_recordings_get_the_offline_prediction(name: str) -> None:
    dataset = open_dataset("nmnist", root=os.environ["NEUROCLIP_DATA"])
    indices = dataset.test[::40]
    checkpoint, clip = load_checkpoint(name), load_clip()
    adapter = checkpoint.chip_adapter
    features = dataset_features(clip, dataset, indices, checkpoint.frames, raw=adapter.config.raw)
    with torch.no_grad():
        offline = adapter.scores(torch.from_numpy(features)).argmax(dim=1).tolist()
    online = [
        int(
            last(
                list(watch(dataset.load(int(i)), clip, checkpoint.frames, ChipScores(adapter)))
            ).argmax()
        )
        for i in indices
    ]
    assert online == offline
