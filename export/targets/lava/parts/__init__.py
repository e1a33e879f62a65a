"""What is said of a program to Lava: arguments of its processes, alignment, the worker's job.

In: a program. Out: plain values; nothing here imports Lava.
"""
