"""`neuroclip report`: the report of a run again, or two runs side by side."""

import argparse
import sys
from pathlib import Path
from typing import Any

from deploy.errors import BadInput

HELP = "a run's report again, or two runs side by side"
EXAMPLES = """\
neuroclip report demo
neuroclip report demo runs/lava --html both.html"""


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of the command."""
    parser.add_argument("run_folder", type=Path, metavar="RUN", help="output folder of a run")
    parser.add_argument("other", type=Path, nargs="?", metavar="RUN", help="another one, beside it")
    parser.add_argument(
        "--html",
        type=Path,
        metavar="FILE",
        help="two runs as a page as well (default: printed only)",
    )


def run(options: argparse.Namespace) -> int:
    """Print the report or the comparison; a page that is gone is written again."""
    from deploy.files import write_text
    from deploy.output import claim_page
    from deploy.report import compare, compare_html, rewrite, stages, summary
    from deploy.report.words.read import read_report

    report = read_report(options.run_folder / "report.json")
    if options.other is not None:
        other = read_report(options.other / "report.json")
        if options.html is not None:
            claim_page(options.html)
            causes = stages(options.run_folder, options.other)
            write_text(options.html, compare_html(report, other, causes))
        print(compare(_as_it_lies(options.run_folder, report), _as_it_lies(options.other, other)))
        _say_changed(options.run_folder, report)
        _say_changed(options.other, other)
        return 0
    if options.html is not None:
        raise BadInput(
            f"--html {options.html}: of one run the page is {options.run_folder}/report.html"
        )
    folder, page = options.run_folder, options.run_folder / "report.html"
    if not page.exists():
        rewrite(page, report)
    print(summary(report, page))
    _say_changed(folder, report)
    return 0 if report["ok"] else 1


def _as_it_lies(folder: Path, report: dict[str, Any]) -> dict[str, Any]:
    """The report of a run with the hashes of its files as they are now, where it kept any."""
    from deploy.run.evidence import evidence

    now = evidence(folder) if "evidence" in report else {}
    return {**report, "evidence": now} if now.get("files") else report


def _say_changed(folder: Path, report: dict[str, Any]) -> None:
    """Warn of a run's files that are no longer those it wrote: the report is not about them."""
    from deploy.run.evidence import changed

    for line in changed(folder, report):
        print(f"neuroclip report: warning: {folder}: {line}", file=sys.stderr)
