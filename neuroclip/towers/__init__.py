"""A CLIP of two towers that others trained apart: one has seen a thousand classes, one has read.

In: weights from installed packages, names of classes, images. Out: a checkpoint.
"""
