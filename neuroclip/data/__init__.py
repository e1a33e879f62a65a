"""Data sets of event recordings and of images, and the split of either.

In: paths and names. Out: labelled recordings and images in parts fixed by a seed.
"""
