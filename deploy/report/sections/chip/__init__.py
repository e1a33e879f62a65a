"""Sections on the chip: the load of its cores, the traffic of its mesh, the time of its steps.

In: a run. Out: the facts that the template beside each file shows.
"""
