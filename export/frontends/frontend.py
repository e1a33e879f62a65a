"""`Frontend`: one kind of model, and how it and its data become a `Deployment`.

One of another distribution is found by its entry point, whose name is the front end's:

    [project.entry-points."neuroclip.frontends"]
    toy = "toy_frontend:toy"
"""

from collections.abc import Callable
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Literal, get_args

from numpy.typing import ArrayLike

from deploy.errors import BadInput
from deploy.hardware.chip import Chip
from export.deployment.deployment import Deployment
from export.nir_format.normal.neurons import Discretisation
from neuroclip.convert.watch.layout import LAYOUTS, Layout
from neuroclip.data.spikes import Spikes

# What any front end may be asked for; of the rest, each says what it takes.
COMMON = frozenset({"data", "samples", "seed", "dt", "room"})

Skips = Literal["fan-in", "stream"]
NetDecay = Literal["auto", "stored", "plus-one"]
_CHOICES = {
    "skips": get_args(Skips),
    "discretisation": get_args(Discretisation),
    "net_decay": get_args(NetDecay),
    "layout": LAYOUTS,
}


@dataclass(frozen=True, eq=False)
class Request:
    """What a model is to be read with; each field is the option of `neuroclip-export` of that name.

    data: a path or name, or the messages themselves: {"spikes": integers [samples, time, *shape],
    "labels": int64 [samples]}, an array for each input under its name where there are several. labels:
    names of classes; clip, pretrained: of an adapter whose CLIP is not the bundled one; ann: the folder
    of the ANN to set beside a SpikeCLIP; class_names,
    float_predictions, layout, output: of a torch module, see `export.frontends.module.from_module`.
    room: the system that it is to fit, where it is to run: more neurons than that has are refused before
    they are quantized. Raises BadInput for a value that cannot be.
    """

    data: str | Spikes | None = None
    samples: int | None = None
    seed: int = 0
    dt: float = 1e-4
    labels: str | None = None
    clip: str | None = None
    pretrained: str | None = None
    ann: str | None = None
    data_root: str | None = None
    skip_bad: bool = False
    sensor: tuple[int, int] | None = None
    skips: Skips | None = None
    discretisation: Discretisation | None = None
    calibrate: str | Spikes | None = None
    frame_ms: float | None = None
    steps: int | None = None
    net_decay: NetDecay = "auto"
    weights: str | None = None
    layout: Layout | None = None
    output: str | None = None
    class_names: tuple[str, ...] = ()
    float_predictions: ArrayLike | None = None
    room: Chip | None = None

    def __post_init__(self) -> None:
        for name, known in _CHOICES.items():
            value = getattr(self, name)
            if value is not None and value not in known:
                raise BadInput(f"{name} '{value}' is none of {', '.join(known)}")
        for name in ("samples", "frame_ms", "steps"):
            value = getattr(self, name)
            if value is not None and not 0 < value < float("inf"):
                raise BadInput(f"{name} {value} is not positive")

    @property
    def given(self) -> tuple[str, ...]:
        """The fields that are not as they are by default."""
        return tuple(
            f.name for f in fields(self)
            if (value := getattr(self, f.name)) is not f.default and not _equal(value, f.default)
        )  # fmt: skip


def _equal(value: Any, default: Any) -> bool:
    return isinstance(value, str | int | float | tuple) and value == default


@dataclass(frozen=True)
class Frontend:
    """A kind of model.

    name: of the entry point too. title: what such a model is called in messages. suffixes: of its
    files. takes: the fields of a `Request`, beside those common to all, that mean something to it.
    read: model, request → deployment; raises BadInput naming the file and the value. knows: whether an
    object of Python's is one of its models.
    """

    name: str
    title: str
    help: str
    read: Callable[[Any, Request], Deployment]
    suffixes: tuple[str, ...] = ()
    takes: frozenset[str] = frozenset()
    knows: Callable[[object], bool] = lambda _: False


def path_or_name(request: Request) -> str | None:
    """The data of a checkpoint. Raises BadInput for arrays, which it does not read."""
    if request.data is not None and not isinstance(request.data, str | Path):
        raise BadInput(
            "a checkpoint reads recordings or images; give their path or name, not arrays"
        )
    return None if request.data is None else str(request.data)
