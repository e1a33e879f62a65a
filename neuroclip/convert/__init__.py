"""A person's own snnTorch network as a chip network.

In: a torch module. Out: a `ChipNetwork`, or a refusal that names the layer.
"""
