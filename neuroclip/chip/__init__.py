"""The chip's arithmetic as torch modules: synapses, neurons, recurrences, whole networks.

In: registers and float weights. Out: modules that train on exactly what is deployed.
"""
