"""SpikeCLIP's training: settings, both steps, curves, and a training that goes on where it was."""

import functools
import json
import os
import subprocess
import sys
import time
from dataclasses import asdict, replace
from pathlib import Path

import pytest

torch = pytest.importorskip("torch")
for package in ("snntorch", "open_clip"):
    pytest.importorskip(package)


from deploy.errors import BadInput
from neuroclip.commands import main as cli
from neuroclip.commands.actions import spikeclip as commands
from neuroclip.commands.actions.asked import Source
from neuroclip.spikeclip.checkpoint import load_spikeclip
from neuroclip.spikeclip.config import SpikeClipConfig
from neuroclip.spikeclip.eight_bits import in_eight_bits
from neuroclip.spikeclip.encoder import neurons
from neuroclip.spikeclip.model import SpikeClip, firing_rates
from neuroclip.spikeclip.training.finetune_teacher import class_teacher
from neuroclip.spikeclip.training.pairs import pairs_of
from neuroclip.spikeclip.training.recipe import Mirrors, SpikeRecipe, augmented
from neuroclip.spikeclip.training.settings import read_settings
from neuroclip.spikeclip.training.steps import features_of
from neuroclip.spikeclip.training.teacher import TeacherConfig, image_features
from neuroclip.spikeclip.training.texts import teacher_text
from neuroclip.storage.weights import weights_digest
from neuroclip.training import loop
from neuroclip.training.loop import Session

ROOT = Path(__file__).parents[3]
TINY = {
    "model": {
        "image_size": 8, "channels": 1, "width": 8, "convolutions": 2, "halvings": 1, "blocks": 1,
        "heads": 2, "ratio": 1, "steps": 2,
    },
    "recipe": {
        "epochs": 3, "finetune_epochs": 2, "quantized_epochs": 2, "text_epochs": 3, "shift": 1,
        "spike_rate": 0.1,
    },
    "text": {"tokens": 14, "hidden": 8},
    "template": "a {}",
    "labels": ["one", "two"],
}  # fmt: skip


@pytest.fixture(scope="module")
def config(tmp_path_factory):
    path = tmp_path_factory.mktemp("settings") / "tiny.json"
    path.write_text(json.dumps(TINY))
    return str(path)


@pytest.fixture
def few(monkeypatch):
    """The digits, a few of them."""
    whole = commands.open_images

    def opened(*arguments, **more):
        found = whole(*arguments, **more)
        return replace(found, train=found.train[:60], validation=found.validation[:30])

    monkeypatch.setattr(commands, "open_images", opened)


def files(folder):
    """What a training leaves but for its states, without what depends on the machine's speed."""
    found = {
        p.name: p.read_bytes()
        for p in folder.iterdir()
        if p.suffix in (".safetensors", ".json") and not p.name.startswith("state")
    }
    for name in [n for n in found if n.startswith("history")]:
        found[name] = [
            {k: v for k, v in entry.items() if k != "examples_per_second"}
            for entry in json.loads(found[name])
        ]
    return found


def train(config, out, *more):
    for stage in ("align", "finetune"):
        given = ["train", "spikeclip", "--stage", stage, "--config", config, "--out", str(out)]
        assert cli.main([*given, *more]) == 0


@pytest.mark.usefixtures("few")
def test_a_killed_training_ends_like_an_unbroken_one(config, tmp_path, monkeypatch):
    train(config, tmp_path / "whole")
    history = json.loads((tmp_path / "whole" / "history-finetune.json").read_text())
    stages = [(h["stage"], h["epoch"]) for h in history]
    assert stages == [(s, e) for s in ("finetune", "quantized") for e in range(3)]
    assert all(0 <= rate <= 1 for h in history for rate in h["rates"].values())

    out, keep = tmp_path / "killed", loop.keep_state
    for stage in ("text", "align"):
        places = []

        def killed(path, identity, state, *rest, places=places, stage=stage):
            keep(path, identity, state, *rest)
            if path.name == f"state-{stage}.safetensors":
                places.append(state.place)
                if len(places) == 2:
                    raise KeyboardInterrupt

        with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
            patched.setattr(loop, "keep_state", killed)
            commands.train("align", config, Source("digits", None, False), out, resume=True)
        assert not (out / "config.json").exists()
    train(config, out, "--resume")
    assert files(out) == files(tmp_path / "whole")


KILLED = """
import sys
from neuroclip.commands import main as cli
from neuroclip.training import loop
loop.KEEP_SECONDS = 0.0  # the state is kept after every step
cli.main(sys.argv[1:])
"""


def test_a_training_killed_by_the_system_in_the_middle_of_an_epoch(config, tmp_path):
    """SIGKILL, which no process can answer, after some step; then --resume."""
    base = [
        "train",
        "spikeclip",
        "--config",
        config,
        "--device",
        "cpu",
        "--stage",
        "align",
        "--out",
    ]
    assert cli.main([*base, str(tmp_path / "whole")]) == 0
    out = tmp_path / "killed"
    state = out / "state-align.safetensors"
    process = subprocess.Popen(
        [sys.executable, "-c", KILLED, *base, str(out)], cwd=ROOT, stderr=subprocess.DEVNULL,
        env=os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": str(torch.get_num_threads())},
    )  # fmt: skip
    try:
        place = None
        while process.poll() is None and (place is None or place["step"] < 3):
            if state.exists():
                # Read at once: it is replaced meanwhile, and safetensors opens a file twice.
                content = state.read_bytes()
                header = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])
                place = json.loads(header["__metadata__"]["place"])
            time.sleep(0.005)
        assert process.poll() is None and place is not None and place["step"] >= 3
    finally:
        process.kill()
        process.wait()
    assert not (out / "config.json").exists()
    assert cli.main([*base, str(out), "--resume"]) == 0
    assert files(out) == files(tmp_path / "whole")


@pytest.mark.usefixtures("few")
def test_minutes_end_well_and_the_same_command_goes_on(config, tmp_path, capsys):
    train(config, tmp_path / "whole")
    out = tmp_path / "parts"
    for stage in ("align", "finetune"):
        given = ["train", "spikeclip", "--stage", stage, "--config", config, "--out", str(out)]
        stops = 0
        while True:
            assert cli.main([*given, "--resume", "--minutes", "1e-6"]) == 0
            shown = capsys.readouterr().out
            if "checkpoint: " in shown.splitlines()[-1]:
                break
            stops += 1
            assert "stopped after 1e-06 minutes in" in shown and "--resume goes on" in shown
            assert stage == "finetune" or not (out / "config.json").exists()
        assert stops >= 4  # a step at a time
    assert files(out) == files(tmp_path / "whole")


@pytest.mark.usefixtures("few")
def test_another_sum_factor_quantizes_what_was_trained(config, tmp_path):
    """A refused quantization does not cost the training before it."""
    out = tmp_path / "out"
    train(config, out)
    before = json.loads((out / "history-finetune.json").read_text())
    other = tmp_path / "other.json"
    other.write_text(json.dumps(TINY | {"model": TINY["model"] | {"sum_factor": 8}}))
    (out / "state-quantized.safetensors").unlink()
    given = ["--stage", "finetune", "--config", str(other), "--out", str(out), "--resume"]
    assert cli.main(["train", "spikeclip", *given]) == 0
    after = json.loads((out / "history-finetune.json").read_text())
    # To the clock's digits: those epochs were not run again.
    assert after[:3] == before[:3] and len(after) == len(before)
    assert load_spikeclip(out).chip.config.sum_factor == 8


@pytest.mark.usefixtures("few")
def test_the_papers_variant_trains_and_has_no_chip(config, tmp_path, refused):
    from export.commands import main as export_cli

    raw = json.loads(Path(config).read_text())
    raw["model"]["variant"] = "paper"
    path, out = tmp_path / "paper.json", tmp_path / "paper"
    path.write_text(json.dumps(raw))
    train(str(path), out)
    assert load_spikeclip(out).chip is None
    refused(export_cli.main, out, "--target", "emulator", "--out", tmp_path / "x", says=["q·kᵀ·v"])


TRANSFORMER = {"epochs": 1, "layers": 1, "width": 32, "heads": 1, "features": 16,
               "image_size": 16, "text_width": 32, "text_layers": 1}  # fmt: skip
CONVOLUTIONAL = {"tower": "convolutional", "epochs": 1, "width": 16, "features": 16, "image_size": 16,
                 "text_width": 32, "text_layers": 1, "learning_rate": 5e-3, "orthogonal_rate": 0.1,
                 "batch": 20, "smoothing": 0.2, "caption_epochs": 2}  # fmt: skip


@pytest.mark.parametrize("sizes", [TRANSFORMER, CONVOLUTIONAL])
@pytest.mark.usefixtures("few")
def test_a_teacher_of_our_own_teaches(tmp_path, refused, sizes):
    """Stage by stage, beside its pupil or in settings by its path, or all stages with one command."""
    raw = TINY | {
        "own_teacher": sizes,
        "teacher": {"model": "own", "normalisation": "clip"},
    }  # fmt: skip
    path = tmp_path / "own.json"
    path.write_text(json.dumps(raw))
    base, out = ["train", "spikeclip", "--config", str(path)], tmp_path / "runs"
    for stage in ("align", "finetune"):
        given = [*base[2:], "--stage", stage, "--out", out / "pupil"]
        refused(cli.main, *base[:2], *given, says=[out / "pupil" / "teacher", "no teacher"])
    assert cli.main([*base, "--stage", "teacher", "--out", str(out / "teacher")]) == 0
    train(str(path), out / "pupil")
    made = load_spikeclip(out / "pupil")
    assert made.model.config.features == 16 and made.chip is not None
    assert made.teacher["model"] == str(out / "teacher")
    assert 0 <= made.training["teacher_validation_accuracy"] <= 1
    assert cli.main([*base, "--out", str(tmp_path / "all")]) == 0
    assert load_spikeclip(tmp_path / "all").teacher["model"] == str(tmp_path / "all" / "teacher")
    for name in ("float", "text", "chip"):
        pair = [folder / f"{name}.safetensors" for folder in (out / "pupil", tmp_path / "all")]
        assert pair[0].read_bytes() == pair[1].read_bytes()


@pytest.mark.parametrize("how", ["none", "probe", "full"])
def test_the_teacher_is_fine_tuned_before_its_probabilities_are_distilled(tmp_path, how):
    """On the digits' pictures: better than by its texts alone, at least on what it was trained on."""
    rate = 0.02 if how == "probe" else 1e-3
    settings = TeacherConfig(finetune=how, finetune_epochs=4, finetune_learning_rate=rate)
    clip, dataset = settings.load("cpu"), commands.open_images("digits", 34, 1)
    dataset = replace(dataset, train=dataset.train[:300], validation=dataset.validation[:100])
    truth = torch.from_numpy(dataset.labels[dataset.train])
    model = SpikeClip(
        SpikeClipConfig(image_size=8, channels=1, width=8, convolutions=2, halvings=1)
    )
    # A class is missing in the texts' order, so that zero-shot is wrong about it.
    text = teacher_text(clip, [f"the digit {d}" for d in (0, 1, 2, 3, 4, 5, 6, 7, 9, 8)])
    train, validation = (
        pairs_of(model, dataset, part, image_features(clip, settings, dataset.images[part]), "")
        for part in (dataset.train, dataset.validation)
    )
    before = weights_digest(clip.module)
    recipe = SpikeRecipe(shift=1)
    found = [
        class_teacher(clip, settings, recipe, dataset, train, validation, text, 100.0, session)
        for session in (Session(tmp_path), Session(tmp_path, resume=True))
    ]
    assert torch.equal(found[0].probabilities, found[1].probabilities)
    assert torch.allclose(found[0].probabilities.sum(1), torch.ones(300))
    guessed, right = (
        float((scores.argmax(1) == truth).float().mean())
        for scores in (train.features @ text.T, found[0].probabilities)
    )
    if how == "none":
        assert found[0].history == [] and right == guessed
    else:
        assert right > guessed + 0.05
        assert max(h["validation"] for h in found[0].history) == found[0].accuracy
    assert weights_digest(clip.module) == before


@pytest.mark.usefixtures("few")
def test_a_probe_is_part_of_the_second_step(config, tmp_path):
    raw = json.loads(Path(config).read_text())
    raw["teacher"] = {"finetune": "probe", "finetune_epochs": 2}
    path, out = tmp_path / "probe.json", tmp_path / "out"
    path.write_text(json.dumps(raw))
    train(str(path), out)
    history = json.loads((out / "history-finetune.json").read_text())
    assert [h["stage"] for h in history] == ["probe"] * 3 + ["finetune"] * 3 + ["quantized"] * 3
    made = load_spikeclip(out).training
    assert made["teacher_finetune"] == "probe"
    assert made["teacher_validation_accuracy"] == max(h["validation"] for h in history[:3])


@pytest.mark.usefixtures("few")
def test_what_cannot_be_trained_is_refused(config, tmp_path, refused):
    out = tmp_path / "out"
    out.mkdir()
    base = ["train", "spikeclip", "--out", out]
    refused(cli.main, *base, "--stage", "finetune", says=[out / "config.json"])
    refused(cli.main, *base, "--stage", "align", "--config", "no", says=["no such configuration"])
    refused(cli.main, *base, "--stage", "align", "--data", "no", says=["no folder or zip file"])
    refused(cli.main, "train", "--stage", "align", "--out", out, says=["--stage"])
    refused(cli.main, "train", "--minutes", "1", "--out", out, says=["--minutes"])
    for device in ("tpu", "cuda:99", "meta"):
        refused(cli.main, *base, "--stage", "align", "--device", device, says=[f"'{device}'"])
    for minutes in ("0", "-1", "nan", "inf"):
        refused(cli.main, *base, "--stage", "align", f"--minutes={minutes}", says=["--minutes"])
    for key, value, says in (
        ("model", {"width": 7}, "width 7"),
        ("recipe", {"epochs": 0}, "epochs 0"),
        ("recipe", {"spike_rate": 2.0}, "spike_rate 2.0"),
        ("template", "no place", "no place"),
        ("labels", "a,b", "labels"),
        ("limit", 1, "limit"),
        ("teacher", {"finetune": "half"}, 'teacher.finetune\' is "half"'),
        ("teacher", {"finetune_epochs": 0}, "finetune_epochs 0"),
        ("odd", 1, "odd"),
    ):
        path = tmp_path / "settings.json"
        path.write_text(json.dumps({**TINY, key: value}))
        refused(cli.main, *base, "--stage", "align", "--config", path, says=[path, says])


@pytest.mark.usefixtures("few")
def test_curves_are_kept_and_drawn(config, tmp_path):
    train(config, tmp_path)
    for stage in ("align", "finetune"):
        history = json.loads((tmp_path / f"history-{stage}.json").read_text())
        trained = [h for h in history if h["epoch"]]
        assert all(h["loss"] > 0 and h["examples_per_second"] > 0 for h in trained)
        drawn = (tmp_path / f"history-{stage}.svg").read_text()
        assert "<svg" in drawn and drawn.count("<path") > 3


def loss_of_a_batch(recipe):
    """Of the first alignment batch, and the gradient that it gives the first convolution."""
    torch.manual_seed(0)
    model = SpikeClip(SpikeClipConfig(**TINY["model"], features=6)).train()
    sent, target = torch.randint(0, 16, (6, 1, 8, 8)).float(), torch.randn(6, 6)
    with firing_rates(model) as rates:
        made = features_of(model, recipe)(sent)
        loss = (
            1 - torch.cosine_similarity(made, target).mean() + torch.stack([*rates.values()]).sum()
        )
        loss.backward()
    assert made.dtype == torch.float32 and len(rates) > 5
    return float(loss), model.encoder.tokenizer.synapses[0].conv.weight.grad


def test_mixed_precision_gives_nearly_the_same_loss():
    plain, _ = loss_of_a_batch(SpikeRecipe())
    mixed, _ = loss_of_a_batch(SpikeRecipe(mixed_precision=True))
    assert plain != mixed and mixed == pytest.approx(plain, rel=0.1)  # a spike or so differs


@pytest.mark.parametrize("backend", ["eager", pytest.param("inductor", marks=pytest.mark.long)])
def test_a_compiled_model_gives_the_same_loss(monkeypatch, backend):
    """Its graphs as they are and, which takes a minute, by torch's own compiler."""
    plain, gradient = loss_of_a_batch(SpikeRecipe())
    torch._dynamo.reset()
    monkeypatch.setattr(torch, "compile", functools.partial(torch.compile, backend=backend))
    try:
        compiled, same = loss_of_a_batch(SpikeRecipe(compile=True))
    except BadInput as error:
        pytest.skip(str(error))
    assert compiled == pytest.approx(plain, rel=1e-5)
    assert torch.allclose(gradient, same, rtol=1e-3, atol=1e-5)


def test_a_compiler_that_is_missing_is_named(monkeypatch):
    def missing(*_):
        raise RuntimeError("no compiler\nat all")

    monkeypatch.setattr(torch, "compile", lambda *_: missing)
    with pytest.raises(BadInput, match=r"recipe: compile: .* not work here: no comp"):
        loss_of_a_batch(SpikeRecipe(compile=True))


CONFIGS = ROOT / "neuroclip/spikeclip/training/configs"


@pytest.mark.parametrize("name", sorted(p.stem for p in CONFIGS.glob("*.json")))
@pytest.mark.usefixtures("few")
def test_bundled_settings_train_in_every_stage(tmp_path, name):
    """With all of their recipe but for its length, and torch.compile, which needs a compiler."""
    found = read_settings(name)
    recipe = asdict(found.recipe)
    epochs = {k: 1 for k in recipe if k.endswith("epochs")}
    variant = found.model.variant
    short = {
        "model": TINY["model"] | {"variant": variant, "steps": 1 if variant == "ann" else 2},
        "recipe": recipe | epochs | {"compile": False},
        "teacher": asdict(found.teacher) | {"model": "digits", "finetune_epochs": 1},
        "text": asdict(found.text) | TINY["text"] | {"tokens": 48},
        "template": found.template,
        "labels": found.labels[:2],
        "templates": found.templates[:2],
    }
    path = tmp_path / "short.json"
    path.write_text(json.dumps(short))
    train(str(path), tmp_path / "out")
    chip = load_spikeclip(tmp_path / "out").chip
    assert (chip is None) == (variant != "deployable")


def test_settings_may_be_like_bundled_ones(tmp_path):
    path = tmp_path / "mine.json"
    path.write_text('{"like": "cifar10-cpu", "recipe": {"shift": 2}, "labels": ["zebra"]}')
    found, base = read_settings(str(path)), read_settings("cifar10-cpu")
    assert found.recipe == replace(base.recipe, shift=2) and found.labels == ("zebra",)
    assert replace(found, recipe=base.recipe, labels=base.labels) == base
    for like in (str(path), "../cifar10-cpu", "no", ["cifar10-cpu"], 7):
        path.write_text(json.dumps({"like": like}))
        with pytest.raises(BadInput, match=r"mine\.json: key 'like' is .*expected one of"):
            read_settings(str(path))


@pytest.mark.usefixtures("few")
def test_what_was_aligned_in_one_step_is_fine_tuned_in_two(tmp_path, refused):
    raw = TINY | {"model": TINY["model"] | {"steps": 1}}
    path, out = tmp_path / "tiny.json", tmp_path / "out"
    path.write_text(json.dumps(raw))
    train(str(path), out)
    before = load_spikeclip(out)
    raw["model"]["steps"] = 2
    path.write_text(json.dumps(raw))
    given = ["--stage", "finetune", "--config", str(path), "--out", str(out)]
    assert cli.main(["train", "spikeclip", *given]) == 0
    after = load_spikeclip(out)
    assert before.model.config == replace(after.model.config, steps=1)
    assert after.chip is not None and after.chip.config.steps == 2
    history = json.loads((out / "history-finetune.json").read_text())
    assert len(history) == 6  # the start counts: two epochs of either stage
    # Published weights of the steps are learned, so there are none for another number.
    raw["model"] |= {"variant": "paper", "steps": 1}
    path.write_text(json.dumps(raw))
    train(str(path), tmp_path / "paper")
    raw["model"]["steps"] = 2
    path.write_text(json.dumps(raw))
    says = ["the paper's variant has weights for 1 steps"]
    given = ["--stage", "finetune", "--config", path, "--out", tmp_path / "paper"]
    refused(cli.main, "train", "spikeclip", *given, says=says)


@pytest.mark.usefixtures("few")
def test_the_ann_of_the_same_shape_trains_and_is_rounded_to_8_bits(
    config, tmp_path, refused, capsys
):
    from export.commands import main as export_cli

    raw = json.loads(Path(config).read_text())
    raw["model"] |= {"variant": "ann", "steps": 1}
    path, out = tmp_path / "ann.json", tmp_path / "ann"
    path.write_text(json.dumps(raw))
    says = ["spike_rate", "'ann'"]
    refused(cli.main, "train", "spikeclip", "--config", path, "--out", out, says=says)
    del raw["recipe"]["spike_rate"]
    path.write_text(json.dumps(raw))
    train(str(path), out)
    made = load_spikeclip(out)
    assert made.chip is None
    spiking = SpikeClip(replace(made.model.config, variant="deployable"))
    shapes = [{n: x.shape for n, x in m.named_parameters()} for m in (made.model, spiking)]
    assert shapes[0] == shapes[1]
    rounded = in_eight_bits(made.model)
    levels: list[int] = []
    for module in rounded.modules():
        if isinstance(module, torch.nn.ReLU):
            raise AssertionError("an activation is not rounded")
        if isinstance(module, torch.nn.Conv2d):
            assert max(len(row.unique()) for row in module.weight) <= 255
        if type(module).__name__ == "_RoundedReLU":
            module.register_forward_hook(
                lambda _, __, y: levels.append(max(len(image.unique()) for image in y))
            )
    sent = torch.randint(0, 16, (9, 1, 8, 8)).float()
    text = made.text(made.labels)
    scores = commands.class_scores(made, sent, made.labels)
    assert (scores["quantized"] == rounded.scores(sent, text).detach().numpy()).all()
    assert 0 < abs(scores["quantized"] - scores["float"]).max() < 0.05
    assert len(levels) >= 7 and 2 < max(levels) <= 256
    refused(export_cli.main, out, "--target", "emulator", "--out", tmp_path / "x", says=["ReLU"])
    refused(cli.main, "evaluate", out, "--steps", "2", says=["steps 2", "'ann'"])


@pytest.mark.parametrize("tuned", ["none", "probe", "full"])
@pytest.mark.usefixtures("few")
def test_a_teacher_says_of_a_view_what_it_says_of_such_an_image(tuned):
    settings = read_settings("digits")
    teacher = replace(settings.teacher, finetune=tuned, finetune_epochs=1)
    clip = teacher.load()
    dataset = commands.opened(
        Source("digits", None, False), settings.model, None, 0, settings.shares
    )
    model = SpikeClip(settings.model)
    train, validation = commands._pairs(
        replace(settings, teacher=teacher), clip, model, dataset, "test"
    )
    text = teacher_text(clip, [f"a {name}" for name in dataset.class_names])
    found = class_teacher(
        clip, teacher, SpikeRecipe(), dataset, train, validation, text, 20.0
    )  # fmt: skip
    seen = found.of_views(torch.from_numpy(dataset.images[dataset.train[:7]]).float())
    assert torch.allclose(seen, found.probabilities[:7], atol=1e-5)
    assert not torch.allclose(seen, found.probabilities[1:8], atol=1e-2)


@pytest.mark.usefixtures("few")
def test_a_teacher_that_sees_views_changes_the_second_step_alone(config, tmp_path, refused):
    raw = json.loads(Path(config).read_text())
    raw["recipe"] |= {"erase": 5}
    losses = []
    for sees in (False, True):
        raw["recipe"]["teacher_sees_views"] = sees
        path, out = tmp_path / f"{sees}.json", tmp_path / f"{sees}"
        path.write_text(json.dumps(raw))
        train(str(path), out)
        losses.append(
            [
                [h["loss"] for h in json.loads((out / f"history-{stage}.json").read_text())]
                for stage in ("align", "finetune")
            ]
        )
    assert losses[0][0] == losses[1][0] and losses[0][1] != losses[1][1]
    raw["model"] |= {"variant": "paper", "pixels": "clip"}
    path.write_text(json.dumps(raw))
    says = ["teacher_sees_views", "'clip'"]
    refused(cli.main, "train", "spikeclip", "--config", path, "--out", tmp_path / "clip", says=says)


@pytest.mark.parametrize("side", [1, 4, 5])
def test_a_square_of_every_image_is_erased(side):
    sent = torch.arange(1.0, 65).reshape(1, 1, 8, 8).repeat(4000, 3, 1, 1)
    torch.manual_seed(0)
    recipe = SpikeRecipe(erase=side)
    mirrors = Mirrors(recipe, len(sent), sent.device)
    made = augmented(recipe, sent, mirrors(torch.arange(len(sent))))
    gone = made == 0
    assert torch.equal(made[~gone], sent[~gone]) and torch.equal(gone[:, 0], gone[:, 2])
    gone = gone[:, 0]
    rows, columns = gone.any(2), gone.any(1)
    # A whole rectangle, of the square's size but where it leaves the image.
    assert torch.equal(gone, rows[:, :, None] & columns[:, None, :])
    for along in (rows, columns):
        count = along.sum(1)
        assert count.min() >= 1 and count.max() == side
        whole = along[count == side].int().diff(dim=1)
        assert (whole.abs().sum(1) <= 2).all()
    middle = gone.float().mean(0)[2:6, 2:6]
    # Its middle is anywhere alike.
    assert (middle - side**2 / 64).abs().max() < 0.05


def test_shifted_images_are_shifted_images():
    sent = torch.arange(16.0).reshape(1, 1, 4, 4).repeat(40, 1, 1, 1) + 1
    torch.manual_seed(0)
    recipe = SpikeRecipe(shift=1, flip=True)
    mirrors = Mirrors(recipe, 40, sent.device)
    every = torch.arange(40)
    made = augmented(replace(recipe, flip=False), sent, mirrors(every))
    padded = torch.nn.functional.pad(sent[:1, 0], (1, 1, 1, 1), "reflect")[0]
    windows = [padded[y : y + 4, x : x + 4] for y in range(3) for x in range(3)]
    found = {i for image in made[:, 0] for i, w in enumerate(windows) if torch.equal(w, image)}
    assert found == set(range(9)) and made.shape == sent.shape
    odd, even = [], []
    for epoch in (1, 2, 3, 4):
        mirrors.begins(epoch)
        flipped = augmented(replace(recipe, shift=0), sent, mirrors(every))
        (even, odd)[epoch % 2].append([bool((x == sent[0]).all()) for x in flipped])
    # Each image both ways in any two epochs.
    assert odd[0] == odd[1] == [not same for same in even[0]] and even[0] == even[1]
    assert 5 < sum(odd[0]) < 35


def test_the_fused_neuron_has_the_gradient_of_autograd():
    """v ← v + (x − v)/2 step by step through autograd, with the paper's sigmoid of slope 4."""
    torch.manual_seed(0)
    x = torch.randn(3, 5, 7).mul(2).requires_grad_()
    weight = torch.randn(3, 5, 7)
    fused = neurons(1.0)
    fused.whole_samples = True
    (fused(x) * weight).sum().backward()
    got, x.grad = x.grad, None
    v, total = torch.zeros(3, 7), 0.0
    for t in range(5):
        v = v + (x[:, t] - v) / 2
        slope = torch.sigmoid(4 * (v - 1))
        s = (v >= 1).float() + slope - slope.detach()
        v = v * (1 - s)
        total = total + (s * weight[:, t]).sum()
    total.backward()
    assert torch.allclose(got, x.grad, atol=1e-5)
