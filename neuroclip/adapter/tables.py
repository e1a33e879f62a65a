"""Few-shot tables over seeds: cells computed one by one, kept on disk, put together and drawn."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from msgspec import Struct
from numpy.typing import NDArray

from deploy.decode import converted
from deploy.errors import BadInput
from deploy.files import read_json, write_json
from deploy.progress import track
from neuroclip.adapter.methods import (
    AFTER,
    ANN,
    ANN_8,
    CHIP,
    FLOAT,
    LONG,
    METHODS,
    PAPER_CHIP,
    PAPER_FLOAT,
    Task,
    accuracies,
    chip_accuracy,
    unseen_accuracies,
)
from neuroclip.adapter.model import AdapterConfig
from neuroclip.adapter.train import Examples, Recipe
from neuroclip.clip.features import dataset_features
from neuroclip.clip.model import Clip, encode_text
from neuroclip.clip.variants import variant_features
from neuroclip.compute.processes import in_processes
from neuroclip.data.events.dataset import EventDataset, drawn_shots
from neuroclip.data.events.frames import FrameOptions
from neuroclip.results.statistics import paired_difference

# What a reader asks of the table first: a − b, in points.
DIFFERENCES = (
    (CHIP, ANN_8),
    (CHIP, ANN),
    (FLOAT, ANN),
    (ANN_8, ANN),
    (CHIP, LONG),
    (CHIP, FLOAT),
    (LONG, ANN),
    (AFTER, FLOAT),
    (FLOAT, PAPER_FLOAT),
    (CHIP, PAPER_CHIP),
)


@dataclass(frozen=True)
class Cell:
    """One training of everything: so many shots, drawn by a seed; the folded cut and its recipe.

    seen: how many classes are trained on, or None for all. only_chip: no method but the folded cut
    on the chip.
    """

    shots: int
    seed: int
    config: AdapterConfig
    recipe: Recipe
    seen: int | None = None
    only_chip: bool = False

    @property
    def name(self) -> str:
        """A file name of its own."""
        rate = "" if self.recipe.spike_rate is None else f"-rate-{self.recipe.spike_rate:g}"
        seen = "" if self.seen is None else f"-seen-{self.seen}"
        bits = f"-bits-{self.config.message_exponent}"
        return f"shots-{self.shots}-seed-{self.seed}{bits}{rate}{seen}.json"


class _Result(Struct):
    correct: dict[str, list[bool]]
    operations: dict[str, float]


class _Unseen(Struct):
    seen: list[int]
    accuracy: dict[str, dict[str, float]]


def task_of(
    clip: Clip,
    dataset: EventDataset,
    frames: FrameOptions,
    shots: int,
    variants: int,
    seed: int,
) -> Task:
    """The features of one split, with the shots drawn by its seed; computed once and kept on disk."""
    text = torch.from_numpy(encode_text(clip, dataset.class_names, dataset.card.template))
    features = dataset_features(clip, dataset, np.arange(len(dataset)), frames, raw=True)
    chosen, drawn = drawn_shots(dataset, shots, seed)
    train = variant_features(clip, dataset, chosen, frames, variants, seed)
    validation, test = (
        Examples.of(features[part], dataset.labels[part])
        for part in (dataset.validation, dataset.test)
    )
    examples = Examples.of(train, dataset.labels[chosen])
    return Task(examples, validation, test, text, torch.from_numpy(drawn))


def computed(
    cells: Sequence[Cell], tasks: Mapping[int, Task], folder: Path, jobs: int, resume: bool
) -> list[dict[str, Any]]:
    """The results of all cells, each kept in `folder` as it is done; with `resume` none is repeated.

    tasks: by seed, with the most shots. jobs: processes; the results do not depend on them.
    """
    marks = {seed: _mark(task) for seed, task in tasks.items()}
    found: dict[str, dict[str, Any]] = {}
    waiting = []
    for cell in cells:
        path, identity = folder / cell.name, _identity(cell, marks[cell.seed])
        if resume and path.exists():
            kept = read_json(path)
            if not isinstance(kept, dict) or kept.get("identity") != identity:
                raise BadInput(f"{path}: of another table; remove it or leave --resume out")
            found[cell.name] = _kept(path, cell, kept.get("result"))
        else:
            waiting.append((cell, identity))
    work = ((cell, tasks[cell.seed].with_shots(cell.shots), identity) for cell, identity in waiting)
    done = in_processes(_compute, work, jobs)
    for name, identity, result in track(done, total=len(waiting), desc="cells"):
        write_json(folder / name, {"identity": identity, "result": result})
        found[name] = result
    return [found[cell.name] for cell in cells]


def _kept(path: Path, cell: Cell, result: Any) -> dict[str, Any]:
    """What a kept cell holds, as `_compute` made it. Raises BadInput naming the file and the key."""
    kind = _Unseen if cell.seen is not None else _Result
    try:
        converted(result, kind, "result")
        wanted = () if cell.seen is not None else (CHIP,) if cell.only_chip else METHODS
        for method in wanted:
            if method not in result["correct"]:
                raise BadInput(f"key 'result.correct' has no '{method}'")
    except BadInput as error:
        raise BadInput(f"{path}: {error}") from error
    return dict(result)


def _compute(asked: tuple[Cell, Task, str]) -> tuple[str, str, dict[str, Any]]:
    cell, task, identity = asked
    torch.set_num_threads(1)
    if cell.only_chip:
        return cell.name, identity, chip_accuracy(task, cell.config, cell.recipe)
    if cell.seen is None:
        return cell.name, identity, accuracies(task, cell.config, cell.recipe)
    random = np.random.default_rng(cell.seed)
    seen = np.sort(random.permutation(len(task.text))[: cell.seen])
    result = unseen_accuracies(task, cell.config, cell.recipe, seen)
    return cell.name, identity, {"seen": seen.tolist(), "accuracy": result}


def _mark(task: Task) -> str:
    digest = hashlib.sha256(task.text.numpy().tobytes())
    for part in (task.train, task.validation, task.test):
        digest.update(part.features.numpy().tobytes() + part.labels.numpy().tobytes())
    return digest.hexdigest()


def _identity(cell: Cell, mark: str) -> str:
    return hashlib.sha256(json.dumps([asdict(cell), mark, METHODS]).encode()).hexdigest()


def accuracy_table(cells: Sequence[Cell], results: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Accuracy by method and number of shots, per seed, and the paired differences over seeds.

    In percent: {"shots", "seeds", "accuracy": {method: {shots: [per seed]}}, "operations": {method:
    {shots: mean}}, "differences": [{a, b, shots, mean, low, high}], "correct": {method: {shots: [per
    seed]}}}, the last which recordings were classified rightly: a bit each, the first highest, as
    hexadecimal digits.
    """
    shots = sorted({cell.shots for cell in cells})
    seeds = sorted({cell.seed for cell in cells})
    by = {(c.shots, c.seed): r for c, r in zip(cells, results, strict=True)}
    correct = {
        m: {str(k): np.array([by[k, s]["correct"][m] for s in seeds], bool) for k in shots}
        for m in METHODS
    }
    differences = []
    for a, b in DIFFERENCES:
        for k in shots:
            mean, low, high = paired_difference(correct[a][str(k)], correct[b][str(k)])
            differences.append({"a": a, "b": b, "shots": k, "mean": mean, "low": low, "high": high})
    return {
        "shots": shots,
        "seeds": seeds,
        "test_recordings": len(results[0]["correct"][FLOAT]),
        "accuracy": {
            m: {k: (100 * found.mean(axis=1)).tolist() for k, found in by_shots.items()}
            for m, by_shots in correct.items()
        },
        "operations": {
            m: {str(k): float(np.mean([by[k, s]["operations"][m] for s in seeds])) for k in shots}
            for m in (PAPER_CHIP, CHIP)
        },
        "differences": differences,
        "correct": {
            m: {k: [_hex(right) for right in found] for k, found in by_shots.items()}
            for m, by_shots in correct.items()
        },
    }


def accuracy_text(table: Mapping[str, Any]) -> str:
    """The table for a terminal."""
    shots = [str(k) for k in table["shots"]]
    lines = [
        f"accuracy on {table['test_recordings']} test recordings in %, mean ± deviation over "
        f"{len(table['seeds'])} seeds",
        f"{'shots per class':36}" + "".join(f"{k:>14}" for k in shots),
    ]
    for method, values in table["accuracy"].items():
        lines.append(f"{method:36}" + "".join(f"{_spread(values[k]):>14}" for k in shots))
    for method, values in table["operations"].items():
        title = f"  operations: {method}"
        lines.append(f"{title:36}" + "".join(f"{values[k]:>14,.0f}" for k in shots))
    lines += [
        "",
        "paired differences in points, 95 % interval by bootstrap over seeds × recordings",
    ]
    for entry in table["differences"]:
        lines.append(
            f"{entry['shots']:>3} shots  {entry['mean']:+6.2f} [{entry['low']:+.2f}, "
            f"{entry['high']:+.2f}]  {entry['a']} − {entry['b']}"
        )
    return "\n".join(lines)


def accuracy_markdown(table: Mapping[str, Any]) -> str:
    """The same for a page: accuracies of all methods, then every difference."""
    shots = [str(k) for k in table["shots"]]

    def rows(head: str, cells: Mapping[str, Sequence[str]]) -> list[str]:
        lines = [[head, *shots], ["---"] * (1 + len(shots)), *([n, *c] for n, c in cells.items())]
        return [f"| {' | '.join(line)} |" for line in lines]

    accuracies = {m: [_spread(of[k]) for k in shots] for m, of in table["accuracy"].items()}
    differences: dict[str, list[str]] = {}
    for d in table["differences"]:
        told = f"{d['mean']:+.1f} [{d['low']:+.1f}, {d['high']:+.1f}]"
        differences.setdefault(f"{d['a']} − {d['b']}", []).append(told)
    first, second = (
        rows("accuracy in %, by shots per class", accuracies),
        rows("difference in points", differences),
    )
    return "\n".join([*first, "", *second])


def _hex(right: NDArray[np.bool_]) -> str:
    return np.packbits(right).tobytes().hex()


def unseen_table(cells: Sequence[Cell], results: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """{method: {"seen", "unseen", "all": [accuracy in percent per seed]}} and the classes seen."""
    methods = list(results[0]["accuracy"])
    return {
        "shots": cells[0].shots,
        "seeds": [cell.seed for cell in cells],
        "seen": [result["seen"] for result in results],
        "accuracy": {
            m: {
                part: [100 * result["accuracy"][m][part] for result in results]
                for part in ("seen", "unseen", "all")
            }
            for m in methods
        },
    }


def unseen_text(table: Mapping[str, Any]) -> str:
    """The table for a terminal."""
    count = len(table["seen"][0])
    lines = [
        f"trained on {count} classes, {table['shots']} shots; accuracy in %, mean ± deviation over "
        f"{len(table['seeds'])} seeds",
        f"{'':36}{'seen classes':>16}{'unseen classes':>16}{'all classes':>16}",
    ]
    for method, values in table["accuracy"].items():
        cells = "".join(f"{_spread(values[part]):>16}" for part in ("seen", "unseen", "all"))
        lines.append(f"{method:36}{cells}")
    return "\n".join(lines)


def _spread(values: Sequence[float]) -> str:
    deviation = float(np.std(values, ddof=1)) if len(values) > 1 else 0.0
    return f"{np.mean(values):.1f} ± {deviation:.1f}"
