"""The person's own module is run and watched: the first executor.

In: a torch module and a sample. Out: an `Observation`, every value with where it comes from.
"""
