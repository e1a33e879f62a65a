"""Mt-KaHyPar (Gottesbüren, Heuer, Maas, Sanders, Schlag 2024), where it is installed.

The extra `partition` installs it. Without it mappings keep to orders and our own local search.
"""

from functools import cache
from importlib.util import find_spec
from itertools import pairwise
from typing import Any

import numpy as np

from deploy.arithmetic.index_sets import Ints
from deploy.map.improve.local_search import Problem


@cache
def available() -> bool:
    """Whether the library is installed."""
    return find_spec("mtkahypar") is not None


@cache
def _library() -> tuple[Any, Any]:
    # Imported when first needed: commands that map nothing start without it.
    import mtkahypar

    return mtkahypar, mtkahypar.initialize(1, print_warnings=False)


def split(of: Problem, cores: int, capacity: int, seed: int) -> Ints | None:
    """The core of each vertex with few packets, at most `capacity` neurons each: int64 [vertices].

    The same for the same seed. None where the library is not installed or finds no such partition.
    """
    if not available() or not len(of.weight) or of.vertices < cores:
        return None
    mtkahypar, library = _library()
    mtkahypar.set_seed(seed)
    context = library.context_from_preset(mtkahypar.PresetType.DETERMINISTIC_QUALITY)
    context.set_partitioning_parameters(cores, 0.03, mtkahypar.Objective.KM1)
    context.set_individual_target_block_weights([capacity] * cores)
    context.logging = False
    # The deterministic presets find one partition for one numbering: the seed shuffles that.
    shuffled = np.random.default_rng(seed).permutation(of.vertices)
    pins = shuffled[of.pins].tolist()
    bounds = of.indptr.tolist()
    size = np.empty(of.vertices, np.int64)
    size[shuffled] = of.size
    try:
        graph = library.create_hypergraph(
            context,
            of.vertices,
            len(of.weight),
            [pins[a:b] for a, b in pairwise(bounds)],
            size.tolist(),
            of.weight.tolist(),
        )
        found = np.array(graph.partition(context).get_partition(), np.int64)[shuffled]
    except (mtkahypar.InvalidInputError, mtkahypar.InvalidParameterError, mtkahypar.SystemError):
        return None
    return found if np.bincount(found, of.size).max() <= capacity else None
