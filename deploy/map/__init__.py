"""Neurons onto neurocores, cores onto the mesh; and the validator, which shares nothing with the rest.

In: a program, a chip, messages that were counted. Out: a mapping.
"""
