"""Events classified while they arrive: from a growing file, a pipe or a socket, shown on a local page.

In: bytes of event files as they come. Out: frames, spikes and scores after every slice, printed or served.
"""
