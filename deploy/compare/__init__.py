"""Whether two runs are equal, and where they first differ.

In: traces and registers, of executors or of hardware. Out: a comparison.
"""
