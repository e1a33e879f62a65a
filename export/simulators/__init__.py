"""Other people's simulators of Loihi, run on a program: a second opinion on what the emulator says.

Each module guards one optional package (extra `oracles`) and refuses by name what it cannot express.
"""
