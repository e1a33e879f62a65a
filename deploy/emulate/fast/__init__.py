"""The fast emulator: equal to `deploy.emulate.reference` bit for bit, and shares none of its arithmetic."""

from deploy.emulate.fast.emulate import emulate_fast
from deploy.emulate.fast.plan import Plan, prepare

__all__ = ["Plan", "emulate_fast", "prepare"]
