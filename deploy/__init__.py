"""The chip: integer networks, their emulator, mapping onto neurocores, counts, energy and parity.

In: integer networks and messages, from anywhere. Out: traces, proofs, mappings, counts, reports.
Here at the root: files and how they are refused, how commands end, and many jobs at once.
"""
