"""Where and by how many processes a model is computed.

In: names of devices, the environment of torchrun. Out: devices, shares of the work.
"""
