"""Two processes under gloo train what one trains, up to the order of sums."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

torch = pytest.importorskip("torch")
for package in ("snntorch", "open_clip"):
    pytest.importorskip(package)

from safetensors.torch import load_file

from neuroclip.commands import main as cli
from neuroclip.compute.parallel import SharedBatchNorm2d, batch_mean, own, share_norms, share_of

ROOT = Path(__file__).parents[3]
LAUNCHER = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]

# In float64, where the order of sums is far from any threshold: convolution, batch statistics, a
# nonlinear function of a mean over the whole batch, random draws, a batch that does not divide evenly;
# two processes are stopped by a deadline and go on.
SCRIPT = """
import sys, torch, torch.distributed as dist
from pathlib import Path
from neuroclip.compute.distributed import finish, rank
from neuroclip.training.loop import OutOfTime, Session, Stage
from neuroclip.compute.parallel import batch_mean, own
from neuroclip.training.adamw import fit

rank()
torch.manual_seed(0)
torch.set_default_dtype(torch.float64)
x, y = torch.randn(19, 2, 5, 5), torch.randn(19, 3)
module = torch.nn.Sequential(
    torch.nn.Conv2d(2, 4, 3, bias=False), torch.nn.BatchNorm2d(4), torch.nn.Tanh(), torch.nn.Flatten(),
    torch.nn.Linear(36, 3),
)

def loss_of(index):
    made = module(own(x[index] + 0.1 * torch.rand(len(index), 1, 1, 1)))
    penalty = batch_mean(made.abs().mean(), len(index)).square()
    return (made - y[own(index)]).square().mean() + penalty

def evaluate():
    return {"validation": -float((module(x) - y).square().mean())}

out = Path(sys.argv[1])
stage = Stage("toy", 3, 0.02, 0.01, 7, 1, "")
if dist.is_initialized():
    try:
        # Long ago for the first process, never for the other: all stop as the first one says.
        deadline = 0.0 if rank() == 0 else 1e18
        fit(stage, module, len(x), loss_of, evaluate, Session(out, deadline=deadline))
        raise SystemExit("no deadline")
    except OutOfTime:
        dist.barrier()
    with torch.no_grad():
        for tensor in module.state_dict().values():
            tensor.zero_()
history = fit(stage, module, len(x), loss_of, evaluate, Session(out, resume=True))
if rank() == 0:
    torch.save({"history": history, "weights": module.state_dict()}, out / "found.pt")
finish()
"""


def run(tmp_path, name, *command, launcher=()):
    environment = os.environ | {
        "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": "",
    }  # fmt: skip
    (tmp_path / name).mkdir(exist_ok=True)
    done = subprocess.run(
        [sys.executable, *launcher, *command], env=environment, capture_output=True, text=True,
        timeout=500, check=False, cwd=tmp_path,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


def test_one_process_shares_with_nobody():
    x, norm = torch.arange(3.0), torch.nn.Sequential(torch.nn.BatchNorm2d(2))
    share_norms(norm)
    assert own(x) is not None and torch.equal(own(x), x) and share_of(3) == 1
    assert torch.equal(batch_mean(x, 3), x) and type(norm[0]) is torch.nn.BatchNorm2d
    alone, given = SharedBatchNorm2d(2), torch.randn(4, 2, 3, 3)
    assert torch.equal(alone(given), torch.nn.BatchNorm2d(2)(given))


def test_two_processes_take_the_steps_of_one(tmp_path):
    script = tmp_path / "script.py"
    script.write_text(SCRIPT)
    found = []
    for name, launcher in (("one", ()), ("two", LAUNCHER)):
        run(tmp_path, name, str(script), str(tmp_path / name), launcher=launcher)
        found.append(torch.load(tmp_path / name / "found.pt", weights_only=True))
    one, two = found
    assert [h["epoch"] for h in two["history"]] == [0, 1, 2, 3]
    for a, b in zip(one["history"], two["history"], strict=True):
        assert a["validation"] == pytest.approx(b["validation"], rel=1e-9)
        assert a["loss"] is None or a["loss"] == pytest.approx(b["loss"], rel=1e-9)
    for name, tensor in one["weights"].items():
        assert torch.allclose(tensor, two["weights"][name], rtol=1e-9, atol=1e-12), name


def test_two_processes_train_a_spikeclip(tmp_path):
    """All stages; the first process alone writes and says so."""
    settings = {
        "model": {"image_size": 8, "channels": 1, "width": 8, "convolutions": 2, "halvings": 1,
                  "blocks": 1, "heads": 2, "ratio": 1, "steps": 2},
        "recipe": {"epochs": 1, "finetune_epochs": 1, "quantized_epochs": 1, "text_epochs": 1,
                   "shift": 1, "spike_rate": 0.1, "batch": 64},
        "text": {"tokens": 14, "hidden": 8},
        "template": "a {}",
        "limit": 20,
    }  # fmt: skip
    (tmp_path / "tiny.json").write_text(json.dumps(settings))
    options = ["--config", str(tmp_path / "tiny.json"), "--device", "cpu", "--out"]
    histories = []
    for name in ("one", "two"):
        command = ["train", "spikeclip", *options, str(tmp_path / name)]
        if name == "one":
            assert cli.main(command) == 0
        else:
            shown = run(
                tmp_path, name, "neuroclip.commands.main", *command, launcher=[*LAUNCHER, "-m"]
            )
            # Once for each of its two stages.
            assert shown.count("checkpoint: ") == 2 and "images/s" in shown
        histories.append(json.loads((tmp_path / name / "history-align.json").read_text()))
        assert (tmp_path / name / "history-finetune.svg").is_file()
    one, two = ({(h["stage"], h["epoch"]): h for h in history} for history in histories)
    # Before the first step nothing was summed over processes; after it a spike may differ.
    assert one["align", 0]["validation"] == pytest.approx(two["align", 0]["validation"], rel=1e-5)
    assert one["align", 1]["loss"] == pytest.approx(two["align", 1]["loss"], rel=0.02)
    texts = [load_file(tmp_path / name / "text.safetensors") for name in ("one", "two")]
    assert texts[0].keys() == texts[1].keys()
