"""The normal form: nested, chained and looped nodes as maps between neurons.

In: nir's nodes. Out: the normalised graph.
"""
