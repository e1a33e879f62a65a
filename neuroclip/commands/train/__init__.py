"""`neuroclip train`: one file for each kind of model.

In: options. Out: a checkpoint.
"""
