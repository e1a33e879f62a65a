"""Proof by interval arithmetic: which edges of its registers a program can reach.

In: a program and the steps of a sample. Out: a verdict for every edge of every population.
"""
