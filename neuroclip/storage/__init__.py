"""Files of the learning side: weights, checkpoints, caches, and HDF5 read in a supervised child.

In: paths. Out: checked values, or a refusal that names the file and the entry.
"""
