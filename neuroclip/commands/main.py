"""The command `neuroclip`: the table of its subcommands, and how one of them is started."""

import argparse
import re
import sys
from collections.abc import Sequence
from functools import cache
from importlib import import_module
from typing import Any, Protocol

from deploy.command import CommandParser, add_common, add_completion, add_version, run_command


class Command(Protocol):
    """What the file of a subcommand holds: a line of help, examples, its options, and how it runs."""

    HELP: str
    EXAMPLES: str

    def add_options(self, parser: argparse.ArgumentParser) -> None:
        """Add its options, and no others."""

    def run(self, options: argparse.Namespace) -> int:
        """Run it; returns the exit status."""


COMMANDS = {
    "zero-shot": "zero_shot",
    "train": "train.adapter",
    "train adapter": "train.adapter",
    "train clip": "train.clip",
    "train spikeclip": "train.spikeclip",
    "train network": "train.network",
    "evaluate": "evaluate",
    "unseen": "unseen",
    "table": "table",
    "sweep": "sweep",
    "watch": "watch",
    "models": "models",
    "inspect": "inspect",
    "diff": "diff",
    "verify": "verify",
    "report": "report",
}
"""{words: module in this folder}: of one word or two, the longest that fits counts. Only the module of
the command that is asked for is imported."""

# Each command once, by its longest name.
_NAMES = list({module: name for name, module in COMMANDS.items()}.values())


@cache
def command_of(name: str) -> Command:
    """The file of a subcommand."""
    module: Any = import_module(f"neuroclip.commands.{COMMANDS[name]}")
    return module


class Parser(CommandParser):
    """A parser whose help shows defaults and keeps examples as they are."""

    def __init__(self, prog: str, description: str, epilog: str) -> None:
        super().__init__(
            prog=prog,
            description=description,
            epilog=epilog,
            formatter_class=_Help,
            allow_abbrev=False,
        )

    def has(self, word: str) -> bool:
        """Whether a word of a command line is one of its options."""
        return word.split("=", 1)[0] in self._option_string_actions


class _Help(argparse.ArgumentDefaultsHelpFormatter, argparse.RawDescriptionHelpFormatter):
    def _get_help_string(self, action: argparse.Action) -> str | None:
        # What has no default, or whose help says it, is left as it is.
        shown = action.help or ""
        if action.nargs == 0 or action.default is None or "default" in shown:
            return shown
        return super()._get_help_string(action)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one subcommand; returns the exit status (0, 1 for a check that failed, 2 for bad input)."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    return run_command("neuroclip", lambda: _run(given))


def _run(given: Sequence[str]) -> int:
    name = next((n for n in (" ".join(given[:2]), *given[:1]) if n in COMMANDS), None)
    if name is None:
        _usage().parse_args(given)
        raise AssertionError("the usage ends every command line without a subcommand")
    parser, own = parser_of(name), given[len(name.split()) :]
    _refuse_foreign(parser, own)
    return command_of(name).run(parser.parse_args(own))


@cache
def parser_of(name: str) -> Parser:
    """The parser of a subcommand, with its own options only."""
    command = command_of(name)
    parser = Parser(f"neuroclip {name}", command.HELP, f"examples:\n{_indented(command.EXAMPLES)}")
    command.add_options(parser)
    add_common(parser)
    return parser


def _refuse_foreign(parser: Parser, words: Sequence[str]) -> None:
    """End where an option is not the subcommand's, before what it lacks is asked for."""
    before_names = words[: words.index("--")] if "--" in words else words
    for word in before_names:
        if word.startswith("--") and " " not in word.split("=", 1)[0] and not parser.has(word):
            owners = [name for name in _NAMES if parser_of(name).has(word)]
            hint = f", but of {', '.join(owners)}" if owners else ""
            parser.error(f"{word.split('=', 1)[0]} is not an option of it{hint}")


def _usage() -> Parser:
    """The parser of a command line that names no subcommand: it shows which there are."""
    lines = [f"  {name:16} {command_of(name).HELP}" for name in _NAMES]
    whole = {name: re.sub(r" *\\\n *", " ", command_of(name).EXAMPLES) for name in _NAMES}
    first = "\n".join(examples.splitlines()[0] for examples in whole.values())
    parser = Parser(
        "neuroclip",
        "Train NeuroCLIP's spiking adapter, and look at what runs on the chip.\n\ncommands:\n"
        + "\n".join(lines),
        f"examples:\n{_indented(first)}\n\n`neuroclip COMMAND --help` lists the options of a command.",
    )
    add_version(parser)
    add_completion(parser, _whole)
    parser.add_argument("command", metavar="COMMAND", choices=[n for n in COMMANDS if " " not in n])
    return parser


def _whole() -> argparse.ArgumentParser:
    """Every subcommand in one parser, as what completes command lines asks for it."""
    whole = CommandParser("neuroclip")
    add_version(whole)
    made: dict[str, argparse.ArgumentParser] = {}
    groups: dict[str, Any] = {"": whole.add_subparsers()}
    for name in COMMANDS:
        parent, _, own = name.rpartition(" ")
        if parent not in groups:  # `train` has options of its own beside its subcommands
            groups[parent] = made[parent].add_subparsers()
        made[name] = groups[parent].add_parser(own, help=command_of(name).HELP)
        command_of(name).add_options(made[name])
        add_common(made[name])
    return whole


def _indented(examples: str) -> str:
    return "\n".join(f"  {line}" for line in examples.splitlines())


if __name__ == "__main__":
    sys.exit(main())
