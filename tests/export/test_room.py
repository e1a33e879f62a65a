"""What no system holds is refused before the work: nothing need be known but how many neurons there are."""

import json

import numpy as np
import pytest

nir = pytest.importorskip("nir")

from deploy.hardware.chip import load_chip
from deploy.map.core.fits import require_room
from deploy.map.partition import partition
from deploy.map.system import SYSTEMS
from deploy.program.program import Output, Program, make_input, make_population
from export.commands.main import main as export
from export.frontends import nir as frontend


@pytest.fixture
def small(tmp_path):
    """A chip of two cores of four neurons."""
    limits = {"cores_per_chip": 2, "neurons": 4}
    path = tmp_path / "small.json"
    path.write_text(
        json.dumps(
            {"format": "neuroclip-chip", "version": 1, "name": "small", "description": "a toy"}
            | {"extends": "loihi2", "chips": 1}
            | {
                "limits": {
                    n: {"value": v, "source": "a toy", "assumption": True}
                    for n, v in limits.items()
                }
            }
        )
    )
    return path


def test_before_anything_is_quantized(
    tmp_path, graph_file, spikes_file, small, refused, monkeypatch, capsys
):
    """Five neurons and three take three cores, whatever their synapses."""

    def never(*_, **__):
        raise AssertionError("too late")

    arguments = [str(graph_file), "--data", str(spikes_file), "--chip", str(small)]
    assert export([*arguments, "--target", "nir", "--out", str(tmp_path / "nir")]) == 0
    monkeypatch.setattr(frontend, "on_chip", never)
    assert export([*arguments, "--target", "emulator", "--out", str(tmp_path / "out")]) == 1
    said = capsys.readouterr().err
    assert "layer 'lif': 2 of 3 cores" in said and "exceed the 2 of 'small' by 1" in said
    assert not (tmp_path / "out").exists()


def test_the_check_refuses_nothing_that_is_held(small):
    rng, chip = np.random.default_rng(0), load_chip(str(small))
    held = 0
    for _ in range(60):
        sizes = rng.integers(1, 7, rng.integers(1, 4)).tolist()
        made = [make_population(f"p{i}", (n,)) for i, n in enumerate(sizes)]
        program = Program((make_input("in", (2,)),), tuple(made), (), (Output("out", "p0", "s"),))
        verdicts = []
        for check in (
            lambda p=program: partition(p, chip),
            lambda p=program: require_room({n.name: n.size for n in p.populations}, chip),
        ):
            try:
                check()
                verdicts.append("held")
            except Exception as error:
                verdicts.append(str(error))
        assert verdicts[0] == verdicts[1] or verdicts[1] == "held"
        held += verdicts[0] == "held"
    assert 0 < held < 60
    require_room({"p": 1_000_000}, load_chip(SYSTEMS[-1]))
