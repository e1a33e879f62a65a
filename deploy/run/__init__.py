"""Whole runs: piece by piece and found again after a kill, and a mapped program core by core.

In: a program and its samples. Out: what they came to.
"""
