"""Lava processes. Lava executes every file of this folder once per process: no side effects here.

In: a program, a worker's job. Out: Lava processes.
"""
