"""SANA-FE as a target: its files from our program and mapping, and its counts beside ours.

In: a program, its mapping and its messages. Out: SANA-FE's files, counts, energy and time.
"""

from export.targets.sanafe.check import cross_check
from export.targets.sanafe.files import write_sanafe

__all__ = ["cross_check", "write_sanafe"]
