"""CLIP, frozen: any of open_clip's, or a small one of our own; features and zero-shot scores.

In: frames, pictures, text. Out: features and class scores.
"""
