"""`neuroclip verify`: a run checked again from its own files."""

import argparse
from pathlib import Path

from deploy.command import add_workers

HELP = "check a run again from its files: hashes, replay, mapping, counts"
EXAMPLES = """\
neuroclip verify demo
neuroclip verify runs/nmnist"""

_WORDS = {True: "holds", False: "DOES NOT HOLD", None: "not checked"}


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of the command."""
    parser.add_argument("run_folder", type=Path, metavar="RUN", help="output folder of a run")
    add_workers(parser)


def run(options: argparse.Namespace) -> int:
    """Print each claim and whether it holds; the status is 1 where one does not."""
    from deploy.jobs import cluster
    from deploy.report.words.figures import plain
    from deploy.report.words.read import at, read_report
    from deploy.report.words.verdict import verdict
    from deploy.run.verify import verify

    folder = options.run_folder
    report = read_report(folder / "report.json")
    with cluster(options.workers) as threads:
        checked = verify(folder, report, threads)
    print(f"identity  {plain(at(report, 'evidence', 'identity') or 'not recorded')}")
    print(f"verdict   {verdict(report).word}")
    for each in checked:
        print(f"{each.claim:<9} {_WORDS[each.holds]}: {plain(each.found)}")
    return 1 if any(each.holds is False for each in checked) else 0
