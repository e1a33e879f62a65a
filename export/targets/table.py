"""The targets: ours by name, and those of other distributions (entry points `neuroclip.targets`)."""

from importlib import import_module
from typing import TYPE_CHECKING

from deploy.errors import BadInput
from deploy.plugins import installed, loaded

if TYPE_CHECKING:  # names are told before NumPy is there
    from export.targets.target import Target

GROUP = "neuroclip.targets"

# Each is imported when it is asked for.
BUILT_IN = {
    "lava": "export.targets.lava.target:Lava",
    "emulator": "export.targets.emulator:Emulator",
    "nir": "export.targets.nir:Nir",
    "netx": "export.targets.netx:Netx",
    "sanafe": "export.targets.sanafe.target:SanaFe",
}


def find_target(name: str) -> "Target":
    """The target of a name. Raises BadInput for another, naming those that are known."""
    from export.targets.target import Target

    if name in BUILT_IN:
        module, _, made = BUILT_IN[name].partition(":")
        target: Target = getattr(import_module(module), made)()
        return target
    for entry in installed(GROUP):
        if entry.name == name:
            return loaded(entry, Target)
    raise BadInput(f"target '{name}' is not known; known are {', '.join(target_names())}")


def target_names() -> list[str]:
    """The names of all targets, ours first; what is ours keeps its name."""
    return list(dict.fromkeys([*BUILT_IN, *(entry.name for entry in installed(GROUP))]))


def target_lines() -> list[str]:
    """A line for each target: its name and what it is, or why it cannot be used."""
    lines = []
    for name in target_names():
        try:
            said = find_target(name).help
        except BadInput as error:
            said = f"cannot be used: {error}"
        lines.append(f"{name:<10} {said}")
    return lines
