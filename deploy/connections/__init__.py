"""Connections of a program: the kinds of synapses, what they sum and which neurons they join.

In: integer weights. Out: synaptic sums, lists of synapses, who reaches whom.
"""
