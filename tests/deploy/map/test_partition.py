"""The partitioner: packets counted one by one, better than orders, legal, deterministic."""

import re
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from deploy.arithmetic.index_sets import fingerprints
from deploy.connections import Conv2d, Dense, Sparse, expand, one_to_one
from deploy.count.operations import count
from deploy.errors import CheckFailed
from deploy.hardware.chip import Chip, Limit, load_chip
from deploy.hardware.mapping import Mapping
from deploy.hardware.mesh import distances
from deploy.map.compared import comparison, cost
from deploy.map.core.hypergraph import (
    Hypergraph,
    between,
    count_packets,
    hypergraph,
    packets,
    parts_of,
)
from deploy.map.cut.orders import clusters, hilbert, orders
from deploy.map.cut.slices import by_layer
from deploy.map.improve import anneal as annealing
from deploy.map.improve import mtkahypar as hypergraph_library
from deploy.map.improve.local_search import part_problem, problem
from deploy.map.partition import Task, partition, require_fit, search
from deploy.map.place import arrange, tabu_search
from deploy.map.validate import validate
from deploy.program.program import Program, make_input, make_population

Make = Callable[[int], Program]
needs_library = pytest.mark.skipif(
    not hypergraph_library.available(), reason="the extra 'partition' is not installed"
)


def small_conv() -> Program:
    """2×10×10 → 4 → 8 (stride 2) channels, no padding."""

    def conv(name: str, a: str, b: str, shape: tuple[int, int], side: int, stride: int) -> Conv2d:
        weight = np.full((*shape, 3, 3), 2, np.int32)
        return Conv2d(name, a, b, weight, (side, side), (stride, stride))

    return Program(
        (make_input("in", (2, 10, 10)),),
        (
            make_population("pixels", (2, 10, 10)),
            make_population("a", (4, 8, 8)),
            make_population("b", (8, 3, 3)),
        ),
        (
            one_to_one("relay", "in", "pixels", 200),
            conv("c1", "pixels", "a", (4, 2), 10, 1),
            conv("c2", "a", "b", (8, 4), 8, 2),
        ),
        (),
    )


def clustered(size: int, number: int, inside: int, outside: int, seed: int = 0) -> Program:
    """A recurrent network whose neurons hear their cluster, and few others, in shuffled order."""
    rng = np.random.default_rng(seed)
    label = rng.permutation(np.arange(size) % number)
    rows = []
    for i in range(size):
        own = np.flatnonzero(label == label[i])
        near = rng.choice(own, min(inside, len(own)), replace=False)
        rows.append(np.union1d(near, rng.choice(size, outside, replace=False)))
    indptr = np.concatenate([[0], np.cumsum([len(r) for r in rows])]).astype(np.int32)
    indices = np.concatenate(rows).astype(np.int32)
    weight = np.full(len(indices), 2, np.int32)
    own_weights = Sparse("rec", "n", "n", weight, indices, indptr, size, delay=1)
    program = Program(
        (make_input("in", (size,)),),
        (make_population("n", (size,)),),
        (one_to_one("relay", "in", "n", size), own_weights),
        (),
    )
    return program


def chip_of(**limits: int) -> Chip:
    return replace(load_chip("loihi2"), **{k: Limit(v, "a test") for k, v in limits.items()})  # type: ignore[arg-type]


def messages(program: Program, seed: int = 0) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    return {n.name: rng.integers(0, 9, n.shape) for n in program.sources}


@pytest.mark.parametrize("seed", range(6))
def test_spread_is_what_the_listed_synapses_say(random_program: Make, seed: int) -> None:
    program = random_program(seed)
    rng = np.random.default_rng(seed)
    for c in program.connections:
        targets = np.flatnonzero(rng.random(c.target_size) < 0.7)
        part = rng.integers(0, 3, len(targets))
        listed, of = expand(c), c.classes()
        found = set()
        sizes: dict[tuple[int, int], int] = {}
        for i, p in zip(targets.tolist(), part.tolist(), strict=True):
            sources = listed.indices[listed.indptr[i] : listed.indptr[i + 1]]
            found |= {(int(of[s]), p) for s in sources}
            for s in sources:
                if s == np.flatnonzero(of == of[s])[0]:
                    sizes[int(of[s]), p] = sizes.get((int(of[s]), p), 0) + 1
        assert set(zip(*(x.tolist() for x in c.spread(targets, part, 3)), strict=True)) == found
        a, b, n = (x.tolist() for x in c.lists(targets, part, 3))
        assert {(i, j): k for i, j, k in zip(a, b, n, strict=True)} == sizes


@pytest.mark.parametrize("seed", range(6))
def test_packets_are_the_messages_that_are_counted(
    random_program: Make, seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("deploy.map.core.hypergraph._BLOCK", 5)
    program, chip = random_program(seed), chip_of(neurons=7, neuron_groups=100)
    mapping = partition(program, chip, seed=seed)
    sent = messages(program, seed)
    counted = count(program, sent, 8, 1, mapping).messages
    assert counted is not None
    parts, cores = parts_of(program, mapping), len(mapping.cores)
    found = packets(hypergraph(program, parts, cores, sent))
    assert found == count_packets(program, parts, cores, sent) == sum(counted.values())


def test_a_convolution_needs_fewer_packets_than_in_any_order() -> None:
    program, chip, sent = small_conv(), chip_of(neurons=32), messages(small_conv())
    mapping = partition(program, chip, sent, seed=1)
    assert validate(program, chip, mapping) == []
    beside = comparison(program, chip, mapping, sent, samples=2)
    assert beside["ours"]["packets"] < 0.75 * beside["layer_order"]["packets"]
    assert beside["layer_order"]["packets"] < beside["random"]["packets"]
    assert 0 < beside["lower_bound"]["packets"] < beside["ours"]["packets"]
    assert beside["ours"]["hops"] < beside["layer_order"]["hops"]
    assert len(mapping.cores) == len(by_layer(program, chip).cores)
    bare = partition(program, chip, sent, seed=1, library=False)
    assert validate(program, chip, bare) == []
    without = comparison(program, chip, bare, sent, samples=2)["ours"]["packets"]
    assert beside["ours"]["packets"] <= without < beside["layer_order"]["packets"]


@pytest.mark.parametrize("library", [False, pytest.param(True, marks=needs_library)])
def test_the_same_seed_gives_the_same_mapping(library: bool) -> None:
    program, chip = small_conv(), chip_of(neurons=32)
    first = partition(program, chip, seed=5, library=library)
    assert partition(program, chip, seed=5, library=library) == first


@needs_library
def test_without_the_library_the_mapping_is_legal_and_no_better(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    program, chip = small_conv(), chip_of(neurons=32)
    with_it = partition(program, chip, seed=2)
    monkeypatch.setattr(hypergraph_library, "available", lambda: False)
    without = partition(program, chip, seed=2)
    assert without == partition(program, chip, seed=2, library=False)
    assert _packets(program, with_it) <= _packets(program, without)


@pytest.mark.skipif(not annealing.available(), reason="the extra 'fast' is not installed")
def test_annealing_moves_what_single_moves_leave(monkeypatch: pytest.MonkeyPatch) -> None:
    program, chip, sent = small_conv(), chip_of(neurons=32), messages(small_conv())
    found = search(Task(program, chip, sent, seed=3))
    assert found.won == "annealed, seed 3" and validate(program, chip, found.mapping) == []
    single = found.packets["refined"]
    assert single is not None and found.packets[found.won] < 0.95 * single
    assert _packets(program, found.mapping, sent) == found.packets[found.won]
    assert found == search(Task(program, chip, sent, seed=3))
    monkeypatch.setattr(annealing, "available", lambda: False)
    assert "refined" in search(Task(program, chip, sent, seed=3)).packets


@pytest.mark.parametrize(("groups", "searched"), [(8, True), (9, False)])
def test_what_cannot_end_legally_is_not_searched(
    monkeypatch: pytest.MonkeyPatch, groups: int, searched: bool
) -> None:
    """A core of loihi2 holds 8 groups of equal registers: neurons of 9 that hear the same, each alone."""
    program = Program(
        (make_input("in", (9,)),),
        (make_population("n", (9, 40), vth=np.arange(360).reshape(9, 40) % groups + 1),),
        (Dense("w", "in", "n", np.full((360, 9), 2, np.int32)),),
        (),
    )
    asked: list[str] = []
    monkeypatch.setattr(annealing, "available", lambda: True)
    monkeypatch.setattr(hypergraph_library, "available", lambda: True)
    monkeypatch.setattr(annealing, "anneal", lambda *_: asked.append("anneal"))
    monkeypatch.setattr(hypergraph_library, "split", lambda *_: asked.append("split"))
    chip = replace(load_chip("loihi2"), neurons=Limit(100, "this test"))
    search(Task(program, chip))
    assert {*asked} == ({"anneal", "split"} if searched else set())


@pytest.mark.parametrize("image", [False, True])
@pytest.mark.parametrize("seed", range(6))
def test_neurons_of_equal_registers_share_cores(seed: int, image: bool) -> None:
    """As few cores as the groups of a layer fill, whatever the order of its neurons, beside an image."""
    rng = np.random.default_rng(seed)
    size, number, held = (
        int(rng.integers(60, 120)),
        int(rng.integers(9, 25)),
        int(rng.integers(2, 8)),
    )
    vth = rng.permutation(np.arange(size) % number) + 1
    chip = replace(load_chip("loihi2"), neuron_groups=Limit(held, "this test"))
    first: Conv2d | Dense = Dense("x", "in", "a", np.full((32, 32), 2, np.int32))
    if image:
        first = Conv2d("x", "in", "a", np.full((2, 2, 3, 3), 2, np.int32), (4, 4), padding=(1, 1))
    program = Program(
        (make_input("in", (2, 4, 4) if image else (32,)),),
        (
            make_population("a", (2, 4, 4) if image else (32,)),
            make_population("b", (size,), vth=vth),
        ),
        (first, Dense("y", "a", "b", np.full((size, 32), 2, np.int32))),
        (),
    )
    mapping = partition(program, chip)
    assert validate(program, chip, mapping) == []
    assert len(mapping.cores) == 1 - (-number // held)
    assert _packets(program, mapping) == 32 - 32 * (
        -number // held
    )  # inputs once, a's neurons to each


@pytest.mark.skipif(not annealing.available(), reason="the extra 'fast' is not installed")
def test_annealing_takes_no_more_memory_than_its_table(monkeypatch: pytest.MonkeyPatch) -> None:
    """Few hyperedges, many clusters: the cores' lists of them are the larger table."""
    program = Program(
        (make_input("in", (1,)),),
        (make_population("n", (40,)),),
        (Dense("w", "in", "n", np.full((40, 1), 2, np.int32)),),
        (),
    )
    vertex = {"n": np.arange(40)}
    fine, start = hypergraph(program, vertex, 40), {"n": np.arange(40) // 8}
    given = program, fine, vertex, None, start, np.ones(40, np.int64), 8, 1
    assert annealing.anneal(*given) is not None
    monkeypatch.setattr(annealing, "_TABLE", 99)  # 1 hyperedge or 20 clusters, times 5 cores
    assert annealing.anneal(*given) is None


def test_hyperedges_of_equal_pins_are_one() -> None:
    """0 sends to 1 and 1 to 0; the host to 1, 2 and 3; 2 to 3 and 3 to 2; 0 to itself alone."""
    ends = (0, [1]), (-1, [1, 2, 3]), (1, [0]), (2, [3]), (0, [0]), (3, [2])
    graph = Hypergraph(
        4,
        np.array([own for own, _ in ends]),
        np.ones(6, np.int64),
        np.array([5, 9, 7, 4, 2, 0]),
        np.cumsum([0, *(len(pins) for _, pins in ends)]),
        np.array([pin for _, pins in ends for pin in pins]),
    )
    whole = problem(graph, np.ones(4, np.int64))
    assert whole.weight.tolist() == [12, 9, 4] and whole.indptr.tolist() == [0, 2, 5, 7]
    assert whole.pins.tolist() == [0, 1, 1, 2, 3, 2, 3]
    alone = part_problem(whole, 2, 4)  # what the host sends is for both
    assert alone.weight.tolist() == [13] and alone.pins.tolist() == [0, 1]


def test_neurons_that_hear_the_same_are_clustered() -> None:
    """Channels of a position on one core, at most so many together; never over two cores."""
    program = small_conv()
    first = np.cumsum([0, *(p.size for p in program.populations)])
    vertex = {p.name: first[i] + np.arange(p.size) for i, p in enumerate(program.populations)}
    fine = hypergraph(program, vertex, int(first[-1]))
    heard = fingerprints(fine.edge_of, fine.pins, int(first[-1]), len(fine.own))
    ones = np.ones(int(first[-1]), np.int64)
    core = {name: np.zeros(len(v), np.int64) for name, v in vertex.items()}
    core["b"] = np.arange(72) // 9 % 2  # channels by turns
    found = annealing._clusters(vertex, heard, core, ones, 8)
    assert (found["a"].reshape(4, 64) == found["a"].reshape(4, 64)[0]).all()
    assert len(np.unique(found["a"])) == 64 and len(np.unique(found["pixels"])) == 200
    for cluster in np.unique(found["b"]):
        here = np.flatnonzero(found["b"] == cluster)
        assert len(here) == 4 and len(set(here % 9)) == 1 and len(set(core["b"][here])) == 1
    assert len(np.unique(annealing._clusters(vertex, heard, core, ones, 2)["a"])) == 128


def test_measured_messages_decide() -> None:
    program, chip = small_conv(), chip_of(neurons=32)
    busy = {n.name: np.zeros(n.shape, int) for n in program.sources}
    busy["pixels"][:, :3, :3] = 1000
    by_use = partition(program, chip, busy, seed=0)
    uniform = partition(program, chip, seed=0)
    assert _packets(program, by_use, busy) <= _packets(program, uniform, busy)


def test_the_clusters_of_a_shuffled_network_are_found() -> None:
    program = clustered(256, 8, inside=12, outside=1)
    found = clusters(program)["n"]
    assert len(np.unique(found)) == 8
    assert (np.unique(found, return_counts=True)[1] == 32).all()
    chip = chip_of(neurons=32)
    mapping = partition(program, chip, library=False)
    beside = comparison(program, chip, mapping)
    assert beside["ours"]["packets"] < 0.5 * beside["layer_order"]["packets"]


def test_dense_layers_stay_on_the_cores_of_the_layer_cut() -> None:
    weights = [np.zeros((20, 30), np.int32), np.zeros((5, 20), np.int32)]
    program = Program(
        (make_input("in", (30,)),),
        (make_population("a", (20,)), make_population("b", (5,))),
        (Dense("x", "in", "a", weights[0]), Dense("y", "a", "b", weights[1])),
        (),
    )
    mapping = partition(program, load_chip("loihi2"))
    assert [[s.population for s in core.slices] for core in mapping.cores] == [["a"], ["b"]]


def test_hilbert_curve_visits_every_position_in_steps_of_one() -> None:
    y, x = np.divmod(np.arange(64), 8)
    along = np.argsort(hilbert(y, x))
    assert (np.abs(np.diff(y[along])) + np.abs(np.diff(x[along])) == 1).all()
    order = orders(small_conv())["a"]
    assert sorted(order.tolist()) == list(range(256))
    assert (order[:4] % 64 == order[0] % 64).all()  # the channels of one position


def hop_cost(chip: Chip, index: np.ndarray, traffic: tuple[np.ndarray, ...]) -> int:
    """Σ messages · distance over the traffic of cores at these indices."""
    a, b, sent = traffic
    return int(sent @ distances(chip, index).cost(chip)[a, b])


@pytest.mark.parametrize("seed", range(4))
def test_searches_keep_exact_costs_and_tabu_beats_swaps(seed: int) -> None:
    rng = np.random.default_rng(seed)
    chip = chip_of(cores_per_chip=16, cores_per_router=1, mesh_columns=4)
    flow = np.triu(rng.integers(0, 50, (16, 16)) * (rng.random((16, 16)) < 0.3), 1)
    traffic = (*np.nonzero(flow), flow[np.nonzero(flow)])
    apart = distances(chip, np.arange(16)).cost(chip)
    both = flow + flow.T
    start = rng.permutation(16)
    swapped, slot = tabu_search(both, apart, start, rng, 0)
    assert swapped == hop_cost(chip, slot, traffic)
    better, slot = tabu_search(both, apart, start, rng, 500)
    assert better == hop_cost(chip, slot, traffic) <= swapped <= hop_cost(chip, start, traffic)
    index = arrange(chip, 16, traffic, np.arange(16), seed)
    assert sorted(index.tolist()) == list(range(16))
    assert hop_cost(chip, index, traffic) <= swapped


@pytest.mark.skipif(not annealing.available(), reason="the extra 'fast' is not installed")
@pytest.mark.parametrize("n", [2, 3, 16])
def test_compiled_tabu_search_takes_the_same_steps(monkeypatch: pytest.MonkeyPatch, n: int) -> None:
    rng = np.random.default_rng(n)
    flow = np.triu(rng.integers(0, 50, (n, n)) * (rng.random((n, n)) < 0.4), 1)
    x, y = rng.integers(0, 6, (2, n))
    apart = abs(x[:, None] - x) + abs(y[:, None] - y)
    start = rng.permutation(n)
    found = []
    for compiled in (True, False):
        monkeypatch.setattr("deploy.map.place.available", lambda compiled=compiled: compiled)
        cost, slot = tabu_search(flow + flow.T, apart, start, np.random.default_rng(1), 200)
        found.append((cost, slot.tolist()))
    assert found[0] == found[1]


def test_many_cores_are_placed_nearer_than_in_order() -> None:
    chip = load_chip("kapoho-point")
    rng = np.random.default_rng(0)
    cores = 400
    ring = rng.permutation(cores)
    traffic = (ring, np.roll(ring, 1), np.full(cores, 10))
    index = arrange(chip, cores, traffic, np.arange(cores))
    assert len(set(index.tolist())) == cores and index.max() < chip.cores
    assert hop_cost(chip, index, traffic) < 0.7 * hop_cost(chip, np.arange(cores), traffic)
    assert len(set((index // 120).tolist())) == 4  # no more chips than the cores need


@pytest.mark.skipif(not annealing.available(), reason="the extra 'fast' is not installed")
@pytest.mark.parametrize("cores", [330, 480])
def test_compiled_exchanges_are_the_same(monkeypatch: pytest.MonkeyPatch, cores: int) -> None:
    """On four chips, which 480 cores fill; messages cross, some pairs exchange none, one core is silent."""
    rng = np.random.default_rng(cores)
    ends = rng.integers(1, cores, (2, 3 * cores))
    kept = ends[0] != ends[1]
    traffic = ends[0][kept], ends[1][kept], rng.integers(0, 50, int(kept.sum()))
    chip, along, found = load_chip("kapoho-point"), rng.permutation(cores), []
    for compiled in (True, False):
        monkeypatch.setattr("deploy.map.place.available", lambda compiled=compiled: compiled)
        found.append(arrange(chip, cores, traffic, along).tolist())
    assert found[0] == found[1]


def test_costs_between_cores_by_hand() -> None:
    program, chip = small_conv(), chip_of(neurons=1000, cores_per_router=1)
    parts = {p.name: np.full(p.size, i) for i, p in enumerate(program.populations)}
    # Every pixel and neuron sends one packet to the next layer, the host one to each pixel; the
    # odd edge rows and columns of `a` that a stride of 2 leaves out send none.
    sends = 4 * 7 * 7
    found = cost(program, chip, parts, np.array([0, 3, 8]))
    assert found == {"packets": 200 + 200 + sends, "hops": 200 * 3 + sends * 4, "chip_crossings": 0}
    a, b, sent = between(hypergraph(program, parts, 3))
    assert (a.tolist(), b.tolist(), sent.tolist()) == ([0, 1], [1, 2], [200, sends])


def _packets(program: Program, mapping: Mapping, sent: dict[str, np.ndarray] | None = None) -> int:
    return packets(hypergraph(program, parts_of(program, mapping), len(mapping.cores), sent))


def test_the_winner_among_the_candidates_has_a_name() -> None:
    program, chip = small_conv(), chip_of(neurons=60, cores_per_router=1)
    found = search(Task(program, chip, library=False))
    assert found.mapping == partition(program, chip, library=False)
    assert {"layer order", "refined"} <= found.packets.keys()
    sent = {name: number for name, number in found.packets.items() if number is not None}
    assert sent.keys() == found.packets.keys() and sent[found.won] == min(sent.values())
    ours = comparison(program, chip, found.mapping)["ours"]["packets"]
    assert found.to_json(2)["candidates"][found.won] == ours / 2


@pytest.mark.parametrize("seed", range(30))
def test_what_does_not_fit_is_exceeded_by_a_positive_number(
    random_program: Make, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    chip = chip_of(
        neurons=int(rng.integers(1, 9)), synapse_words=int(rng.integers(3, 60)),
        input_axons=int(rng.integers(5, 200)), cores_per_chip=int(rng.integers(1, 40)),
    )  # fmt: skip
    try:
        require_fit(random_program(seed, kinds="all"), replace(chip, chips=1))
    except CheckFailed as error:
        (by,) = re.findall(r" by (-?\d+);", str(error))
        assert int(by) > 0
