"""Programs, chips, coefficients and mappings of strangers: read whole, or refused in one line."""

import copy
import json
import runpy
import zipfile
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from deploy.errors import BadInput
from deploy.files import read_json, read_npz, write_npz
from deploy.neurons import BUNDLED, KINDS
from deploy.program.file import load_program, save_program
from deploy.program.program import equal

WORKER = Path(__file__).parent / "damage_worker.py"
shared = runpy.run_path(str(WORKER))
every_kind = shared["every_kind"]


@pytest.mark.parametrize("kind", ["program", "mapping", "chip", "coefficients"])
def test_damaged_copies_are_read_or_refused(kind: str) -> None:
    found = shared["outcome"](WORKER, kind, 0, 250)
    assert found["read"] > 10 and found["refused"] > 100


@pytest.mark.long
@pytest.mark.parametrize("kind", ["program", "mapping", "chip", "coefficients"])
def test_many_damaged_copies_are_read_or_refused(kind: str) -> None:
    shared["outcome"](WORKER, kind, 1000, 4000)


def with_header(path: Path, **changes: Any) -> Path:
    """A program's file with changed entries of its header: {"connections/0/exponent": 0.5}."""
    arrays = read_npz(path)
    header = json.loads(arrays["program.json"].tobytes())
    for place, value in changes.items():
        *way, last = (int(x) if x.isdigit() else x for x in place.split("/"))
        holder = header
        for step in way:
            holder = holder[step]
        holder[last] = value
    text = np.frombuffer(json.dumps(header).encode(), np.uint8)
    write_npz(path, arrays | {"program.json": text})
    return path


@pytest.mark.parametrize(
    ("place", "value", "says"),
    [
        ("connections/0/exponent", 0.5, "node 'conv': key 'exponent' is 0.5, expected int"),
        ("connections/0/delay", 0.5, "node 'conv': key 'delay' is 0.5, expected int"),
        ("connections/1/source_size", 6.5, "node 'to-reset': key 'source_size' is 6.5"),
        ("connections/1/source_size", 2**31, "node 'to-reset': source size 2147483648, 'lif' has"),
        ("outputs/0/quantity", "zzz", "key 'outputs[0].quantity' is \"zzz\", expected one of s, v"),
        (
            "populations/0/shape",
            [2**31],
            "node 'lif': vth of shape (1, 2, 3) does not fit",
        ),
        ("inputs/0/shape", [2**31], "node 'conv': it reads the shape (1, 2, 3), 'image' has"),
        ("inputs/0/shape", [2**40], "has more than 2147483648 elements"),
        ("populations/0/name", 3, "key 'populations[0].name' is 3, expected str"),
        ("populations/4/rectified", 2, "node 'graded': key 'rectified' is 2, expected one of 0, 1"),
        ("populations/4/message_bits", 25, "node 'graded': message_bits is 25, expected 8..24"),
        ("version", 2.5, "version 2.5, this tool reads"),
    ],
)
def test_a_header_is_of_the_types_that_it_must_be(
    tmp_path: Path, place: str, value: Any, says: str
) -> None:
    path = tmp_path / "program.npz"
    save_program(path, every_kind())
    with pytest.raises(BadInput) as refused:
        load_program(with_header(path, **{place: value}))
    assert str(refused.value).startswith(f"{path}: ") and says in str(refused.value)


@pytest.mark.parametrize(
    ("name", "array", "says"),
    [
        ("dense/weight", np.zeros((1 << 13, 1 << 12), np.int16), "is larger than its node"),
        ("lif/vth", np.zeros((1 << 20, 7), np.int32), "is larger than its node"),
        ("lif/vth", np.array("x" * 1000), "has type <U1000, expected integers"),
        ("lif/vth", np.zeros((1, 2, 3)), "has type float64, expected integers"),
    ],
)
def test_sizes_are_compared_before_an_array_is_read(
    tmp_path: Path, name: str, array: np.ndarray, says: str
) -> None:
    path = tmp_path / "program.npz"
    save_program(path, every_kind())
    write_npz(path, read_npz(path) | {name: array})
    with pytest.raises(BadInput, match=says):
        load_program(path)


def test_an_array_that_is_there_twice_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "program.npz"
    save_program(path, every_kind())
    with zipfile.ZipFile(path) as archive:
        content = archive.read("lif/vth.npy")
    with zipfile.ZipFile(path, "a") as archive, pytest.warns(UserWarning, match="Duplicate"):
        archive.writestr("lif/vth.npy", content)
    with pytest.raises(BadInput, match="array 'lif/vth' is there twice"):
        load_program(path)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ('{"a": 1, "b": {"c": 1, "c": 2}}', "key 'c' is given twice"),
        ('{"a": NaN}', "not valid JSON"),
        ('{"a": 1e999}', "number out of range"),
        ('{"a": ' + "9" * 6000 + "}", "out of range"),
        ("[" * 2000 + "]" * 2000, "nested too deeply"),
        ('"\\ud800"', "not valid JSON"),
        pytest.param(
            "[" + "0," * (1 << 24) + "0]",
            "JSON of 33554435 bytes exceeds the limit of 16777216",
            id="large",
        ),
    ],
)
def test_json_that_no_program_of_ours_writes_is_refused(
    tmp_path: Path, text: str, says: str
) -> None:
    path = tmp_path / "a.json"
    path.write_text(text)
    with pytest.raises(BadInput, match=says) as refused:
        read_json(path)
    assert str(refused.value).startswith(str(path)) and len(str(refused.value)) < 500


def test_a_huge_name_makes_one_short_line() -> None:
    message = str(BadInput("file.json: node '" + "x\n" * 10**6 + "': what is wrong"))
    assert "\n" not in message and len(message) < 3000
    assert message.startswith("file.json") and message.endswith("what is wrong")


def test_every_field_of_every_kind_counts_for_equality() -> None:
    program = every_kind()
    kinds = {type(p) for p in program.populations}
    assert kinds == {KINDS[name] for name in BUNDLED}
    assert equal(program, every_kind())
    changed = 0
    for part in ("inputs", "populations", "connections", "outputs"):
        nodes = getattr(program, part)
        for i, node in enumerate(nodes):
            for field in fields(node):
                other = copy.copy(program)
                value = different(getattr(node, field.name))
                altered = replace(node, **{field.name: value})
                object.__setattr__(other, part, (*nodes[:i], altered, *nodes[i + 1 :]))
                assert not equal(program, other), (node.name, field.name)
                assert not equal(other, program), (node.name, field.name)
                changed += 1
        fewer = copy.copy(program)
        object.__setattr__(fewer, part, nodes[:-1])
        assert not equal(program, fewer) and not equal(fewer, program)
    assert changed > 100


def different(value: Any) -> Any:
    """Another value of the same type."""
    if isinstance(value, np.ndarray):
        array = value.copy()
        array.flat[-1] += 1
        return array
    if isinstance(value, tuple):
        return (*value[:-1], value[-1] + 1)
    if isinstance(value, bool):
        return not value
    return value + ("x" if isinstance(value, str) else 1)
