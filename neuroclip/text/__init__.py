"""Words for CLIP: prompts, lists of labels, and a tokenizer of bytes.

In: class names. Out: sentences and tokens.
"""
