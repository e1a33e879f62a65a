"""The normalised graph as a program of integers.

In: a graph whose values are the chip's. Out: a `Program`.
"""
