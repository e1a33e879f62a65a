"""Sections on what a run costs: operations, joules, and both beside a dense ANN and other lowerings.

In: a run. Out: the facts that the template beside each file shows.
"""
