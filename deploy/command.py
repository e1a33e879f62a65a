"""How a command ends: its exit status, and one line on stderr where it did not succeed."""

import argparse
import gc
import io
import os
import re
import signal
import sys
import warnings
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, NoReturn

from deploy.errors import BadInput, ToolError
from deploy.processes import ended_by_signals
from deploy.progress import set_verbosity, verbosity
from deploy.reading import address_space, limit_memory
from deploy.shown import shown

# What a shell expects of a command that a signal ended: 128 + its number.
_BY_SIGNAL = 128
# How torch and Python's threads say that there is no memory: neither raises MemoryError.
_NO_SPACE = re.compile(
    r"(can't|cannot|failed to|unable to) (re)?alloc|not enough memory|start new thread", re.I
)
# What help calls an argument that may be a file or a folder.
_FILES = {
    "FILE", "MODEL", "DATA", "RUN", "A", "B", "PATH", "CHECKPOINT", "CALIBRATE", "RECORDING",
    "NAME|FILE", "NAME|FOLDER", "TAG|FILE",
}  # fmt: skip
# Objects made, less those that went, before cycles of them are looked for; Python's own number is 700.
_COLLECTED_AFTER = 50_000
# How tqdm goes up a line.
_UP = "\x1b[A"


class CommandParser(argparse.ArgumentParser):
    """A parser whose refusals are one line, as those of files are."""

    def error(self, message: str) -> NoReturn:
        """End with status 2 and one line."""
        self.exit(2, f"{self.prog}: error: {message} (see {self.prog} --help)\n")


class _Version(argparse.Action):
    """Looked up only where it is asked for: the metadata of what is installed take their time to read."""

    def __call__(self, parser: argparse.ArgumentParser, *_: Any) -> None:
        from importlib.metadata import version

        print(f"{parser.prog} {version('neuroclip')}")
        parser.exit()


def add_version(parser: argparse.ArgumentParser) -> None:
    """Add `--version`."""
    parser.add_argument(
        "--version", action=_Version, nargs=0, help="show the version of the package and exit"
    )


def add_completion(
    parser: argparse.ArgumentParser, whole: Callable[[], argparse.ArgumentParser]
) -> None:
    """Add `--completion SHELL`. whole: makes the parser that is completed, every command in it."""

    class Completion(argparse.Action):
        def __call__(self, asked: argparse.ArgumentParser, _: Any, shell: Any, *__: Any) -> None:
            try:
                import shtab
            except ImportError:
                raise BadInput(
                    "--completion: shtab is not installed: pip install '.[completion]' in the repository"
                ) from None
            print(shtab.complete(_with_files(whole(), shtab), shell))
            asked.exit()

    parser.add_argument(
        "--completion",
        action=Completion,
        choices=("bash", "zsh", "tcsh"),
        metavar="SHELL",
        help="print the completion for bash, zsh or tcsh, and exit",
    )


def _with_files(parser: argparse.ArgumentParser, shtab: Any) -> argparse.ArgumentParser:
    """The parser, its arguments that are files and folders marked as such, by what stands for them."""
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for each in {id(p): p for p in action.choices.values()}.values():
                _with_files(each, shtab)
        elif action.nargs != 0 and not action.choices:
            folder = action.metavar == "DIR"
            of_files = action.type is Path or str(action.metavar or action.dest).upper() in _FILES
            if folder or of_files:
                action.complete = shtab.DIRECTORY if folder else shtab.FILE  # type: ignore[attr-defined]
    return parser


def run_command(name: str, action: Callable[[], int]) -> int:
    """Run a command's action and return the exit status: its own, or that of what went wrong.

    What is wrong with the machine rather than with a file (a package that is not installed, no
    memory, no space for temporary files or for the output) ends in status 2 and one line, too. SIGTERM
    and SIGHUP end it as Ctrl-C does, with the status that a shell expects of them.
    """
    _open_standard_streams()
    limit_memory(None)
    # What libraries make as they are imported stays: to look through it again and again takes a tenth of
    # a command's time.
    gc.set_threshold(_COLLECTED_AFTER)
    set_verbosity("normal")
    if isinstance(sys.stdout, io.TextIOWrapper):
        # A terminal without UTF-8 shows what it can of our × and σ.
        sys.stdout.reconfigure(errors="replace")
    if any(action == "error" for action, *_ in warnings.filters):
        # Who makes warnings errors means those of code of their own, not those of every library.
        warnings.filterwarnings("default")
    with ended_by_signals() as caught, _shown_streams():
        try:
            try:
                status = action()
                sys.stdout.flush()
                return status
            except Exception:
                if verbosity() == "verbose":
                    import traceback

                    traceback.print_exc()
                raise
        except ToolError as error:
            message, status = str(error), error.exit_status
        except KeyboardInterrupt as error:
            caught()
            message = str(error) or "interrupted"
            status = _BY_SIGNAL + getattr(error, "number", signal.SIGINT)
        except BrokenPipeError:
            # The reader of our output, such as `head`, has gone.
            _discard(sys.stdout)
            return 1
        except ModuleNotFoundError as error:
            message = f"{error}: pip install '.[learn]' in the repository"
            status = BadInput.exit_status
        except ImportError as error:
            # Not absent, but not to be loaded: a library of another version, or no space for it.
            message, status = f"cannot be loaded: {error}{_limit()}", BadInput.exit_status
        except OSError as error:
            where = f"{error.filename}: " if error.filename else ""
            message, status = f"{where}{error.strerror or error}", BadInput.exit_status
        except UnicodeEncodeError as error:
            near = error.object[max(0, error.start - 40) : error.end + 20]
            message, status = f"a name that is not valid text: {near!r}", BadInput.exit_status
        except MemoryError:
            message, status = f"not enough memory{_limit()}", BadInput.exit_status
        except RuntimeError as error:
            if not _NO_SPACE.search(str(error)):
                raise
            message, status = f"not enough memory: {error}{_limit()}", BadInput.exit_status
        for stream in (sys.stdout, sys.stderr):
            try:
                stream.flush()
            except OSError:  # full: Python would try again at its end, and exit with 120
                _discard(stream)
        with suppress(OSError):
            print(f"{name}: {' '.join(message.splitlines())}", file=sys.stderr, flush=True)
        return status


def _limit() -> str:
    """What this process may take, where less than the machine has: `ulimit -v`, in words."""
    space = address_space()
    return "" if space is None else f" (the process may take {space >> 20} MiB, see `ulimit -v`)"


class _Shown:
    """A stream of text for a person: what is written is `shown`, but for how a progress bar moves."""

    silent = False

    def __init__(self, stream: Any) -> None:
        self._stream = stream

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def write(self, text: str) -> int:
        """Write a text, unless the stream is silent."""
        if self.silent:
            return len(text)
        # tqdm goes to the start of its line, or by itself to that of another bar.
        moves = text if not text.replace(_UP, "").strip("\r\n ") else text[: text.startswith("\r")]
        self._stream.write(moves + shown(text[len(moves) :]))
        return len(text)

    def writelines(self, lines: Iterable[str]) -> None:
        """Write several texts."""
        for line in lines:
            self.write(line)


@contextmanager
def _shown_streams() -> Iterator[None]:
    """Within, no control character of a name reaches the terminal, whoever prints it."""
    before = sys.stdout, sys.stderr
    sys.stdout, sys.stderr = _Shown(before[0]), _Shown(before[1])
    try:
        yield
    finally:
        sys.stdout, sys.stderr = before


def _open_standard_streams() -> None:
    """Give a process that was started without standard streams (`>&-`) ones that lead nowhere.

    Else the next file that is opened takes their numbers, and output meant for a terminal goes there.
    """
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # the lowest free number: this one
        if getattr(sys, name) is None:
            mode = "r" if name == "stdin" else "w"
            setattr(sys, name, open(number, mode, encoding="utf-8", closefd=False))  # noqa: SIM115


def _discard(stream: io.TextIOBase | object) -> None:
    """What is still to be written to a stream leads nowhere: Python's own flush would fail again."""
    with suppress(OSError, ValueError, AttributeError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, stream.fileno())  # type: ignore[union-attr]
        os.close(nowhere)


def seed_argument(text: str) -> int:
    """argparse type of a seed that every generator takes: 0 to 2^32 - 1."""
    value = int(text)
    if not 0 <= value < 2**32:
        raise argparse.ArgumentTypeError(f"seed {value} is not between 0 and 2^32 - 1")
    return value


def sensor_argument(text: str) -> tuple[int, int]:
    """argparse type of a sensor's size, "304x240": width and height in pixels."""
    size = re.fullmatch(r"(\d{1,5})[xX×](\d{1,5})", text)
    if size is None or not all(1 <= int(side) <= 65_536 for side in size.groups()):
        raise argparse.ArgumentTypeError(
            f"'{text}': expected WIDTHxHEIGHT in pixels, such as 128x128"
        )
    return int(size[1]), int(size[2])


def folder_argument(text: str) -> Path:
    """argparse type of an output folder: a name, since an empty one would be the current folder."""
    if not text:
        raise argparse.ArgumentTypeError("an empty name is no folder")
    return Path(text)


def memory_argument(text: str) -> int:
    """argparse type of an amount of memory, such as "2G" or "500M", in bytes."""
    unit = {"K": 10, "M": 20, "G": 30, "T": 40}.get(text[-1:].upper())
    try:
        value = float(text if unit is None else text[:-1]) * (1 << (unit or 0))
        if 1 << 20 <= value < 1 << 63:
            return int(value)
    except ValueError:
        pass
    raise argparse.ArgumentTypeError(f"{text!r} is no memory of 1M or more, such as 500M or 2G")


def add_workers(parser: argparse.ArgumentParser) -> None:
    """Add `--workers`, of a command that runs a data set on the emulator; `deploy.jobs.cluster` reads it."""
    parser.add_argument(
        "--workers",
        metavar="HOST:PORT",
        help="run the emulator on the workers of this Dask scheduler, which is trusted (default: here)",
    )


def add_common(parser: argparse.ArgumentParser) -> None:
    """Add what every command has, each of which holds from when it is read on."""
    told = parser.add_mutually_exclusive_group()
    told.add_argument(
        "-q",
        "--quiet",
        action=_Quiet,
        nargs=0,
        help="no progress, and no summary of what --out receives; warnings and errors are told",
    )
    told.add_argument(
        "-v",
        "--verbose",
        action=_Verbose,
        nargs=0,
        help="tell each stage and each file that is written, and of an error whence it came",
    )
    parser.add_argument(
        "--max-memory",
        type=memory_argument,
        action=_LimitMemory,
        metavar="BYTES",
        help="refuse files that declare more, such as 2G (default: half of the machine's memory)",
    )


class _Quiet(argparse.Action):
    def __call__(self, parser: argparse.ArgumentParser, *_: Any) -> None:
        set_verbosity("quiet")
        # What has a folder to write to has told everything there; of the others, words are the result.
        if isinstance(sys.stdout, _Shown) and any(a.dest == "out" for a in parser._actions):
            sys.stdout.silent = True


class _Verbose(argparse.Action):
    def __call__(self, *_: Any) -> None:
        set_verbosity("verbose")


class _LimitMemory(argparse.Action):
    def __call__(self, *given: Any) -> None:
        limit_memory(given[2])
