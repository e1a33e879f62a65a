"""A connection as a list of its synapses: what every kind can be written as, and what follows from it."""

from dataclasses import dataclass

import numpy as np

from deploy.arithmetic.index_sets import Ints, distinct, ragged
from deploy.arithmetic.registers import IntArray, check_range, is_integer
from deploy.connections.exact_sums import Sums, in_blocks
from deploy.errors import BadInput

# Synapses that are listed at most: 12 bytes each.
MAX_EXPANDED = 1 << 28


@dataclass(frozen=True, eq=False)
class SynapseList:
    """Synapses in compressed rows: those of target i are indptr[i] ≤ k < indptr[i + 1].

    weight: int32 [synapses]. indices: int32 [synapses], the source of each, ascending in a row.
    indptr: int32 [target size + 1].
    """

    weight: IntArray
    indices: IntArray
    indptr: IntArray
    source_size: int


def require_listable(name: str, number: int) -> None:
    """Refuse (BadInput), before memory is taken, a list of more than MAX_EXPANDED synapses."""
    if number > MAX_EXPANDED:
        raise BadInput(
            f"node '{name}': {number} synapses exceed the {MAX_EXPANDED} that can be listed"
        )


def check_list(of: SynapseList, name: str, ends: tuple[str, str], sizes: tuple[int, int]) -> None:
    """Refuse (BadInput) a list that does not fit its ends. ends, sizes: of the source and the target."""
    sources, targets = sizes

    def refuse(what: str) -> None:
        raise BadInput(f"node '{name}': {what}")

    if not is_integer(of.source_size) or of.source_size != sources:
        refuse(f"source size {of.source_size}, '{ends[0]}' has {sources} neurons")
    if of.indptr.shape != (targets + 1,):
        refuse(
            f"indptr of shape {of.indptr.shape}, {targets} neurons of '{ends[1]}' need {(targets + 1,)}"
        )
    if of.weight.ndim != 1 or of.indices.shape != of.weight.shape:
        refuse(f"indices of shape {of.indices.shape} beside weights of shape {of.weight.shape}")
    falling = np.flatnonzero(np.diff(of.indptr) < 0)
    if of.indptr[0] != 0 or of.indptr[-1] != len(of.weight) or falling.size:
        refuse(f"indptr does not rise from 0 to the {len(of.weight)} synapses")
    check_range(name, "indices", of.indices, 0, sources - 1)
    # Where a new row starts, its first source may be any.
    rises = np.diff(of.indices) > 0
    starts = of.indptr[1:-1]
    rises[starts[(starts > 0) & (starts < len(of.weight))] - 1] = True
    if not rises.all():
        k = int(np.argmin(rises)) + 1
        row = int(np.searchsorted(of.indptr, k, side="right")) - 1
        refuse(
            f"indices {int(of.indices[k])} at index [{k}] does not rise within row {row}: "
            "sources are in ascending order, each once"
        )


def list_sums(of: SynapseList, weight: IntArray) -> Sums:
    """Σ weight·message of each target, with these weights in place of the list's."""

    def sums(messages: Ints) -> Ints:
        products = np.zeros((len(messages), len(weight) + 1), np.int64)
        np.multiply(messages[:, of.indices], weight, out=products[:, 1:])
        running = np.cumsum(products, axis=1, out=products)
        # A sum that wraps at 64 bits wraps back in the difference.
        return running[:, of.indptr[1:]] - running[:, of.indptr[:-1]]

    return in_blocks(sums, len(weight) + of.source_size)


def list_heard(of: SynapseList, targets: Ints) -> tuple[Ints, Ints, Ints]:
    """(sources, synapses of non-zero weight, synapses) onto these targets, as `Connection.heard`."""
    held, _ = _synapses_of(of, targets)
    sources, used = of.indices[held], of.weight[held] != 0
    bound = of.source_size
    if bound <= 16 * len(sources) + (1 << 20):
        every = np.bincount(sources, minlength=bound)
        found = np.flatnonzero(every)
        return found, np.bincount(sources[used], minlength=bound)[found], every[found]
    found, at = np.unique(sources.astype(np.int64), return_inverse=True)
    effective = np.bincount(at[used], minlength=len(found))
    return found, effective, np.bincount(at, minlength=len(found))


def list_keys(of: SynapseList, targets: Ints, part: Ints, parts: int) -> Ints:
    """source · parts + part of every synapse onto these targets."""
    held, lengths = _synapses_of(of, targets)
    return of.indices[held].astype(np.int64) * parts + np.repeat(part, lengths)


def list_spread(of: SynapseList, targets: Ints, part: Ints, parts: int) -> Ints:
    """The distinct keys of `list_keys`, ascending."""
    return distinct(list_keys(of, targets, part, parts), of.source_size * parts)


def _synapses_of(of: SynapseList, targets: Ints) -> tuple[Ints | slice, Ints]:
    """(the synapses of these targets, how many each has)."""
    starts = of.indptr[targets].astype(np.int64)
    lengths = of.indptr[targets + 1] - starts
    # Of targets side by side they are a piece of the list, which need not be copied.
    if len(targets) and bool((np.diff(targets) == 1).all()):
        return slice(int(starts[0]), int(starts[-1] + lengths[-1])), lengths
    return ragged(starts, lengths), lengths
