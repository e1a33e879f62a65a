"""What a stranger's NIR file holds, every value checked before it is used.

In: a file. Out: nir's nodes.
"""
