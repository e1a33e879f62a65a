"""The whole system: host, transfer, static power and chip in one table, each count beside its price."""

from typing import Any

from deploy.report.words import sentences as words
from deploy.report.words.figures import count, joules, seconds
from deploy.report.words.read import at, items, number, pair
from deploy.report.words.section import Run
from deploy.report.words.system import system_sentence, uncounted


def facts(run: Run) -> dict[str, Any] | None:
    """A row a part, a column a coefficient set, the total below; None where a report has none."""
    found = at(run.report, "system")
    sets = items(at(found, "sets"))
    if not sets:
        return None
    host = [p for p in items(at(found, "host")) if number(at(p, "operations")) is not None]
    rows = [_work(part, sets) for part in host if not at(part, "once")]
    rows += [
        ["transfer", *_transfer(found), *(_each(e, "transfer") for e in sets)],
        ["static power", *_static(found), *(_each(e, "static") for e in sets)],
        ["chip", "see Energy", "", *(_each(e, "chip") for e in sets)],
    ]
    return {
        "said": system_sentence(run.report),
        "head": ["", "counted", "of which", *(_name(e) for e in sets)],
        "rows": rows,
        "total": ["total", "", "", *(words.between(pair(at(e, "total_j")), joules) for e in sets)],
        "beside": [
            ["one operation of the host", "", "", *(joules(at(e, "host_mac_j")) for e in sets)],
            [
                "one message",
                "",
                "",
                *(words.between(pair(at(e, "transfer_message_j")), joules) for e in sets),
            ],
            _ann(found, sets),
            *(_work(part, sets) for part in host if at(part, "once")),
        ],
        "uncounted": uncounted(run.report),
        "assumed": list(dict.fromkeys(str(a) for e in sets for a in items(at(e, "assumptions")))),
        "static_source": at(found, "static", "source"),
    }


def _name(entry: object) -> str:
    name = str(at(entry, "coefficients"))
    return name if at(entry, "whole") else f"{name} (arithmetic alone)"


def _work(part: object, sets: list[Any]) -> list[str]:
    operations = number(at(part, "operations")) or 0
    priced = [number(at(e, "host_mac_j")) for e in sets]
    each = [joules(None if j is None else operations * j) for j in priced]
    return [str(at(part, "part")), f"{count(operations)} operations", str(at(part, "how")), *each]


def _transfer(found: object) -> list[str]:
    to_chip, back = (number(at(found, "messages", key)) or 0 for key in ("to_chip", "from_chip"))
    return [
        f"{count(to_chip + back)} messages",
        f"{count(to_chip)} to the chip, {count(back)} back",
    ]


def _static(found: object) -> list[str]:
    watts, chips = (number(at(found, "static", key)) for key in ("watts", "chips"))
    time = words.between(pair(at(found, "static", "seconds")), seconds)
    return [f"{watts} W", f"{count(chips)} chip{'s' if chips != 1 else ''}, {time} in a stream"]


def _each(entry: object, part: str) -> str:
    return words.between(pair(at(entry, "joules", part)), joules)


def _ann(found: object, sets: list[Any]) -> list[str]:
    macs = f"{count(at(found, 'ann_macs'))} operations"
    each = [joules(at(e, "without_chip_j")) for e in sets]
    return [
        "total with an ANN in place of the chip",
        macs,
        "the same layers, in one pass, on the host",
        *each,
    ]
