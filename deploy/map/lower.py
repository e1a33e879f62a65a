"""A program onto a chip that delays one step a layer: relays or synaptic delays, whichever is cheaper.

Where branches of different depth meet (`deploy.program.timed`), candidates are cut for the chip:

    synaptic delays   all messages wait in the synapses, as far as those reach
    relays            all wait in relay populations
    mixed             of each source what alone adds fewer cores

The one on the fewest cores is taken, of equals the one with the fewest neurons. Where nothing has to
wait there is one candidate only.
"""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

import numpy as np

from deploy.arithmetic.registers import DELAY_MAX
from deploy.errors import CheckFailed
from deploy.hardware.chip import Chip, amount
from deploy.map.core.costs import neuron_groups
from deploy.map.core.fits import Limits
from deploy.map.cut.orders import orders
from deploy.map.cut.slices import slices
from deploy.map.partition import starts
from deploy.program.program import Program
from deploy.program.timed import Timed, timed

DELAYS, RELAYS, MIXED, NONE = "synaptic delays", "relays", "mixed", "nothing waits"


@dataclass(frozen=True, eq=False)
class OnChip:
    """A program in the steps of a chip, and how its messages wait.

    way: the candidate that was taken. cores: {candidate: cores of its quickest cut, None where it does
    not fit}. refused: {candidate: why it does not fit}.
    """

    timed: Timed
    way: str
    cores: dict[str, int | None]
    refused: dict[str, str]

    def to_json(self) -> dict[str, Any]:
        """The report's `lowered`: {"way", "cores", "refused", "relayed", "longest", "relays",
        "relay_neurons", "delayed", "latency_steps", "depth", "fill"}; relayed, longest: as of `timed`;
        delayed: connections that wait in their synapses."""
        of = self.timed
        return {
            "way": self.way,
            "cores": self.cores,
            "refused": self.refused,
            "relayed": None if of.relayed is None else list(of.relayed),
            "longest": of.longest,
            "relays": len(of.relays),
            "relay_neurons": sum(of.program.population(name).size for name in of.relays),
            "delayed": sum(c.synaptic_delay > 0 for c in of.program.connections),
            "latency_steps": dict(of.latency),
            "depth": of.depth,
            "fill": of.fill,
        }


def lower_to_chip(program: Program, chip: Chip, seed: int = 0) -> OnChip:
    """The program in the steps of a chip, by the cheaper way that fits it.

        >>> on_chip = lower_to_chip(program, load_chip("loihi2"))  # `Program`'s example
        >>> on_chip.way, on_chip.timed.latency["lif"]
        ('nothing waits', 1)

    Raises BadInput for a cycle that needs more steps than its delays allow, and CheckFailed, as
    `deploy.map.partition.require_fit`, where no candidate fits the chip.
    """
    longest = min(DELAY_MAX, amount(chip.max_delay) + 1)
    all_relays = timed(program)
    if not all_relays.held:
        return OnChip(all_relays, NONE, {NONE: _cores(all_relays.program, chip, seed)}, {})
    candidates = {DELAYS: timed(program, (), longest), RELAYS: all_relays}
    relayed = _cheaper_relayed(program, chip, all_relays, longest)
    waiting = {c.source for c in program.connections if c.name in all_relays.held}
    if relayed and relayed != waiting:
        candidates[MIXED] = timed(program, relayed, longest)
    cores: dict[str, int | None] = {}
    refused: dict[str, str] = {}
    first: CheckFailed | None = None
    for way, each in candidates.items():
        try:
            cores[way] = _cores(each.program, chip, seed)
        except CheckFailed as error:
            cores[way], refused[way], first = None, str(error), first or error
    fits = {way: n for way, n in cores.items() if n is not None}
    if not fits:
        assert first is not None
        raise first
    best = min(fits, key=lambda way: (fits[way], _neurons(candidates[way].program)))
    return OnChip(candidates[best], best, cores, refused)


def _cores(program: Program, chip: Chip, seed: int) -> int:
    found = starts(program, chip, orders(program, seed))
    return min(max(int(part.max()) for part in parts.values()) + 1 for parts in found.values())


def _neurons(program: Program) -> int:
    return sum(p.size for p in program.populations)


def _cheaper_relayed(program: Program, chip: Chip, relays: Timed, longest: int) -> Collection[str]:
    """The sources that alone add fewer cores by relays than by delaying their synapses.

    Of each population its cores are counted without output axons, which depend on all others.
    """
    delays = timed(program, (), longest)
    plain = _alone(relays.program, chip)
    late = _alone(delays.program, chip)
    found = set()
    for source in dict.fromkeys(relays.relays.values()):
        added = sum(plain[relay] for relay, of in relays.relays.items() if of == source)
        targets = {c.target for c in program.out_of(source) if c.name in relays.held}
        if added < sum(late[target] - plain[target] for target in targets):
            found.add(source)
    return found


def _alone(program: Program, chip: Chip) -> dict[str, int]:
    """Cores of each population cut by itself; as many as the system has where it does not fit."""
    groups = neuron_groups(program)
    found = {}
    for p in program.populations:
        limits = Limits(program, chip, p, np.zeros(p.size, np.int64), groups[p.name])
        cut = slices(limits, np.arange(p.size), even=True)
        found[p.name] = len(cut) if isinstance(cut, list) else chip.cores
    return found
