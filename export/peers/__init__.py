"""Other people's simulators on our programs and graphs: a second opinion on what the emulator says.

`nengo_loihi` and `brian2_loihi` run a `Program` in the chip's arithmetic; `nir_readers` runs a NIR graph
in snnTorch, Norse and Sinabs, which compute in floating point. Each module guards its optional packages
and refuses by name what they cannot express.
"""
