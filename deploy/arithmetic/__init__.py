"""The chip's integers: the widths of its registers and the operations on what they hold.

In: numpy arrays. Out: arrays, or a refusal that names the node and the register.
"""
