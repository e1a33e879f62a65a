"""SANA-FE as a target: its files from our program and mapping, and its counts beside ours."""

from export.sanafe.check import cross_check
from export.sanafe.files import write_sanafe

__all__ = ["cross_check", "write_sanafe"]
