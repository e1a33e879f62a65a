"""The verdict of a run: equal, not compared or failed, and what a reader must know beside the word."""

from dataclasses import dataclass
from typing import Any, Literal

from deploy.report.words.figures import count
from deploy.report.words.read import at, mapping, number, numbers
from deploy.report.words.sentences import difference, pair_holds, parity_pairs

Word = Literal["EQUAL", "NOT COMPARED", "FAILED"]


@dataclass(frozen=True)
class Verdict:
    """word: what is known. sentences: who equals whom, over what. doubts: what equality does not excuse."""

    word: Word
    sentences: tuple[str, ...]
    doubts: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        """As `report.json` holds it."""
        return {
            "word": self.word.lower(),
            "sentences": list(self.sentences),
            "doubts": list(self.doubts),
        }


def verdict(report: object) -> Verdict:
    """What is known of a run: FAILED where a check did not hold, EQUAL only of what was compared.

    A run whose executors are equal may still be useless: values that left their registers, and
    integers that spike otherwise than the float graph they were made of, are doubts, said beside it.
    """
    pairs = parity_pairs(report)
    broken = [p for p in pairs if pair_holds(p) is False]
    held = [p for p in pairs if pair_holds(p)]
    sentences = [_differ(p) for p in broken]
    if at(report, "ok") is False or broken:
        if not broken:
            sentences.append(
                "No compared pair differs, so a limit of the chip or another check did not hold."
            )
        return Verdict("FAILED", tuple(sentences), _doubts(report))
    if held:
        return Verdict("EQUAL", (_equal(held),), _doubts(report))
    return Verdict(
        "NOT COMPARED", ("No executors were compared with each other.",), _doubts(report)
    )


def _differ(entry: object) -> str:
    where = difference(entry)
    return f"{at(entry, 'a')} and {at(entry, 'b')} differ" + (
        f": first in {where}." if where else "."
    )


def _equal(held: list[Any]) -> str:
    names = " = ".join(dict.fromkeys(str(n) for p in held for n in (at(p, "a"), at(p, "b"))))
    values, states = (
        [number(at(p, key)) or 0 for p in held] for key in ("spikes_compared", "states_compared")
    )
    # Neighbours are compared over the same samples: the sum over pairs would count them twice.
    if len(set(values)) == len(set(states)) == 1:
        return (
            f"{names}: all {count(values[0])} spike values and {count(states[0])} states are equal."
        )
    return (
        f"{names}: all {count(sum(values))} spike values and {count(sum(states))} states that were "
        "compared are equal."
    )


def _doubts(report: object) -> tuple[str, ...]:
    """Of what ran: values beyond registers, and nodes that spike otherwise than the float graph."""
    observed = {n: numbers(e) for n, e in mapping(at(report, "proof", "observed")).items()}
    beyond = {name: sum(edges.values()) for name, edges in observed.items()}
    found = []
    if times := sum(beyond.values()):
        named = ", ".join(name for name, n in beyond.items() if n)
        found.append(f"{count(times)} values left their registers, in {named}")
    nodes = mapping(at(report, "quantization", "nodes"))
    if other := [name for name, node in nodes.items() if _spikes_otherwise(node)]:
        found.append(
            f"the integers' spikes differ from the float graph's more often than they agree, in "
            f"{', '.join(other)}"
        )
    return tuple(found)


def _spikes_otherwise(node: object) -> bool:
    """Whether fewer spikes of a node are in both the float graph and the integers than in one of them."""
    values, differ, fired = (
        number(at(node, key)) for key in ("spikes_compared", "spike_mismatches", "spikes_float")
    )
    rate = number(at(node, "rate_quantized"))
    if not values or differ is None or fired is None or rate is None:
        return False
    return 2 * differ > fired + rate * values - differ
