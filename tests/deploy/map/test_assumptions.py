"""Each assumption changed by itself: as the chip's own file with that value would be cut."""

from dataclasses import replace

import numpy as np

from deploy.connections import Conv2d
from deploy.hardware.chip import Limit, load_chip
from deploy.map.assumptions import assumptions
from deploy.map.core.hypergraph import hypergraph, packets
from deploy.map.cut.orders import orders
from deploy.map.partition import starts
from deploy.program.program import Dense, Program, make_input, make_population


def network() -> Program:
    rng = np.random.default_rng(0)

    def even(*shape: int) -> np.ndarray:
        return (2 * rng.integers(-60, 60, shape)).astype(np.int32)

    return Program(
        (make_input("x", (8, 8, 8)),),
        (make_population("a", (16, 8, 8)), make_population("b", (60,))),
        (
            Conv2d("xa", "x", "a", even(16, 8, 3, 3), (8, 8), padding=(1, 1)),
            Dense("ab", "a", "b", even(60, 16 * 64)),
        ),
        (),
    )


def test_every_assumption_is_changed_and_nothing_else() -> None:
    program, chip = network(), load_chip("loihi2")
    rng = np.random.default_rng(1)
    sent = {node.name: rng.integers(0, 5, node.shape) for node in program.sources}
    found = assumptions(program, chip, sent, 4)
    changed = [(row["limit"], row["value"]) for row in found["rows"]]
    assert ("shared_kernels", 0) in changed and ("synapse_bits", 20) in changed
    assert {("word_bits", 32), ("word_bits", 128), ("synapse_bits", 9)} <= set(changed)
    named = {name for name, _ in changed} | set(found["places"])
    unknown = {name for name in chip.assumptions if getattr(chip, name).value is None}
    assert named == set(chip.assumptions) - unknown
    for row in [found["as_assumed"], *found["rows"]]:
        limits = {row["limit"]: Limit(row["value"], "a test")} if row["limit"] else {}
        on = replace(chip, chips=1000, **limits)
        cuts = starts(program, on, orders(program))
        cores = min(max(int(p.max()) for p in cut.values()) + 1 for cut in cuts.values())
        fewest = min(packets(hypergraph(program, cut, cores, sent)) for cut in cuts.values())
        assert (row["cores"], row["packets"]) == (cores, fewest / 4)
        assert row["chips"] == -(-cores // 120) and row["refused"] is None
    by_name = {(row["limit"], row["value"]): row["cores"] for row in found["rows"]}
    assert by_name["shared_kernels", 0] > found["as_assumed"]["cores"]


def test_what_fits_no_core_says_why() -> None:
    program, chip = network(), load_chip("loihi2")
    tight = replace(
        chip, output_axons=Limit(1, "a test", True), axon_bits=Limit(700_000, "t", True)
    )
    once = {node.name: np.ones(node.shape, np.int64) for node in program.sources}
    rows = {(r["limit"], r["value"]): r for r in assumptions(program, tight, once, 1)["rows"]}
    refused = rows["axon_bits", 1_400_000]
    assert refused["cores"] is None and "synapse words" in refused["refused"]
