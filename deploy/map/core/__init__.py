"""What neurons cost on a core, and whether they fit it.

In: parts of a program. Out: resources, packets between parts, refusals that name the limit.
"""
