"""`export` and its `Report`: the whole job of `neuroclip-export`, for Python. See `import neuroclip`."""

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from functools import cached_property
from html import escape
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from deploy.emulate.trace import load_trace
from deploy.errors import BadInput
from deploy.hardware.chip import load_chip
from deploy.hardware.mapping import Mapping as CoreMapping
from deploy.hardware.mapping import load_mapping
from deploy.map.system import SYSTEMS
from deploy.output import claim
from deploy.program.file import load_program
from deploy.program.program import Program
from deploy.report import summary
from deploy.report.words.quantization import quantization_sentence
from deploy.report.words.verdict import verdict
from deploy.shown import shown
from export.frontends.frontend import Request
from export.frontends.table import read_model
from export.run.options import Options
from export.run.pipeline import run
from export.run.stages import Stages
from export.targets.table import find_target
from neuroclip.data.spikes import Spikes
from neuroclip.text.labels import joined_labels


@dataclass(frozen=True, eq=False, repr=False)
class Report:
    """What an export came to: `print(report)` shows the summary, a notebook the whole page.

    path: the folder that holds the files. json: what `report.json` holds, whose keys are stable.

        >>> import numpy as np, snntorch, torch, neuroclip as nc
        >>> neurons = dict(beta=0.9, reset_mechanism="zero", reset_delay=False, init_hidden=True)
        >>> model = torch.nn.Sequential(torch.nn.Linear(4, 2), snntorch.Leaky(**neurons, output=True))
        >>> spikes = np.ones((3, 5, 4), np.uint8)
        >>> report = nc.export(model, spikes, out="runs/mine")
        >>> report.ok, report.path.name, report.json["samples"]
        (True, 'mine', 3)
        >>> report.program.order, sorted(report.trace), len(report.mapping.cores)
        (('1',), ['1/s'], 1)
    """

    path: Path
    json: Mapping[str, Any]

    @property
    def ok(self) -> bool:
        """Whether every parity check held."""
        return bool(self.json["ok"])

    @property
    def accuracy(self) -> Mapping[str, Any]:
        """{"float", "quantized", "emulator", "lava"}: {"value", "low", "high", …} each, or None.

        Of a network that was trained on the chip's arithmetic, "untuned" is that before.
        """
        return self.json["accuracy"]

    @property
    def energy(self) -> Sequence[Mapping[str, Any]]:
        """One entry for each set of coefficients: joules per inference, of what, and whence."""
        return self.json["energy"]

    @cached_property
    def program(self) -> Program:
        """The integer network that ran."""
        return load_program(self.path / "program.npz")

    @cached_property
    def chip_program(self) -> Program:
        """What is mapped: the network in the steps of a chip, with what waiting messages take."""
        return load_program(self.path / "chip_program.npz")

    @cached_property
    def trace(self) -> dict[str, NDArray[Any]]:
        """{"NODE/s": messages [samples, time, *shape]}; "NODE/u", "NODE/v" too by `record="all"`."""
        return load_trace(self.path / "trace.npz")

    @cached_property
    def mapping(self) -> CoreMapping:
        """Which neurons are on which core."""
        return load_mapping(self.path / "mapping.json")

    def __str__(self) -> str:
        return shown(self._summary())

    def _summary(self) -> str:
        if "written" not in self.json:
            return summary(self.json, self.path / "report.html")
        made = f"{self.path / self.json['written']}: {self.json['made']}"
        sentence = quantization_sentence(self.json)
        return f"{made}\n{sentence}" if sentence else made

    def __repr__(self) -> str:
        word = self.json["written"] if "written" in self.json else verdict(self.json).word
        return f"<Report {str(self.path)!r}: {word}>"

    def _repr_html_(self) -> str:
        """The page of the report, in a frame of its own, as a notebook shows it."""
        page = self.path / "report.html"
        if "written" in self.json or not page.is_file():
            return f"<pre>{escape(str(self))}</pre>"
        content = escape(page.read_text(encoding="utf-8"))
        return f'<iframe sandbox srcdoc="{content}" style="width: 100%; height: 40em; border: 0"></iframe>'


def export(
    model: Any = None,
    data: Any = None,
    labels: str | Sequence[str] | ArrayLike | None = None,
    *,
    target: str = "emulator",
    out: str | Path = "demo",
    **options: Any,
) -> Report:
    """Bring a model to a target, compare it spike for spike, map it, count it, and report.

    model: a torch module (a chip network of `to_chip`, or a snnTorch network that becomes one), a
    checkpoint's folder or bundled name, the path of a `.nir` or `.net` file; by default the bundled
    demonstration. data: spikes, integers [samples, time, *shape], or an array for each input under its
    name; a torch DataLoader or Dataset of (spikes, label); or the path or name of recordings, images or a
    file of spikes. labels: of the samples, integers
    [samples], beside spikes; or names of classes, for a checkpoint. target: as `neuroclip-export --help`
    lists them. out: the folder that receives the files. options: every other option of the command,
    with _ for -: `samples=100, record="all", jobs=2, calibrate="few.npz", lava_python="python3.10"`;
    `--for` is `reader`.

        >>> import neuroclip as nc
        >>> report = nc.export("neuroclip-digits", samples=20, target="emulator", out="runs/digits")
        >>> print(report)  # doctest: +ELLIPSIS
        result               EQUAL: neuroclip-digits → emulator
        run                  20 samples × 10 timesteps, seed 0
        ...
        >>> report.accuracy["emulator"]["total"]
        20

    Raises BadInput for what cannot be read or the target cannot hold, naming the file, node and value,
    and CheckFailed where the network breaks a hard limit of the chip. Whether every parity check held is
    `ok` of the report.
    """
    known = {f.name for f in (*fields(Options), *fields(Request))} - {"command", "room"}
    for name in options:
        if name not in known:
            raise TypeError(f"export() has no option {name!r}; it has {', '.join(sorted(known))}")
    messages, names = _given(data, labels)
    if not isinstance(options.get("calibrate"), str | Path | None):
        # Of the same data, calibration takes other samples than are evaluated.
        same = options["calibrate"] is data
        options["calibrate"] = messages if same else _arrays(options["calibrate"])
    if not str(out):
        raise BadInput("out: an empty name is no folder")
    given = options | {"target": target, "out": Path(out), "data": messages, "labels": names}
    request = {f.name: given[f.name] for f in fields(Request) if f.name in given}
    settings = {f.name: given[f.name] for f in fields(Options) if f.name in given}
    return carry_out(model, Request(**request), Options(**settings))


def carry_out(model: Any, request: Request, options: Options, start: float | None = None) -> Report:
    """Read a model and run it, as `export` and the command do. start: as of `Stages`."""
    claim(options.out, _inputs(model, request, options))
    stages = Stages(start)
    # A target that only writes takes whatever size.
    room = load_chip(options.chip or SYSTEMS[-1]) if find_target(options.target).runs else None
    with stages.time("data"):
        deployment = read_model(model, replace(request, room=room))
    return Report(options.out, run(deployment, options, stages))


def _inputs(model: Any, request: Request, options: Options) -> dict[str, object]:
    """Whatever may be the path of something that is read, by what a person calls it."""
    if isinstance(model, str) and ".py:" in model:
        model = model.rpartition(":")[0]
    given = {"MODEL": model, "--chip": options.chip, "--coefficients": options.coefficients}
    names = ("data", "data_root", "calibrate", "weights", "clip", "pretrained", "ann")
    return given | {f"--{n.replace('_', '-')}": getattr(request, n) for n in names}


def _given(
    data: Any,
    labels: str | Sequence[str] | ArrayLike | None,
) -> tuple[str | Spikes | None, str | None]:
    """The data with the labels of its samples, and the names of classes."""
    if isinstance(labels, list | tuple) and all(isinstance(name, str) for name in labels):
        labels = joined_labels(labels)
    names = labels if isinstance(labels, str) else None
    if data is None or isinstance(data, str | Path):
        if labels is not None and names is None:
            raise BadInput("labels: integers belong to spikes in arrays; a file holds its own")
        return None if data is None else str(data), names
    given = _arrays(data)
    if labels is not None and names is None:
        given |= _arrays({"labels": labels})
    return given, names


def _arrays(data: Any) -> dict[str, NDArray[Any]]:
    """Arrays by name; those of torch from whatever device they are on, or all that a loader gives."""
    if is_loader(data):
        from neuroclip.network.loader import loader_arrays

        return loader_arrays(data)
    named = data if isinstance(data, Mapping) else {"spikes": data}
    return {
        name: np.asarray(values.detach().cpu() if hasattr(values, "detach") else values)
        for name, values in named.items()
    }


def is_loader(data: object) -> bool:
    """Whether data are a DataLoader or a Dataset of torch's, which whoever made one has imported."""
    loading = sys.modules.get("torch.utils.data")
    return loading is not None and isinstance(data, loading.DataLoader | loading.Dataset)
