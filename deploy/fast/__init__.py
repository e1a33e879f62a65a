"""The fast emulator: equal to `deploy.emulator` bit for bit, and shares none of its arithmetic."""

from deploy.fast.emulate import emulate_fast
from deploy.fast.plan import Plan, prepare

__all__ = ["Plan", "emulate_fast", "prepare"]
