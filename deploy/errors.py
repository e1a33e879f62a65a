"""The two ways a command ends without success: the user's input is bad, or a check did not hold."""

from deploy.shown import shown

# A line that someone reads: what a hostile file names itself may be megabytes.
_LONGEST = 2000


class ToolError(Exception):
    """An error with a one-line message for the user; `exit_status` is the command's exit status."""

    exit_status = 2

    def __init__(self, message: object = "") -> None:
        line = shown(" ".join(str(message).splitlines()))
        if len(line) > _LONGEST:
            line = f"{line[: _LONGEST // 2]} … {line[-_LONGEST // 2 :]}"
        super().__init__(line)


class BadInput(ToolError):
    """Bad input or usage: the message names the file, the node and the value. Exit status 2."""


class CheckFailed(ToolError):
    """A parity check or a hard limit of the chip did not hold. Exit status 1."""

    exit_status = 1
