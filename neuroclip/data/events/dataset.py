"""A data set of labelled event recordings, loaded one at a time, its split, and the card it is known by."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from deploy.errors import BadInput
from deploy.progress import track
from neuroclip.data.events.formats.raw import Sensor
from neuroclip.data.events.frames import FrameOptions
from neuroclip.data.events.recording import Recording, read_recording, recording_digest
from neuroclip.data.seen import Ids, Seen, ids_of
from neuroclip.data.split import counted
from neuroclip.text.prompts import DEFAULT_TEMPLATE


@dataclass(frozen=True)
class DatasetCard:
    """What is known of a data set beside its recordings; what is left out is known of none.

    name: as `--data` below a data root and `--like` take it. folders: what its folder is usually called.
    class_names: its words, in the order of the labels; empty where its folder says them. numbers: what its
    class folders are called in that order, where not by those words. sensor: width and height in pixels, of
    its files that do not say them. cut_outs: its recordings are cut out of others, and that is the largest;
    smaller ones stand at the top left of it. suffixes: of its recordings as they are released. files,
    converted: patterns of its files' names in lower case, as released (where they are like no other's) and
    as SpikingJelly converts them. fewest: so many of its classes make a folder worth a look. marks: files
    or folders at its top that it alone has. template: its prompt, with one {}. frames: how its recordings
    become frames. mirrored: a recording seen in a mirror is still of its class. pictures: its still
    pictures are bundled. opens: (folder, seed, sensor) → the data set, where it does not lie in class
    folders. bundled: `opens` needs no folder.
    """

    name: str
    folders: tuple[str, ...] = ()
    class_names: tuple[str, ...] = ()
    numbers: tuple[str, ...] = ()
    sensor: Sensor | None = None
    cut_outs: bool = False
    suffixes: tuple[str, ...] = ()
    files: str = ""
    converted: str = ""
    fewest: int = 2
    marks: tuple[str, ...] = ()
    template: str = DEFAULT_TEMPLATE
    frames: FrameOptions = field(default_factory=FrameOptions)
    mirrored: bool = False
    pictures: bool = False
    opens: "Callable[[Path, int, Sensor | None], EventDataset] | None" = None
    bundled: bool = False


@dataclass(frozen=True, eq=False)
class EventDataset:
    """Labelled recordings and their split; a recording is read when it is asked for.

    card: what is known of the data set; names: one per recording (a path or an item's name); labels:
    int64 [recordings]; class_names: the words of the labels; train, validation, test: sorted int64
    indices, disjoint; load: index → Recording (raises BadInput naming the file); evidence: by what the
    data set was recognised, or why it was not; known: whether it was. own_test: the test part is the data
    set's own; otherwise the split was drawn here. late: of the recordings read so far, how many events
    stood behind later ones (`Recording.late`), by name. parts: of "test", "train" and "validation", those
    it has folders of. identify: index → the id by which a sample goes (`neuroclip.data.seen`), where that
    is not of its events.
    """

    card: DatasetCard
    names: tuple[str, ...]
    labels: NDArray[np.int64]
    class_names: tuple[str, ...]
    train: NDArray[np.int64]
    validation: NDArray[np.int64]
    test: NDArray[np.int64]
    load: Callable[[int], Recording]
    evidence: str = "by its name"

    known: bool = True
    own_test: bool = True
    late: dict[str, int] = field(default_factory=dict)
    parts: tuple[str, ...] = ()
    identify: Callable[[int], int] | None = None

    @property
    def name(self) -> str:
        """The name of the data set; of one that is not known, of its folder."""
        return self.card.name

    @property
    def described(self) -> str:
        """Which data set it was taken for and why, and what of its recordings was put in order."""
        told = "recognised" if self.known else "not a known one:"
        late = ""
        if self.late:
            events, files = sum(self.late.values()), len(self.late)
            late = (
                f"; {events} event{'s' * (events > 1)} of {files} recording{'s' * (files > 1)} stood "
                "behind later ones and were put in order"
            )
        return f"'{self.name}', {told} {self.evidence}{late}"

    @property
    def counts(self) -> str:
        """Its parts and classes in words, as they are shown before anything is trained."""
        parts = ", ".join(
            f"{len(getattr(self, part))} {part}" for part in ("train", "validation", "test")
        )
        return counted(self.name, parts, self.labels, self.class_names)

    def __len__(self) -> int:
        return len(self.names)

    def ids(self, indices: NDArray[np.int64]) -> Ids:
        """The ids of samples; reads every one that has no id of another kind."""
        identify = self.identify or (lambda index: int(recording_digest(self.load(index))[:16], 16))
        bar = track(indices, desc="contents", unit="sample", leave=False)
        return ids_of(identify(int(index)) for index in bar)

    def without(self, seen: Seen, part: str) -> "EventDataset":
        """The data set without the samples of a part, "validation" or "test", that a model has seen."""
        indices = getattr(self, part)
        if not len(seen.learned) and not len(seen.chose):
            return self
        kept: dict[str, Any] = {part: indices[~seen.among(self.ids(indices), part)]}
        return replace(self, **kept)


def reader(
    paths: Sequence[Path], given: Sensor | None, card: DatasetCard
) -> tuple[Callable[[int], Recording], dict[str, int]]:
    """A `load` for an `EventDataset` whose recordings are files, and the `late` that it counts in.

    given: the sensor, as a person says it; card: whose sensor files have that do not say theirs. The loader
    raises BadInput as `read_recording` does, and for a recording of another sensor than those before it.
    """
    late: dict[str, int] = {}
    sensors: list[Sensor] = []

    def load(index: int) -> Recording:
        recording = read_recording(paths[index], given, card.sensor)
        if card.cut_outs and card.sensor and given is None:
            width, height = card.sensor
            if recording.width <= width and recording.height <= height:
                recording = replace(recording, width=width, height=height)
        sensor = recording.width, recording.height
        if sensor != (sensors or [sensor])[0]:
            raise BadInput(
                f"{recording.name}: its sensor has {sensor[0]}×{sensor[1]} pixels, that of the recordings "
                f"before {sensors[0][0]}×{sensors[0][1]}; --sensor is for files that do not say it"
            )
        sensors[:] = [sensor]
        if recording.late:
            late[recording.name] = recording.late
        return recording

    return load, late


def few_shot(dataset: EventDataset, shots: int, seed: int) -> NDArray[np.int64]:
    """Sorted int64 indices of `shots` training recordings of every class, drawn by `seed`.

    Raises BadInput where a class has fewer training recordings, and where it is the only one.
    """
    return drawn_shots(dataset, shots, seed)[0]


def drawn_shots(
    dataset: EventDataset, shots: int, seed: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """What `few_shot` draws, and the place of each in the draw of its class, int64 from 0: of the same seed
    fewer shots are those drawn first."""
    if shots < 1:
        raise BadInput(f"{dataset.name}: {shots} shots; at least 1 is needed")
    if len(dataset.class_names) < 2:
        raise BadInput(f"{dataset.name}: '{dataset.class_names[0]}' is its only class")
    random = np.random.default_rng(seed)
    chosen = []
    for label, name in enumerate(dataset.class_names):
        members = dataset.train[dataset.labels[dataset.train] == label]
        if len(members) < shots:
            raise BadInput(
                f"{dataset.name}: class '{name}' has {len(members)} training recordings, "
                f"fewer than {shots} shots"
            )
        chosen.append(random.permutation(members)[:shots])
    together = np.concatenate(chosen)
    order = np.argsort(together)
    return together[order], np.tile(np.arange(shots), len(chosen))[order]


def without_bad(
    dataset: EventDataset, parts: Sequence[str]
) -> tuple[EventDataset, tuple[str, ...]]:
    """The data set without the recordings of some parts that cannot be read, and why not.

    parts: of "train", "validation", "test"; every recording of them is read once, the split of the
    others stays as it is. Raises BadInput where nothing is left of a part.
    """
    reasons: list[str] = []
    kept: dict[str, Any] = {}
    for part in parts:
        good = []
        for index in track(getattr(dataset, part), desc=f"check {part}", leave=False):
            try:
                dataset.load(int(index))
                good.append(int(index))
            except BadInput as error:
                reasons.append(str(error))
        if len(getattr(dataset, part)) and not good:
            raise BadInput(f"{dataset.name}: no recording of '{part}' can be read: {reasons[-1]}")
        kept[part] = np.array(good, dtype=np.int64)
    return replace(dataset, **kept), tuple(reasons)
