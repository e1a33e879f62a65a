"""One stage of a training: the best epoch is kept, and a killed one goes on where it was.

In: a module and what one step does. Out: the trained module and its history.
"""
