"""What a run costs: operations, packets, energy and time, each from counts and published coefficients.

In: a program, its trace and its mapping. Out: counts, joules and seconds per inference.
"""
