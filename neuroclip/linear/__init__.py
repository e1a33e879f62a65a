"""Linear maps between populations in float64, composed exactly, and the fold of a normalisation.

In: weights and geometries. Out: one map for all that lies between two populations. Needs no torch.
"""
