"""Chip descriptions: bundled values, a user's own file, and what is refused."""

import json
from pathlib import Path
from typing import Any

import pytest

from deploy.errors import BadInput
from deploy.hardware.chip import LIMITS, Limit, known_chips, load_chip


def complete() -> dict[str, Any]:
    limit = {"value": 5, "source": "a data sheet", "assumption": False}
    return {
        "format": "neuroclip-chip",
        "version": 1,
        "name": "mine",
        "description": "a test",
        "chips": 3,
        "limits": {name: dict(limit) for name in LIMITS},
    }


def written(folder: Path, entry: Any) -> Path:
    path = folder / "mine.json"
    path.write_text(entry if isinstance(entry, str) else json.dumps(entry))
    return path


def test_bundled_chips_and_their_sizes() -> None:
    cores = {name: load_chip(name).cores for name in known_chips()}
    assert cores == {"loihi1": 128, "loihi2": 120, "kapoho-point": 960, "hala-point": 140_544}


def test_every_bundled_limit_has_a_source_and_says_whether_it_is_an_assumption() -> None:
    for name in known_chips():
        chip = load_chip(name)
        assert chip.name == name
        for limit in LIMITS:
            assert len(getattr(chip, limit).source) > 5
            if getattr(chip, limit).value is None:
                assert getattr(chip, limit).assumption
    assert load_chip("loihi1").assumptions == ("shared_kernels", "chip_crossing")
    assert {"output_axons", "synapse_bits"} <= set(load_chip("loihi2").assumptions)


def test_loihi_2_limits() -> None:
    chip = load_chip("loihi2")
    assert (chip.neurons.value, chip.synapse_words.value) == (4096, 12_000)
    assert (chip.input_axons.value, chip.output_axons.value) == (16_000, 16_384)
    assert (chip.neuron_groups.value, chip.word_bits.value) == (8, 64)
    assert (chip.message_bits.value, load_chip("loihi1").message_bits.value) == (32, 0)
    assert load_chip("kapoho-point").neurons == chip.neurons


def test_a_users_own_chip(tmp_path: Path) -> None:
    chip = load_chip(written(tmp_path, complete()))
    assert (chip.name, chip.cores) == ("mine", 15)
    assert chip.neurons == Limit(5, "a data sheet", False)


def test_a_users_chip_can_extend_a_bundled_one(tmp_path: Path) -> None:
    entry = complete() | {
        "extends": "loihi2",
        "limits": {"neurons": complete()["limits"]["neurons"]},
    }
    chip = load_chip(str(written(tmp_path, entry)))
    assert chip.neurons.value == 5
    assert chip.synapse_words == load_chip("loihi2").synapse_words


def test_an_unknown_name_lists_the_known_ones_in_one_line() -> None:
    with pytest.raises(BadInput) as error:
        load_chip("loihi3")
    message = str(error.value)
    assert "loihi3" in message and "\n" not in message
    assert all(name in message for name in known_chips())


def damage(change: str) -> Any:
    entry = complete()
    if change == "truncated":
        return json.dumps(entry)[:-20]
    if change == "not an object":
        return "[1]"
    if change == "version":
        entry["version"] = 2
    elif change == "missing limit":
        del entry["limits"]["neurons"]
    elif change == "missing value":
        del entry["limits"]["neurons"]["value"]
    elif change == "missing chips":
        del entry["chips"]
    elif change == "misspelt":
        entry["limits"]["nuerons"] = entry["limits"].pop("neurons")
    elif change == "text":
        entry["limits"]["neurons"]["value"] = "5"
    elif change == "bool":
        entry["limits"]["neurons"]["value"] = True
    elif change == "null":
        entry["limits"]["neurons"]["value"] = None
    elif change == "zero":
        entry["limits"]["neurons"]["value"] = 0
    elif change == "no source":
        entry["limits"]["neurons"]["source"] = " "
    elif change == "number for a limit":
        entry["limits"]["neurons"] = 5
    elif change == "extends":
        entry["extends"] = "loihi9"
    elif change == "chips":
        entry["chips"] = 0
    return entry


@pytest.mark.parametrize(
    ("change", "key"),
    [
        ("truncated", "JSON"),
        ("not an object", "object"),
        ("version", "version"),
        ("missing limit", "limits.neurons"),
        ("missing value", "limits.neurons.value"),
        ("missing chips", "chips"),
        ("misspelt", "limits.nuerons"),
        ("text", "limits.neurons.value"),
        ("bool", "limits.neurons.value"),
        ("null", "limits.neurons.value"),
        ("zero", "limits.neurons.value"),
        ("no source", "limits.neurons.source"),
        ("number for a limit", "limits.neurons"),
        ("extends", "extends"),
        ("chips", "chips"),
    ],
)
def test_a_damaged_file_is_refused_naming_file_and_key(
    tmp_path: Path, change: str, key: str
) -> None:
    path = written(tmp_path, damage(change))
    with pytest.raises(BadInput) as error:
        load_chip(path)
    assert str(path) in str(error.value) and key in str(error.value)
    assert "\n" not in str(error.value)


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"none\.json: cannot read"):
        load_chip(tmp_path / "none.json")
