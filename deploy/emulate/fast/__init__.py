"""The fast emulator: equal to `deploy.emulate.reference` bit for bit, and shares none of its arithmetic.

In: a program and messages. Out: the same trace, many times faster, on one thread or on all.
"""

from deploy.emulate.fast.emulate import emulate_fast
from deploy.emulate.fast.plan import Plan, prepare

__all__ = ["Plan", "emulate_fast", "prepare"]
