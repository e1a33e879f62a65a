"""Targets: where a program runs, or what it is written as, each one file or folder (`target`, `table`).

In: a program. Out: a trace, or files.
"""
