"""SANA-FE as a target: its files from our program and mapping, and its counts beside ours."""

from export.targets.sanafe.check import cross_check
from export.targets.sanafe.files import write_sanafe

__all__ = ["cross_check", "write_sanafe"]
