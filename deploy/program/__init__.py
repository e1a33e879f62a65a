"""`Program`, the integer network that everything passes through, its file and its two lowerings.

In: populations and connections. Out: a checked program; nothing here runs one.
"""
