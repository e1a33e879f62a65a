"""Targets: where a program runs, or what it is written as.

In: a program. Out: a trace, or files.
"""
