"""The chip: integer networks, their emulator, mapping onto neurocores, counts, energy and parity."""
