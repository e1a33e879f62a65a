"""How a SpikeCLIP is trained: teacher, alignment, fine-tuning, and their settings.

In: images and settings. Out: checkpoints.
"""
