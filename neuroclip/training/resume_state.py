"""Where a training stands, in one file, so that a kill leaves this state or the one before."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn

from deploy.errors import BadInput
from neuroclip.storage.safetensors_file import check_safetensors
from neuroclip.storage.weights import save_tensors

History = list[dict[str, Any]]


@dataclass(frozen=True)
class Place:
    """Steps taken in an epoch (from 1), and their losses summed over examples."""

    epoch: int = 1
    step: int = 0
    total: float = 0.0


@dataclass(frozen=True, eq=False)
class State:
    """A kept training: its place, its curves, and the weights of its best epoch by name.

    random: states of torch's generators, by device type.
    """

    place: Place
    history: History
    best: dict[str, Tensor]
    random: dict[str, Tensor]


def keep_state(
    path: Path, identity: str, state: State, module: nn.Module, optimizer: torch.optim.Optimizer
) -> None:
    """Write a state, with the tensors of the module and of its optimizer."""
    tensors = {f"module/{name}": x for name, x in module.state_dict().items()}
    tensors |= {f"best/{name}": x for name, x in state.best.items()}
    tensors |= {f"random/{name}": x for name, x in state.random.items()}
    for i, held in optimizer.state_dict()["state"].items():
        tensors |= {f"optimizer/{i}/{name}": x for name, x in held.items() if x is not None}
    metadata = {
        "identity": identity,
        "place": json.dumps(asdict(state.place)),
        "history": json.dumps(state.history),
    }
    save_tensors(path, tensors, metadata)


def read_state(
    path: Path, identity: str, module: nn.Module, optimizer: torch.optim.Optimizer
) -> State:
    """Put a kept state back into a module and its optimizer.

    Raises BadInput naming the file: damaged, or the state of another training.
    """
    check_safetensors(path)
    try:
        with safe_open(path, "pt") as file:
            record = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        if record["identity"] != identity:
            raise BadInput(
                f"{path}: the state of another training; remove it or leave --resume out"
            )
        kept: dict[str, dict[str, Tensor]] = {
            part: {} for part in ("module", "best", "random", "optimizer")
        }
        for name, tensor in tensors.items():
            part, _, rest = name.partition("/")
            kept[part][rest] = tensor
        module.load_state_dict(kept["module"])
        held: dict[int, dict[str, Tensor]] = {}
        for name, tensor in kept["optimizer"].items():
            number, _, rest = name.partition("/")
            held.setdefault(int(number), {})[rest] = tensor
        groups = optimizer.state_dict()["param_groups"]
        optimizer.load_state_dict({"state": held, "param_groups": groups})
        place = Place(**json.loads(record["place"]))
        return State(place, json.loads(record["history"]), kept["best"], kept["random"])
    except (SafetensorError, OSError, KeyError, ValueError, TypeError, RuntimeError) as error:
        line = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise BadInput(f"{path}: damaged training state: {line}") from error


def random_states(device: torch.device) -> dict[str, Tensor]:
    """The states of the generators that a training on a device draws from."""
    found = {"cpu": torch.get_rng_state()}
    if device.type == "cuda":
        found["cuda"] = torch.cuda.get_rng_state(device)
    return found


def set_random_states(states: dict[str, Tensor], device: torch.device) -> None:
    """Go on drawing where `random_states` was taken."""
    if "cpu" in states:
        torch.set_rng_state(states["cpu"])
    if "cuda" in states and device.type == "cuda":
        torch.cuda.set_rng_state(states["cuda"], device)
