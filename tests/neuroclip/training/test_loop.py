"""The training loop: exact at any step, in time, and only on the state of the same training."""

import time
from dataclasses import replace

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("safetensors")

from safetensors import safe_open
from safetensors.torch import load_file, save_file

from deploy.errors import BadInput
from neuroclip.training import loop
from neuroclip.training.loop import OutOfTime, Session, Stage, fit

STAGE = Stage("toy", epochs=3, learning_rate=0.05, weight_decay=0.0, batch=4, seed=3, identity="x")


def toy():
    """A module with statistics, random draws of its own, and momentum."""
    torch.manual_seed(0)
    x, y = torch.randn(18, 6), torch.randn(18, 2)
    module = torch.nn.Sequential(
        torch.nn.Linear(6, 5), torch.nn.BatchNorm1d(5), torch.nn.Dropout(0.3), torch.nn.Linear(5, 2)
    )

    def loss_of(index):
        return (module(x[index] + 0.1 * torch.rand(len(index), 6)) - y[index]).square().mean()

    def evaluate():
        return {"validation": -float((module(x) - y).square().mean())}

    return module, loss_of, evaluate


def trained(session=Session(), stage=STAGE, kind=torch.optim.AdamW):  # noqa: B008
    module, loss_of, evaluate = toy()
    optimizer = kind(module.parameters(), lr=1.0)
    history = fit(
        stage, module, optimizer, 18, loss_of, evaluate, lambda e, s, n: 1 / (e + s / n), session
    )
    return module.state_dict(), history


def equal(a, b):
    return a.keys() == b.keys() and all(torch.equal(a[n], b[n]) for n in a)


@pytest.mark.parametrize("kind", [torch.optim.AdamW, lambda p, lr: torch.optim.SGD(p, lr, 0.9)])
def test_a_training_killed_at_any_step_ends_like_an_unbroken_one(tmp_path, monkeypatch, kind):
    weights, history = trained(kind=kind)
    assert len(history) == 4 and all(h["loss"] > 0 for h in history[1:])
    monkeypatch.setattr(loop, "KEEP_SECONDS", 0.0)
    keep = loop.keep_state
    for kills in range(1, 18, 3):  # 5 steps and an end of epoch, three times
        places = []

        def killed(path, identity, state, *rest, places=places, kills=kills):
            keep(path, identity, state, *rest)
            places.append(state.place)
            if len(places) == kills:
                raise KeyboardInterrupt

        session = Session(tmp_path / str(kills))
        with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
            patched.setattr(loop, "keep_state", killed)
            trained(session, kind=kind)
        resumed, again = trained(replace(session, resume=True), kind=kind)
        assert equal(resumed, weights) and again == history, places[-1]


def test_a_deadline_stops_after_a_step_and_the_next_session_goes_on(tmp_path):
    weights, history = trained()
    session = Session(tmp_path, resume=True, deadline=time.monotonic())
    stops = 0
    while True:
        try:
            found = trained(session)
            break
        except OutOfTime as stop:
            stops += 1
            assert "toy, epoch" in str(stop)
    assert stops == 15 and equal(found[0], weights) and found[1] == history


def test_what_comes_after_a_finished_stage_draws_the_same(tmp_path):
    trained(Session(tmp_path))
    drawn = torch.rand(3)
    torch.manual_seed(9)
    trained(Session(tmp_path, resume=True))
    assert torch.equal(torch.rand(3), drawn)


def test_a_state_of_another_training_or_a_damaged_one_is_refused(tmp_path):
    trained(Session(tmp_path))
    path = tmp_path / "state-toy.safetensors"
    for other in (replace(STAGE, identity="y"), replace(STAGE, learning_rate=0.1)):
        with pytest.raises(BadInput, match="the state of another training"):
            trained(Session(tmp_path, True), other)
    whole = path.read_bytes()
    for content in (whole[:500], b"", bytes(len(whole))):
        path.write_bytes(content)
        with pytest.raises(BadInput, match=f"{path}: not a readable safetensors file"):
            trained(Session(tmp_path, True))
    path.write_bytes(whole)
    with safe_open(path, "pt") as file:
        record = file.metadata()
    save_file(load_file(path), path, record | {"place": "{}["})
    with pytest.raises(BadInput, match=f"{path}: damaged training state"):
        trained(Session(tmp_path, True))
