"""What one call of a person's module takes."""

from typing import Literal, get_args

Layout = Literal["step", "batch-first", "time-first", "static"]
"""[N, …] of one step, [N, T, …], [T, N, …], or [N, …] of all steps."""

LAYOUTS: tuple[Layout, ...] = get_args(Layout)
