"""A chip as data: its limits, its mesh of cores, and which neurons are on which core.

In: chip files and mapping files. Out: `Chip`, `Mapping`, distances; nothing here decides.
"""
