"""The emulator: the plain reference, and in `fast` the quick one, equal to it bit for bit.

In: a program and messages. Out: a trace of spikes, states and counts.
"""
