"""Reads damaged checkpoints, settings and reports, as `tests/deploy/damage_worker.py` reads programs."""

import runpy
import shutil
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from deploy.report import compare, summary
from deploy.report.words.read import read_report

ROOT = Path(__file__).parents[2]
shared = runpy.run_path(str(ROOT / "tests" / "deploy" / "damage_worker.py"))
Case = tuple[str, Callable[[str], None]]


def of_checkpoint(folder: Path, name: str, load: Callable[[Path], object]) -> Case:
    """The configuration of a bundled model, beside its weights."""
    shutil.copytree(ROOT / "neuroclip" / "models" / name, folder / name)
    path = folder / name / "config.json"
    case: Case = shared["of_json"](path, path.read_text(), lambda path: load(path.parent))
    return case


def of_adapter(folder: Path) -> Case:
    from neuroclip.adapter.checkpoint import load_checkpoint

    return of_checkpoint(folder, "neuroclip-digits", load_checkpoint)


def of_spikeclip(folder: Path) -> Case:
    from neuroclip.spikeclip.checkpoint import load_spikeclip

    return of_checkpoint(folder, "spikeclip-digits", load_spikeclip)


def of_clip(folder: Path) -> Case:
    from neuroclip.clip.model import ClipSpec, load_clip

    return of_checkpoint(folder, "digits-clip", lambda path: load_clip(ClipSpec(str(path))))


def of_settings(folder: Path) -> Case:
    from neuroclip.spikeclip.config_files import CONFIGS
    from neuroclip.spikeclip.training.settings import read_settings

    text = (CONFIGS / "cifar10-cpu.json").read_text()
    case: Case = shared["of_json"](
        folder / "mine.json", text, lambda path: read_settings(str(path))
    )
    return case


def of_report(folder: Path) -> Case:
    text = (ROOT / "tests" / "deploy" / "report" / "report_synthetic.json").read_text()

    def shown(path: Path) -> None:
        report = read_report(path)
        print(len(summary(report, path)) + len(compare(report, report)), file=sys.stderr)

    case: Case = shared["of_json"](folder / "report.json", text, shown)
    return case


# By what must be imported first, which takes longer than the rest.
KINDS = {
    "report": [of_report],
    "checkpoints": [of_adapter, of_clip, of_adapter, of_settings, of_clip, of_spikeclip],
}

if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as place:
        first, count = int(sys.argv[2]), int(sys.argv[3])
        cases = []
        for number, case in enumerate(KINDS[sys.argv[1]]):
            folder = Path(place) / str(number)
            folder.mkdir()
            cases.append(case(folder))
        shared["check"](cases, range(first, first + count))
