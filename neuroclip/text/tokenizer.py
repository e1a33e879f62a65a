"""A tokenizer of bytes: any text is legal and the vocabulary fits in a small file."""

from collections.abc import Sequence

import torch

from deploy.errors import BadInput

# 0 pads, 1 … 256 are the bytes, then start and end; open_clip's pooling "argmax" reads the text's
# feature at the largest id, which therefore has to be the end.
PAD, _FIRST_BYTE, START, END = 0, 1, 257, 258
VOCABULARY = 259


def tokenize(texts: Sequence[str], context_length: int) -> torch.Tensor:
    """Token ids int64 [texts, context_length]: start, the UTF-8 bytes + 1, end, padding.

    Raises BadInput for a text of more than context_length - 2 bytes, naming it: cutting it would
    drop the label.
    """
    ids = torch.full((len(texts), context_length), PAD, dtype=torch.int64)
    for row, text in enumerate(texts):
        content = text.encode("utf-8")
        if len(content) > context_length - 2:
            raise BadInput(
                f"text '{text}' has {len(content)} bytes; this CLIP reads at most "
                f"{context_length - 2}"
            )
        tokens = [START, *(byte + _FIRST_BYTE for byte in content), END]
        ids[row, : len(tokens)] = torch.tensor(tokens)
    return ids
