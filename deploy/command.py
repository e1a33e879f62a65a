"""How a command ends: its exit status, and one line on stderr where it did not succeed."""

import argparse
import io
import os
import sys
from collections.abc import Callable

from deploy.errors import BadInput, ToolError

INTERRUPTED = 130
"""What a shell expects of a command ended by Ctrl-C: 128 + SIGINT."""


def run_command(name: str, action: Callable[[], int]) -> int:
    """Run a command's action and return the exit status: its own, or that of what went wrong.

    What is wrong with the machine rather than with a file (a package that is not installed, no
    memory, no space for temporary files) ends in status 2 and one line, too.
    """
    if isinstance(sys.stdout, io.TextIOWrapper):
        # A terminal without UTF-8 shows what it can of our × and σ.
        sys.stdout.reconfigure(errors="replace")
    try:
        status = action()
        sys.stdout.flush()
        return status
    except ToolError as error:
        message, status = str(error), error.exit_status
    except KeyboardInterrupt:
        message, status = "interrupted", INTERRUPTED
    except BrokenPipeError:
        # The reader of our output, such as `head`, has gone; Python's own flush would tell again.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except ModuleNotFoundError as error:
        message, status = f"{error}: pip install '.[learn]' in the repository", BadInput.exit_status
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        message, status = f"{where}{error.strerror or error}", BadInput.exit_status
    except UnicodeEncodeError as error:
        near = error.object[max(0, error.start - 40) : error.end + 20]
        message, status = f"a name that is not valid text: {near!r}", BadInput.exit_status
    except MemoryError:
        message, status = "not enough memory", BadInput.exit_status
    print(f"{name}: {' '.join(message.splitlines())}", file=sys.stderr)
    return status


def seed_argument(text: str) -> int:
    """argparse type of a seed that every generator takes: 0 to 2^32 - 1."""
    value = int(text)
    if not 0 <= value < 2**32:
        raise argparse.ArgumentTypeError(f"seed {value} is not between 0 and 2^32 - 1")
    return value
