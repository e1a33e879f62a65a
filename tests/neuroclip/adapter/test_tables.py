"""Few-shot tables: whole on a made-up task, resumed, drawn, and counted as the chip's report counts."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("sklearn")
pytest.importorskip("snntorch")

from torch.nn import functional

from deploy.errors import BadInput
from neuroclip.adapter import tables, train
from neuroclip.adapter.eight_bits import in_eight_bits
from neuroclip.adapter.methods import (
    ANN,
    ANN_8,
    CHIP,
    FLOAT,
    METHODS,
    PAPER_CHIP,
    ZERO_SHOT,
    Task,
    synaptic_operations,
)
from neuroclip.adapter.model import AdapterConfig, AnnAdapter
from neuroclip.adapter.tables import (
    Cell,
    accuracy_table,
    accuracy_text,
    computed,
    unseen_table,
)
from neuroclip.adapter.train import Examples, Recipe, train_adapter, train_anns
from neuroclip.data.events.catalogue import few_shot, open_dataset
from neuroclip.data.events.dataset import drawn_shots
from neuroclip.results.plots import plot_accuracy, plot_operations
from neuroclip.results.statistics import paired_difference

CLASSES, WIDTH, STEPS = 5, 16, 4
CONFIG = AdapterConfig(features=WIDTH, hidden=12, steps=STEPS)
RECIPE = Recipe(epochs=12, quantized_epochs=5, temperature=15.0)


def examples(per_class: int, seed: int, variants: int = 0) -> Examples:
    centres = torch.randn(CLASSES, WIDTH, generator=torch.Generator().manual_seed(99))
    generator = torch.Generator().manual_seed(seed)
    labels = torch.arange(CLASSES).repeat_interleave(per_class)
    shape = (len(labels), 1 + variants, STEPS, WIDTH)
    features = centres[labels][:, None, None] + 0.8 * torch.randn(shape, generator=generator)
    return Examples(functional.normalize(features, dim=-1), labels)


@pytest.fixture(scope="module")
def task() -> Task:
    text = torch.randn(CLASSES, WIDTH, generator=torch.Generator().manual_seed(7))
    return Task(
        examples(8, 0, variants=2),
        examples(4, 1),
        examples(20, 2),
        functional.normalize(text, dim=-1),
        torch.randperm(8).repeat(CLASSES),
    )


@pytest.fixture(scope="module")
def cells() -> list[Cell]:
    return [Cell(k, seed, CONFIG, replace(RECIPE, seed=seed)) for k in (2, 8) for seed in (0, 1)]


@pytest.fixture(scope="module")
def results(cells: list[Cell], task: Task, tmp_path_factory: pytest.TempPathFactory) -> list[dict]:
    folder = tmp_path_factory.mktemp("cells")
    found = computed(cells, {0: task, 1: task}, folder, jobs=1, resume=False)
    assert sorted(p.name for p in folder.iterdir()) == sorted(c.name for c in cells)
    return found


def test_a_table_holds_every_method_and_what_it_costs(cells, results, tmp_path: Path) -> None:
    table = accuracy_table(cells, results)
    assert set(table["accuracy"]) == set(METHODS) and table["shots"] == [2, 8]
    assert all(len(v) == 2 for by in table["accuracy"].values() for v in by.values())
    assert np.mean(table["accuracy"][FLOAT]["8"]) > np.mean(table["accuracy"][ZERO_SHOT]["8"]) + 10
    assert table["operations"][CHIP]["8"] > table["operations"][PAPER_CHIP]["8"] > 0
    entry = next(
        d for d in table["differences"] if (d["a"], d["shots"]) == (CHIP, 8) and d["b"] == ANN
    )
    accuracy = table["accuracy"]
    assert entry["mean"] == pytest.approx(
        np.mean(np.subtract(accuracy[CHIP]["8"], accuracy[ANN]["8"]))
    )
    right = np.array(
        [
            found["correct"][CHIP]
            for cell, found in zip(cells, results, strict=True)
            if cell.shots == 8
        ]
    )
    other = np.array(
        [
            found["correct"][ANN]
            for cell, found in zip(cells, results, strict=True)
            if cell.shots == 8
        ]
    )
    assert (entry["mean"], entry["low"], entry["high"]) == paired_difference(right, other)
    # What is shipped is enough to make every figure of the table again.
    kept = [np.unpackbits(np.frombuffer(bytes.fromhex(h), np.uint8))[:100]
            for h in table["correct"][CHIP]["8"]]  # fmt: skip
    assert np.array_equal(kept, right)
    text = accuracy_text(table)
    assert all(method in text for method in METHODS) and "paired differences" in text
    pytest.importorskip("matplotlib")
    plot_accuracy(table, tmp_path / "a.svg")
    plot_accuracy(table, tmp_path / "b.svg")
    assert (tmp_path / "a.svg").read_bytes() == (tmp_path / "b.svg").read_bytes()
    assert b"<svg" in (tmp_path / "a.svg").read_bytes()


def test_a_killed_table_goes_on(cells, results, task: Task, tmp_path: Path, monkeypatch) -> None:
    """Two of four cells are there: the others are computed, and all is as in one run."""
    folder = tmp_path / "cells"
    computed(cells[:2], {0: task, 1: task}, folder, jobs=1, resume=False)
    done = []
    real = tables._compute
    monkeypatch.setattr(tables, "_compute", lambda asked: done.append(asked[0].name) or real(asked))
    again = computed(cells, {0: task, 1: task}, folder, jobs=1, resume=True)
    assert done == [cell.name for cell in cells[2:]]
    assert again == results
    other = [replace(cell, recipe=replace(cell.recipe, batch=16)) for cell in cells]
    with pytest.raises(BadInput, match="of another table"):
        computed(other, {0: task, 1: task}, folder, jobs=1, resume=True)


@pytest.mark.long
def test_processes_change_nothing(cells, results, task: Task, tmp_path: Path) -> None:
    assert computed(cells[:2], {0: task, 1: task}, tmp_path, jobs=2, resume=False) == results[:2]


def test_fewer_shots_are_what_the_same_seed_draws(recordings_folder: Path) -> None:
    """Not the first files: every number of shots is the very draw of `few_shot`, and of `train`."""
    dataset = open_dataset(recordings_folder)
    for seed in range(4):
        chosen, drawn = drawn_shots(dataset, 6, seed)
        labels = torch.from_numpy(dataset.labels[chosen])
        own = Examples(torch.from_numpy(chosen).float().reshape(-1, 1, 1, 1), labels)
        whole = Task(own, own, own, torch.eye(len(dataset.class_names)), torch.from_numpy(drawn))
        for shots in (1, 2, 5, 6):
            few = whole.with_shots(shots)
            expected = few_shot(dataset, shots, seed)
            assert few.train.features.flatten().tolist() == expected.tolist()
            assert (
                few.with_shots(1).train.features.flatten().tolist()
                == few_shot(dataset, 1, seed).tolist()
            )


def test_unseen_classes_are_never_trained_on(task: Task, tmp_path: Path) -> None:
    cells = [Cell(8, seed, CONFIG, replace(RECIPE, seed=seed), seen=3) for seed in (0, 1)]
    found = computed(cells, {0: task, 1: task}, tmp_path, jobs=1, resume=False)
    table = unseen_table(cells, found)
    assert all(len(seen) == 3 for seen in table["seen"])
    assert set(table["accuracy"]) == {ZERO_SHOT, ANN, ANN_8, FLOAT, CHIP}
    chip = table["accuracy"][CHIP]
    assert np.mean(chip["seen"]) > np.mean(table["accuracy"][ZERO_SHOT]["seen"])
    assert all(0 <= x <= 100 for part in chip.values() for x in part)
    known = task.of_classes(np.array([1, 4]))
    assert known.train.labels.bincount().tolist() == [8, 8] and len(known.text) == 2
    assert torch.equal(known.train.features[8:], task.train.features[32:])


def test_a_rate_target_is_kept_and_its_operations_are_the_chips(task: Task, tmp_path: Path) -> None:
    """Training with a target fires less; the count is that of the program the chip would run."""
    free = train_adapter(CONFIG, RECIPE, task.train, task.validation, task.text)
    quiet = train_adapter(
        CONFIG, replace(RECIPE, spike_rate=0.02, spike_penalty=1.0, epochs=30),
        task.train, task.validation, task.text,
    )  # fmt: skip
    rates, counted = [], []
    for trained in (free, quiet):
        chip = trained.chip_adapter
        with torch.no_grad():
            chip.scores(task.test.features[:, 0])
        rates.append(float(chip.spike_rate))
        counted.append(synaptic_operations(chip, task.test.features[:, 0]))
    assert rates[1] < rates[0] / 1.5
    assert counted[1] < counted[0]
    pytest.importorskip("nir")
    from deploy.count.operations import count
    from deploy.emulate.reference import emulate
    from export.lowering.exact import lower
    from export.nir_format.write.module import to_nir

    chip = free.chip_adapter
    messages = chip.encode(task.test.features[:, 0]).numpy().astype(np.int32)
    program = lower(to_nir(chip.network), input_ranges={"input": (-15, 15)})
    trace = emulate(program, {"input": messages}, record="none")
    counts = count(program, trace.messages, len(messages), STEPS, None)
    assert counted[0] == pytest.approx(sum(counts.synaptic_ops.values()) / len(messages), rel=1e-12)


def test_intervals_are_over_seeds_and_over_the_recordings_that_they_share() -> None:
    random = np.random.default_rng(3)
    one = random.random((1, 400)) < 0.8
    other = random.random((1, 400)) < 0.7
    difference = one.astype(float) - other
    width = 2 * 1.96 * 100 * difference.std() / 20
    # Five seeds that all say the same of the same recordings tell no more than one.
    mean, low, high = paired_difference(np.repeat(one, 5, 0), np.repeat(other, 5, 0))
    assert mean == pytest.approx(100 * difference.mean()) and low < mean < high
    assert high - low == pytest.approx(width, rel=0.1)
    # Seeds alone differ: the recordings add nothing, however many there are.
    seeds = np.array([0, 0, 1, 1], bool)[:, None].repeat(400, 1)
    mean, low, high = paired_difference(seeds, np.zeros_like(seeds))
    assert (mean, low, high) == (50, 0, 100)
    # Both: neither source of chance is left out.
    found = paired_difference(random.random((5, 400)) < 0.8, random.random((5, 400)) < 0.7)
    assert found[2] - found[1] > width / 5**0.5
    assert paired_difference(one, one) == (0, 0, 0)
    assert paired_difference(one, other) == pytest.approx(
        paired_difference(np.repeat(one, 5, 0), np.repeat(other, 5, 0)), rel=0.1, abs=0.2
    )


def test_the_ann_in_8_bits_has_what_the_chip_has(task: Task, monkeypatch) -> None:
    """The same stages, epochs, rates and batches; and no number that 8 bits do not hold."""
    stages: list[tuple] = []
    real = train.fit

    def noted(stage, *arguments):
        stages.append(
            (stage.name, stage.epochs, stage.learning_rate, stage.weight_decay, stage.batch)
        )
        return real(stage, *arguments)

    monkeypatch.setattr(train, "fit", noted)
    data = CONFIG, RECIPE, task.train, task.validation, task.text
    train_adapter(*data)
    of_chip = stages.copy()
    stages.clear()
    ann, int8 = train_anns(*data)
    # One first stage, then its second in floating point, and in 8 bits.
    assert [stages[0], stages[1]] == [stages[0], stages[2]] == of_chip
    features = task.test.features[:, 0]
    with torch.no_grad():
        levels = int8.hidden(features) / int8.hidden_unit
        assert torch.allclose(levels, levels.round(), atol=1e-3)
        assert levels.min() >= 0 and levels.max() <= 255.001
        weight = int8.text @ int8.up
        rounded = int8.scores_from_hidden(torch.eye(12)[:, None], 0 * features[:12]) / CONFIG.blend
        steps = rounded.T / (weight.abs().amax(dim=1, keepdim=True) / 127)
        assert torch.allclose(steps, steps.round(), atol=1e-3) and steps.abs().max() <= 127.01
        fresh = in_eight_bits(ann, task.train.features.flatten(0, 1))
        assert (fresh.scores(features) - ann.scores(features)).abs().max() < 0.02
    first = in_eight_bits(
        train.trained_stage(AnnAdapter(CONFIG, task.text), "float", *data), features
    )
    assert not torch.equal(first.down, int8.down)


def test_a_sweep_is_drawn(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    points = [
        {"spike_rate": rate, "message_exponent": e, "accuracy": 80.0 + e, "deviation": 1.0,
         "operations": 1000.0 * (e + 2) - (0 if rate is None else 100)}
        for e in (1, 0)
        for rate in (None, 0.05)
    ]  # fmt: skip
    plot_operations(points, tmp_path / "sweep.svg")
    assert "synaptic operations" in (tmp_path / "sweep.svg").read_text()


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--shots", "0"], "--shots 0: at least one"),
        (["--shots", "1,2", "--unseen", "3"], "--unseen 3: it takes one number of --shots"),
        (["--seeds", "0"], "--seeds 0: at least one"),
        (["--jobs", "0"], "--jobs 0: at least one"),
    ],
)
def test_the_command_refuses_by_name(arguments, says, tmp_path: Path, capsys) -> None:
    from neuroclip.commands.main import main

    assert main(["table", "--out", str(tmp_path / "out"), *arguments]) == 2
    error = capsys.readouterr().err
    assert says in error and error.count("\n") == 1
    assert not (tmp_path / "out").exists()
