"""A network of a person's own: its Python file, its data, its training and its checkpoint.

In: FILE.py:NAME and labelled samples. Out: the module trained, and the chip network made of it.
"""
