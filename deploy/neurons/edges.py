"""The edges of the chip's registers that kinds of neurons share: their names, and the limits.

Public bit-accurate simulators and the chip agree except beyond these. `deploy.prove.proof` says which
of them a program can reach, and `deploy.emulate.edge_counts` how often a run did.
"""

from deploy.arithmetic.integers import UV_LIMIT

SYNAPTIC_SUM = "synaptic sum beyond 21 bits"
CURRENT = "current u wraps"
DRIVE = "u + bias beyond 24 bits"
POTENTIAL = "membrane potential v clips"
FIRES = "integrator fires"
RUNNING_SUM = "running sum beyond 24 bits"
ACTIVATION = "activation beyond 24 bits"
MESSAGE = "message beyond its bits"

# nengo-loihi's emulator and Brian2Loihi hold a synaptic sum in 21 bits after the shift by 6.
SYNAPTIC_SUM_MIN, SYNAPTIC_SUM_MAX = -(2**15), 2**15 - 1
STATE_LIMIT = (-UV_LIMIT + 1, UV_LIMIT - 1)
