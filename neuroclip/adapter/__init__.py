"""NeuroCLIP's adapter: the model, what it is held against, training, tables, live use.

In: features of event frames. Out: class scores.
"""
