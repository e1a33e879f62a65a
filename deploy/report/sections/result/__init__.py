"""Sections on whether the run is right: accuracy, quantization, parity, cross-check, proof.

In: a run. Out: the facts that the template beside each file shows.
"""
