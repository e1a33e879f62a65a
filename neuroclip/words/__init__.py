"""What words are worth: still images told apart by texts alone, and classes that nothing was trained on.

In: a CLIP, images, names. Out: scores, a CLIP aligned with images, accuracies on classes left out.
"""
