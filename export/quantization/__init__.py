"""Post-training quantization of a float graph, and how far the integers are from it.

In: a normalised graph and samples. Out: a graph whose values are the chip's.
"""
