"""The front ends: ours, and those of other distributions (entry points `neuroclip.frontends`).

A model is read by the front end of its suffix; an object of Python's by the one that knows it; a name
or a folder, and no model at all, is a checkpoint.
"""

import sys
from pathlib import Path
from pkgutil import resolve_name
from typing import Any

from deploy.errors import BadInput
from deploy.plugins import installed, loaded
from deploy.program.program import Program
from deploy.reading import require_regular
from export.deployment.deployment import Deployment
from export.frontends.frontend import COMMON, Frontend, Request
from neuroclip.storage.checkpoint_files import (
    ADAPTER,
    DEFAULT_MODEL,
    NETWORK,
    SPIKECLIP,
    format_of,
)

GROUP = "neuroclip.frontends"


def read_model(model: Any, request: Request) -> Deployment:
    """A model and its data, by the front end that it belongs to.

    Raises BadInput for what none reads, and for a request that means nothing to the one that does.
    """
    frontend = find_frontend(model)
    for name in request.given:
        if name not in COMMON | frontend.takes:
            titles = " or ".join(f.title for f in BUILT_IN if name in f.takes)
            shown = "the bundled model" if model is None else _shown(model)
            raise BadInput(f"--{name.replace('_', '-')}: {shown} is no {titles}")
    return frontend.read(model, request)


def find_frontend(model: object) -> Frontend:
    """The front end of a model. Raises BadInput for an object that none knows."""
    if model is None:
        return CHECKPOINT
    if isinstance(model, str | Path):
        suffix = Path(model).suffix.partition(":")[0]
        of_ours = [f for f in BUILT_IN if suffix in f.suffixes]
        if of_ours or not suffix:
            return (*of_ours, CHECKPOINT)[0]
        return next((f for f in _others() if suffix in f.suffixes), CHECKPOINT)
    for frontend in (*BUILT_IN, *_others()):
        if frontend.knows(model):
            return frontend
    raise BadInput(
        f"{_shown(model)} is no model that is known; known are "
        f"{', '.join(f.title for f in BUILT_IN)}"
    )


def frontend_lines() -> list[str]:
    """A line for each kind of model: its suffixes or name and what it is, or why it is of no use."""
    lines = [_line(frontend) for frontend in BUILT_IN]
    for entry in installed(GROUP):
        try:
            lines.append(_line(loaded(entry, Frontend)))
        except BadInput as error:
            lines.append(f"{entry.name:<10} cannot be used: {error}")
    return lines


def _line(frontend: Frontend) -> str:
    return f"{', '.join(frontend.suffixes) or frontend.name:<10} {frontend.help}"


def _others() -> list[Frontend]:
    return [loaded(entry, Frontend) for entry in installed(GROUP)]


def _shown(model: object) -> str:
    return str(model) if isinstance(model, str | Path) else f"a {type(model).__name__}"


def _nir(model: Any, request: Request) -> Deployment:
    from export.frontends.nir import from_nir

    return from_nir(
        Path(model),
        request.data,
        request.samples,
        calibrate=request.calibrate,
        dt=request.dt,
        discretisation=request.discretisation or "euler",
        frame_ms=request.frame_ms or 1.0,
        steps=request.steps or 300,
        seed=request.seed,
        sensor=request.sensor,
        room=request.room,
    )


def _net(model: Any, request: Request) -> Deployment:
    from export.frontends.net import from_net

    return from_net(Path(model), request.data, request.samples, request.net_decay)


def _program(model: Any, request: Request) -> Deployment:
    from export.frontends.program import from_program

    return from_program(model, request.data, request.samples)


def _module(model: Any, request: Request) -> Deployment:
    from export.frontends.module import from_module

    return from_module(model, request)


def _python(model: Any, request: Request) -> Deployment:
    # What is not there is told before torch is imported.
    file = str(model).rpartition(":")[0]
    if file and not Path(file).is_file():
        raise BadInput(f"{file}: no such file")
    if request.weights is not None:
        require_regular(Path(request.weights))
    try:
        from export.frontends.python_file import from_python
    except ModuleNotFoundError as error:
        raise BadInput(
            f"a network of Python's needs torch and snnTorch ({error}): "
            "pip install '.[learn]' in the repository"
        ) from error
    return from_python(str(model), request)


def _is_module(model: object) -> bool:
    torch = sys.modules.get("torch")  # whoever has made a module has imported torch
    return torch is not None and isinstance(model, torch.nn.Module)


def _checkpoint(model: Any, request: Request) -> Deployment:
    name = DEFAULT_MODEL if model is None else str(model)
    try:
        _require_known(name, request)
        read = resolve_name(_READERS[format_of(name)])
    except ModuleNotFoundError as error:
        raise BadInput(
            f"a checkpoint needs torch and what belongs to it ({error}): "
            "pip install '.[learn]' in the repository (a .nir file needs none of it)"
        ) from error
    made: Deployment = read(name, request)
    return made


# What reads a checkpoint of a format, each imported alone: a CLIP's libraries take seconds.
_READERS = {
    ADAPTER: "export.frontends.checkpoint:from_checkpoint",
    SPIKECLIP: "export.frontends.spikeclip:from_spikeclip",
    NETWORK: "export.frontends.trained_network:from_trained_network",
}


def _require_known(model: str, request: Request) -> None:
    """Raise BadInput for a checkpoint, data or a CLIP that is not there: before torch is imported."""
    from neuroclip.clip.spec import BUNDLED, ClipSpec, check_spec
    from neuroclip.data.events.catalogue import find_dataset
    from neuroclip.data.images.images import find_images

    kind, data = format_of(model), request.data
    if isinstance(data, str | Path):
        if kind == SPIKECLIP:
            find_images(str(data), request.data_root)
        elif kind == ADAPTER and not Path(data).is_file():
            find_dataset(data, request.data_root)
    if kind == ADAPTER and (request.clip is not None or request.pretrained is not None):
        check_spec(ClipSpec(request.clip or BUNDLED, request.pretrained))


OF_MODULES = frozenset(
    {
        "class_names", "float_predictions", "layout", "output", "calibrate", "frame_ms", "steps",
        "data_root", "skip_bad", "sensor",
    }
)  # fmt: skip
CHECKPOINT = Frontend(
    "checkpoint",
    "checkpoint",
    "a trained NeuroCLIP, SpikeCLIP or network of your own: its folder, or the name of a bundled one",
    _checkpoint,
    takes=frozenset(
        {"labels", "clip", "pretrained", "ann", "data_root", "skip_bad", "skips", "sensor"}
    ),
)
BUILT_IN = (
    Frontend(
        "nir",
        ".nir file",
        "a NIR graph, of integers or of floats, which are quantized",
        _nir,
        (".nir",),
        frozenset({"discretisation", "calibrate", "frame_ms", "steps", "sensor"}),
    ),
    Frontend("net", ".net file", "lava-dl's network", _net, (".net",), frozenset({"net_decay"})),
    Frontend(
        "program",
        "program",
        "a program.npz as every run writes it; in Python a Program",
        _program,
        (".npz",),
        knows=lambda model: isinstance(model, Program),
    ),
    Frontend(
        "python",
        "Python file",
        "FILE.py:NAME, a snnTorch network, or a class or function that makes one",
        _python,
        (".py",),
        OF_MODULES | {"weights"},
    ),
    Frontend(
        "module",
        "torch module",
        "in Python: a chip network, or a snnTorch network that becomes one",
        _module,
        takes=OF_MODULES,
        knows=_is_module,
    ),
    CHECKPOINT,
)
