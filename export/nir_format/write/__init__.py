"""NIR graphs of torch modules, of programs and of our graphs, and the dialects of other readers.

In: a module, program or graph. Out: a NIR file.
"""
