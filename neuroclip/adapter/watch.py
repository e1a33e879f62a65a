"""A recording classified while it comes in: class scores after every slice."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from neuroclip.adapter.model import ChipAdapter
from neuroclip.chip.neurons import ChipNeuron
from neuroclip.clip.model import Clip, encode_frames
from neuroclip.clip.zero_shot import zero_shot_scores
from neuroclip.data.events.frames import FrameOptions, require_frames, span_of
from neuroclip.data.events.online import FrameStream, SliceFrame, packets
from neuroclip.data.events.recording import Recording

# Classes shown after a slice: all of a short list, the best of a long one.
_SHOWN = 10
# Events that arrive together: a camera's packet.
_PACKET = 1000


class RunningScores(Protocol):
    """Class scores of the slices so far; after the last one, those of the whole recording.

    raw: whether it takes features as the encoder makes them, or at unit length. spikes: those of the
    neurons that spike in the last slice, bool [neurons]; None where nothing does.
    """

    raw: bool
    spikes: NDArray[np.bool_] | None

    def add(self, feature: NDArray[np.float32]) -> NDArray[np.float32]:
        """Take the next slice's feature float32 [C]; returns scores [classes]."""


class ZeroShotScores:
    """The mean of the cosines so far. text: L2-normalised features [classes, C]."""

    raw = False
    spikes: NDArray[np.bool_] | None = None

    def __init__(self, text: NDArray[np.float32]) -> None:
        self.text = text
        self.features: list[NDArray[np.float32]] = []

    def add(self, feature: NDArray[np.float32]) -> NDArray[np.float32]:
        """Take the next slice's feature float32 [C]; returns scores [classes]."""
        self.features.append(feature)
        return zero_shot_scores(np.stack(self.features)[None], self.text)[0]


class ChipScores:
    """The adapter on the chip's arithmetic, one step a slice; its neurons keep their state."""

    def __init__(self, adapter: ChipAdapter) -> None:
        self.adapter = adapter
        self.raw = adapter.config.raw
        self.spikes: NDArray[np.bool_] | None = None
        self.features: list[torch.Tensor] = []
        self.readouts: list[torch.Tensor] = []
        for module in adapter.network.modules():
            if isinstance(module, ChipNeuron):
                module.reset_mem()

    @torch.no_grad()
    def add(self, feature: NDArray[np.float32]) -> NDArray[np.float32]:
        """Take the next slice's feature float32 [C]; returns scores [classes]."""
        self.features.append(torch.from_numpy(feature))
        messages = self.adapter.encode(self.features[-1][None, None])
        self.readouts.append(self.adapter.network(messages[:, 0]))
        self.spikes = self.adapter.network.get_submodule("lif1").fired[0].numpy() != 0
        readout = torch.stack(self.readouts, dim=1)
        if self.adapter.config.cut == "folded":
            # The integrators have summed over some of the steps, the scores are means over all.
            readout = readout * (self.adapter.config.steps / len(self.readouts))
        scores = self.adapter.scores_from_readout(readout, torch.stack(self.features)[None])
        return scores[0].numpy().astype(np.float32)


@dataclass(frozen=True, eq=False)
class ScoredSlice:
    """What is known after a slice: its number from 1, of how many; µs and events until then.

    frame: gray uint8 [height, width]. spikes: in this slice, bool [neurons], where neurons spike.
    window: of a stream, the how manieth one this slice is of, from 1.
    """

    number: int
    steps: int
    t_us: int
    events: int
    scores: NDArray[np.float32]
    frame: NDArray[np.uint8]
    spikes: NDArray[np.bool_] | None
    window: int = 1


def watch(
    recording: Recording, clip: Clip, options: FrameOptions, running: RunningScores
) -> Iterator[ScoredSlice]:
    """Class scores after every slice of a recording, whose events come in packet by packet.

    The last scores are those that the whole recording gets offline: the frames are equal, each is
    encoded alone (so that features differ in their last bits), and the chip's state is carried.
    """
    require_frames(recording, options)
    span = span_of(recording)
    stream = FrameStream(recording.width, recording.height, options, span)

    def made() -> Iterator[SliceFrame]:
        for packet in packets(recording, _PACKET):
            yield from stream.push(packet)
        yield from stream.finish()

    for frame in made():
        yield scored(frame, 1, span.first_us, clip, options, running)


def scored(
    frame: SliceFrame,
    window: int,
    first_us: int,
    clip: Clip,
    options: FrameOptions,
    running: RunningScores,
) -> ScoredSlice:
    """A slice that is complete, encoded and added to the scores of its window, which began at first_us."""
    scores = running.add(encode_frames(clip, frame.gray[None], options, raw=running.raw)[0])
    of = (frame.number, options.steps, frame.t_us - first_us, frame.events)
    return ScoredSlice(*of, scores, frame.gray, running.spikes, window)


def show(slices: Iterator[ScoredSlice], labels: Sequence[str], source: object) -> str:
    """Print a line after every slice and the prediction at the end; returns its label."""
    best = ""
    for step in slices:
        order = np.argsort(-step.scores, kind="stable")
        best = labels[int(step.scores.argmax())]
        chosen = sorted(order[:_SHOWN]) if len(labels) <= _SHOWN else order[: _SHOWN // 2]
        scores = "  ".join(f"{labels[int(i)]} {step.scores[i]:+.3f}" for i in chosen)
        print(
            f"slice {step.number:2}/{step.steps}  {step.t_us / 1000:9.1f} ms "
            f"{step.events:9} events  {best:>4} | {scores}",
            flush=True,
        )
    print(f"prediction for {source}: {best}")
    return best
