"""What a NIR file holds → nir's nodes, each built here from its own entries.

nir's reader checks types with an inference that is wrong in places, and of nested graphs always
(see `export.nir_format.upstream_bugs`); nothing here depends on it. What does not fit is
refused by the passes.
"""

import warnings
from collections.abc import Mapping
from dataclasses import MISSING, fields
from typing import Any

import nir
import numpy as np

from deploy.errors import BadInput
from export.nir_format.normal.inline import MAX_DEPTH
from export.nir_format.normal.layers import spreadable
from export.nir_format.normal.neurons import NEURONS
from export.nir_format.upstream_bugs import untyped_graph

KINDS = {
    name: getattr(nir, name)
    for name in (
        "Affine", "AvgPool2d", "Conv1d", "Conv2d", "CubaLI", "CubaLIF", "Delay", "Flatten", "I", "IF",
        "Input", "LI", "LIF", "Linear", "Output", "Scale", "SumPool2d", "Threshold",
    )
}  # fmt: skip

# What some versions of nir wrote beside a node's own parameters; both are inferred again.
_IGNORED = {"type", "input_type", "output_type", "metadata"}
# Where an entry may be left out although nir's classes ask for it.
_DEFAULTS = {"input_shape": None, "input_type": None}
_MAX_NAME = 200


def graph_of(entries: Mapping[str, Any], name: str = "", depth: int = 0) -> nir.NIRGraph:
    """The graph of a group's entries: text, numbers, arrays, and dicts for groups.

    name: of the node that the graph is, with a dot at its end. Raises BadInput naming the node.
    """
    if depth > MAX_DEPTH:
        raise BadInput(f"node '{name[:_MAX_NAME]}': graphs are nested deeper than {MAX_DEPTH}")
    where = f"node '{name[:-1]}': " if name else ""
    if not _is_graph(entries):
        kind = _brief(entries.get("type"))
        raise BadInput(f"{where}holds a node of type {kind}, expected a NIRGraph")
    children, pairs = entries.get("nodes"), entries.get("edges")
    if not isinstance(children, dict) or not children:
        raise BadInput(f"{where}the graph has no nodes")
    nodes: dict[str, Any] = {}
    for child, held in children.items():
        if len(child) > _MAX_NAME or not child.isprintable():
            raise BadInput(
                f"{where}node {_brief(child)}: no name of at most {_MAX_NAME} characters"
            )
        full = name + child
        if not isinstance(held, dict):
            raise BadInput(f"node '{full}': it is no group")
        if _is_graph(held):
            nodes[child] = graph_of(held, f"{full}.", depth + 1)
        else:
            nodes[child] = _node(full, held)
    edges = np.asarray([] if pairs is None else pairs)
    if pairs is None or (edges.size and (edges.ndim != 2 or edges.shape[1] != 2)):
        raise BadInput(f"{where}edges of shape {edges.shape}, expected pairs of names")
    pairs = [(_text(where, a), _text(where, b)) for a, b in edges.reshape(-1, 2)]
    return untyped_graph(nodes, pairs, _metadata(entries))


def _is_graph(entries: Mapping[str, Any]) -> bool:
    kind = entries.get("type")
    return isinstance(kind, str) and kind == "NIRGraph"


def _node(name: str, held: Mapping[str, Any]) -> Any:
    kind = held.get("type")
    made = KINDS.get(kind) if isinstance(kind, str) else None
    if made is None:
        raise BadInput(f"node '{name}': {_brief(kind)} is no type of node of NIR")
    metadata = _metadata(held)
    if made in (nir.Input, nir.Output):
        if "shape" not in held:
            raise BadInput(f"node '{name}': {kind}: shape is missing")
        shape = np.atleast_1d(np.asarray(held["shape"]))
        if shape.dtype.kind not in "iu" or shape.ndim != 1:
            raise BadInput(f"node '{name}': shape is {_brief(held['shape'])}, expected integers")
        return made(shape, metadata=metadata)
    values = {}
    for field in fields(made):
        if field.name in ("output_type", "metadata") or (
            field.name == "input_type" and made is not nir.Flatten
        ):
            continue
        if field.name in held and not isinstance(held[field.name], dict):
            values[field.name] = held[field.name]
        elif field.name in _DEFAULTS:
            values[field.name] = _DEFAULTS[field.name]
        elif field.default is MISSING and field.name != "v_reset":
            raise BadInput(f"node '{name}': {kind}: {field.name} is missing")
    unknown = sorted(set(held) - set(values) - _IGNORED)
    if unknown:
        raise BadInput(f"node '{name}': {kind} has no parameter {_brief(unknown[0])}")
    for field_name, value in values.items():
        number = isinstance(value, int | float | np.generic | np.ndarray)
        if value is not None and not number and field_name != "padding":
            raise BadInput(f"node '{name}': {field_name} is {_brief(value)}, expected numbers")
        if number and np.asarray(value).dtype.kind not in "biuf":
            raise BadInput(f"node '{name}': {field_name} is {_brief(value)}, expected numbers")
    if issubclass(made, NEURONS):
        values = _one_shape(name, values)
    try:
        with warnings.catch_warnings():
            # nir computes types of numbers that overflow; ours are computed and refused later.
            warnings.simplefilter("ignore")
            return made(**values, metadata=metadata)
    except Exception as error:
        # nir validates with assertions and bare errors; to its user all of them mean the same.
        text = " ".join(str(error).split()) or type(error).__name__
        raise BadInput(
            f"node '{name}': {kind}: not a node that nir can hold: {text[:200]}"
        ) from error


def _metadata(entries: Mapping[str, Any]) -> dict[str, Any]:
    """Text and numbers that are for information only, as far as they can be written again."""
    held = entries.get("metadata", {})
    if not isinstance(held, dict):
        return {}
    return {
        key: value
        for key, value in held.items()
        if isinstance(value, str) or np.asarray(value).dtype.kind in "biuf"
    }


def _one_shape(name: str, values: Mapping[str, Any]) -> dict[str, Any]:
    """nir asks for one shape of all parameters: a number for all neurons, or one for each channel,
    is spread over the largest."""
    arrays = {field: np.asarray(value) for field, value in values.items()}
    if "v_threshold" in arrays:
        arrays.setdefault("v_reset", np.zeros(()))
    largest = max((a.shape for a in arrays.values()), key=lambda s: (int(np.prod(s)), len(s)))
    each = {}
    for field, array in arrays.items():
        if array.shape == largest:
            each[field] = array
            continue
        spreads = spreadable(array.shape, largest)
        if spreads is None:
            raise BadInput(
                f"node '{name}': {field} of shape {array.shape} beside others of shape {largest}"
            )
        each[field] = np.broadcast_to(array.reshape(spreads), largest)
    # nir writes numbers, and arrays of some dimensions, but no array of none.
    return each if largest else {field: array[()] for field, array in each.items()}


def _text(where: str, value: Any) -> str:
    if not isinstance(value, str) or len(value) > _MAX_NAME * MAX_DEPTH or not value.isprintable():
        raise BadInput(f"{where}an edge's name is no text: {_brief(value)}")
    return value


def _brief(value: Any) -> str:
    text = repr(value[:_MAX_NAME] if isinstance(value, str | bytes) else value)
    return " ".join((text if len(text) < 100 else f"{text[:97]}...").split())
