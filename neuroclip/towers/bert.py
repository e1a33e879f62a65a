"""BERT as a text tower: six layers read a sentence, the mean of its tokens is its meaning.

Devlin et al. 2019 (arXiv 1810.04805); the sizes by default are MiniLM's (Wang et al. 2020, arXiv
2002.10957) and the mean over tokens is sentence-transformers' (Reimers, Gurevych 2019). Tensors have the
names that `transformers` gives them, below "transformer." as in open_clip's text towers.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

PAD = 0
# Of the published models; LayerNorm's own is 1e-5.
_EPS = 1e-12


@dataclass(frozen=True)
class BertSizes:
    """vocabulary: word pieces. width: of a token. hidden: of an MLP. positions: tokens at most."""

    vocabulary: int = 30522
    width: int = 384
    layers: int = 6
    heads: int = 12
    hidden: int = 1536
    positions: int = 512


class _Embeddings(nn.Module):
    def __init__(self, sizes: BertSizes) -> None:
        super().__init__()
        self.word_embeddings = nn.Embedding(sizes.vocabulary, sizes.width)
        self.position_embeddings = nn.Embedding(sizes.positions, sizes.width)
        self.token_type_embeddings = nn.Embedding(2, sizes.width)
        self.LayerNorm = nn.LayerNorm(sizes.width, eps=_EPS)

    def forward(self, ids: Tensor) -> Tensor:
        positions = self.position_embeddings.weight[: ids.shape[1]]
        x: Tensor = self.word_embeddings(ids) + positions + self.token_type_embeddings.weight[0]
        return self.LayerNorm(x)


class _Projections(nn.Module):
    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.query, self.key, self.value = (nn.Linear(width, width) for _ in range(3))
        self.heads = heads

    def forward(self, x: Tensor, present: Tensor) -> Tensor:
        query, key, value = (
            made(x).unflatten(-1, (self.heads, -1)).transpose(1, 2)
            for made in (self.query, self.key, self.value)
        )
        seen = functional.scaled_dot_product_attention(query, key, value, present[:, None, None])
        return seen.transpose(1, 2).flatten(2)


class _Residual(nn.Module):
    """LayerNorm(x + dense(y))."""

    def __init__(self, inner: int, width: int) -> None:
        super().__init__()
        self.dense = nn.Linear(inner, width)
        self.LayerNorm = nn.LayerNorm(width, eps=_EPS)

    def forward(self, y: Tensor, x: Tensor) -> Tensor:
        return self.LayerNorm(self.dense(y) + x)


class _Layer(nn.Module):
    def __init__(self, sizes: BertSizes) -> None:
        super().__init__()
        attention = {
            "self": _Projections(sizes.width, sizes.heads),
            "output": _Residual(sizes.width, sizes.width),
        }
        self.attention = nn.ModuleDict(attention)
        self.intermediate = nn.ModuleDict({"dense": nn.Linear(sizes.width, sizes.hidden)})
        self.output = _Residual(sizes.hidden, sizes.width)

    def forward(self, x: Tensor, present: Tensor) -> Tensor:
        x = self.attention["output"](self.attention["self"](x, present), x)
        return self.output(functional.gelu(self.intermediate["dense"](x)), x)


class BertTower(nn.Module):
    """Token ids int64 [N, tokens], padded by 0, → the mean of the last layer [N, width].

    What open_clip asks of a text tower: `context_length`, `vocab_size`, and the features, which it
    normalises itself. features: how many.
    """

    def __init__(self, sizes: BertSizes, context_length: int) -> None:
        super().__init__()
        self.context_length, self.vocab_size = context_length, sizes.vocabulary
        self.features = sizes.width
        layers = nn.ModuleList(_Layer(sizes) for _ in range(sizes.layers))
        parts = {"embeddings": _Embeddings(sizes), "encoder": nn.ModuleDict({"layer": layers})}
        self.transformer = nn.ModuleDict(parts)

    def forward(self, ids: Tensor) -> Tensor:
        """Features float32 [N, width], not normalised; padding is neither attended to nor counted."""
        present = ids != PAD
        x = self.transformer["embeddings"](ids)
        for layer in self.transformer["encoder"]["layer"]:
            x = layer(x, present)
        weights = present[..., None].to(x.dtype)
        return torch.sum(x * weights, dim=1) / weights.sum(dim=1)
