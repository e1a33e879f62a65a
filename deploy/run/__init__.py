"""Whole runs: a data set through a program batch by batch, and a mapped program core by core.

In: a program and its samples. Out: what they came to.
"""
