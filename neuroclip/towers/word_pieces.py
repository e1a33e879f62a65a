"""BERT's word pieces: text in lower case, without accents, cut into the longest pieces of a vocabulary.

`tokenizers` (Hugging Face, Apache-2.0) cuts; the rules are fixed here, and of a file only the list of
pieces is taken, one a line, a piece's line being its number.
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch

from deploy.errors import BadInput
from deploy.reading import read_text
from neuroclip.towers.tables import BRINGS

# Special pieces by number, as in every vocabulary of BERT's.
_SPECIAL = {0: "[PAD]", 100: "[UNK]", 101: "[CLS]", 102: "[SEP]"}
# BERT's has 231 508 bytes; its longest piece 18 letters.
_MAX_BYTES = 1 << 20


def read_vocabulary(path: Path, size: int) -> list[str]:
    """The pieces in a file. Raises BadInput: none, too large, not `size` pieces, or one twice."""
    # Of the ways to end a line only the one: a piece may be any other character.
    pieces = read_text(path, _MAX_BYTES, "a list of word pieces").removesuffix("\n").split("\n")
    if len(pieces) != size or len(set(pieces)) != size:
        raise BadInput(
            f"{path}: {len(pieces)} word pieces, {len(set(pieces))} different ones, expected {size}"
        )
    for number, piece in _SPECIAL.items():
        if pieces[number] != piece:
            raise BadInput(f"{path}: piece {number} is '{pieces[number]}', expected '{piece}'")
    return pieces


def tokenizer(pieces: Sequence[str], context: int) -> Callable[[Sequence[str]], torch.Tensor]:
    """Texts → token ids int64 [texts, longest], [CLS] first, [SEP] last, padded by 0.

    A text of more than `context` tokens raises BadInput naming it: cutting it would drop its end.
    Raises BadInput where `tokenizers` is not installed.
    """
    try:
        from tokenizers import Tokenizer, models, normalizers, pre_tokenizers
    except ModuleNotFoundError as error:
        raise BadInput(f"package 'tokenizers' is not installed; {BRINGS}") from error
    numbers = {piece: number for number, piece in enumerate(pieces)}
    cut: Any = Tokenizer(models.WordPiece(numbers, unk_token="[UNK]", max_input_chars_per_word=100))
    cut.normalizer = normalizers.BertNormalizer(lowercase=True)
    cut.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    first, last = numbers["[CLS]"], numbers["[SEP]"]

    def tokenize(texts: Sequence[str]) -> torch.Tensor:
        # Surrogates alone are no text to Rust.
        clean = [text.encode("utf-8", "replace").decode("utf-8") for text in texts]
        rows = [[first, *found.ids, last] for found in cut.encode_batch(clean)]
        for text, row in zip(texts, rows, strict=True):
            if len(row) > context:
                raise BadInput(f"text '{text}' has {len(row)} tokens; this CLIP reads {context}")
        longest = max(map(len, rows), default=0)
        padded = [row + [0] * (longest - len(row)) for row in rows]
        return torch.tensor(padded, dtype=torch.int64).reshape(len(rows), longest)

    return tokenize
