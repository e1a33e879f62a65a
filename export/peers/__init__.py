"""Other people's simulators on our programs and graphs: a second opinion on what the emulator says.

In: a program or a graph, and spikes. Out: the trace that somebody else's simulator gives.

`nengo_loihi` and `brian2_loihi` run a `Program` in the chip's arithmetic; `nir_readers` runs a NIR graph
in snnTorch, Norse and Sinabs, which compute in floating point. Each module guards its optional packages
and refuses by name what they cannot express.
"""
