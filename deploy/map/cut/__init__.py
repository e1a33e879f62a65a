"""Cutting populations into parts that a core holds.

In: a program and a chip. Out: parts: slices in good orders, or tiles of images.
"""
