"""Every subcommand has its own options, says so, refuses all others, and is quick to answer."""

import re
import shlex
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path

import pytest

from neuroclip.commands.main import COMMANDS, main, parser_of

ROOT = Path(__file__).parents[3]
NAMES = list(COMMANDS)


def own_options(name: str) -> set[str]:
    """The long options in the help of a subcommand, as a person reads them."""
    listing = parser_of(name).format_help().split("examples:")[0]
    return set(re.findall(r"^  (?:-h, )?(--[a-z-]+)", listing, re.MULTILINE))


ALL_OPTIONS = {option for name in NAMES for option in own_options(name)}


def words(line: str) -> list[str]:
    """The arguments of a command line that is written down, without comments and shell variables."""
    line = re.sub(r"\$\(.*?\)", "x", line.replace("$stage", "align").replace("…", "x"))
    return shlex.split(line.rsplit("|", 1)[-1], comments=True)[1:]  # what is piped in is another's


def parsed(arguments: list[str]) -> None:
    """Read a command line and run nothing."""
    name = next(n for n in (" ".join(arguments[:2]), arguments[0]) if n in COMMANDS)
    own = arguments[len(name.split()) :]
    assert {word for word in own if word.startswith("--")} <= own_options(name)
    parser_of(name).parse_args(own)


@pytest.mark.parametrize("name", NAMES)
def test_an_option_of_another_subcommand_is_refused(
    name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    foreign = ALL_OPTIONS - own_options(name)
    assert len(foreign) > 5
    for option in sorted(foreign):
        for given in (
            [option, "1"],
            [option],
            [f"{option}=1"],
            ["a", "b", option, "1", "--out", "o"],
        ):
            with pytest.raises(SystemExit) as end:
                main([*name.split(), *given])
            told = capsys.readouterr()
            assert end.value.code == 2 and told.out == ""
            assert told.err.count("\n") == 1 and f"{option} is not an option" in told.err, told.err
            assert f"neuroclip {name}: " in told.err


@pytest.mark.parametrize("name", NAMES)
def test_the_beginning_of_an_option_is_not_the_option(
    name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    for option in own_options(name) - {"--a", "--b"}:
        with pytest.raises(SystemExit) as end:
            main([*name.split(), option[:-1], "1"])
        assert end.value.code == 2 and f"{option[:-1]} is not" in capsys.readouterr().err


@pytest.mark.parametrize("name", NAMES)
def test_help_has_defaults_and_examples_that_can_be_run(name: str) -> None:
    parser = parser_of(name)
    listing, examples = parser.format_help().split("examples:\n")
    for line in examples.replace("\\\n", " ").splitlines():
        arguments = words(line)
        if arguments[0] != "--nproc-per-node":  # torchrun's own
            parsed(arguments)
            assert " ".join(arguments).startswith(name.removesuffix(" adapter"))
    assert "examples" not in listing and "None" not in listing
    # What takes a value is needed, or its help says what it is without one.
    for action in parser._actions:
        takes = action.option_strings and action.nargs != 0 and not action.required
        group = next(g for g in parser._action_groups if action in g._group_actions)
        if takes and "default" not in f"{group.title}":
            assert "default" in f"{action.help}" or action.default is not None, action


def test_the_defaults_in_the_help_are_the_recipes() -> None:
    pytest.importorskip("torch")
    from neuroclip.adapter.train import Recipe

    recipe = {field.name: field.default for field in fields(Recipe)}
    text = " ".join(parser_of("train").format_help().split())
    assert f"floating point (default: {recipe['epochs']})" in text
    assert f"arithmetic (default: {recipe['quantized_epochs']})" in text


def documented() -> list[str]:
    """The `neuroclip …` lines of README.md, CONTRIBUTING.md and docs/."""
    pages = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]
    text = "\n".join(page.read_text(encoding="utf-8") for page in pages).replace("\\\n", " ")
    names = "|".join(name for name in NAMES if " " not in name)
    shell = re.findall(rf"^ *(neuroclip (?:{names})(?: .*?)?)(?:   .*)?$", text, re.MULTILINE)
    return shell + re.findall(rf"`(neuroclip (?:{names})(?: [^`\n]*)?)`", text)


def test_documented_command_lines_are_read() -> None:
    lines = documented()
    assert len(lines) > 25
    for line in lines:
        arguments = words(line.replace("teacher|align|finetune", "align"))
        if arguments[0] in ("train", "table", "sweep", "unseen") and "--out" not in arguments:
            arguments += ["--out", "x"]
        parsed(arguments)


def test_reading_a_command_line_imports_nothing_heavy(own_python: Callable[..., str]) -> None:
    heavy = ("numpy", "torch", "tonic", "sklearn", "scipy", "open_clip", "numba", "lava", "nir")
    told = own_python(
        "-c",
        "import sys\n"
        "from neuroclip.commands.main import COMMANDS, parser_of\n"
        "for name in COMMANDS: parser_of(name).format_help()\n"
        f"print(*sorted({set(heavy)!r} & set(sys.modules)))",
    )
    assert told.split() == []
