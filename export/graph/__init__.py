"""The normalised graph: what a NIR graph computes, as linear maps between neurons, in float64.

In: populations and maps. Out: the same composed, simulated, or as connections.
"""
