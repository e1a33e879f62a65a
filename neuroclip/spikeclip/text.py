"""SpikeCLIP's text encoder: CLIP's token and position embeddings, then spiking linear layers.

It runs on the host, once per set of labels: its output is the weights of the last layer on the chip.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from deploy.errors import BadInput
from neuroclip.chip.neurons import run
from neuroclip.clip.spec import BUNDLED
from neuroclip.compute.threads import one_thread
from neuroclip.spikeclip.encoder import neurons
from neuroclip.text.prompts import fill, require_content
from neuroclip.text.tokenizer import tokenize


@dataclass(frozen=True)
class TextConfig:
    """Sizes of a text encoder; the defaults are the paper's.

    tokens: read of a sentence. embedding, vocabulary: of the CLIP whose embeddings it starts from.
    own_tokens: true where that CLIP has the tokenizer of bytes, else open_clip's for `clip` is used.
    norm, trained_embeddings, detached_reset: false, true and true as published; see the encoder.
    """

    tokens: int = 20
    embedding: int = 512
    vocabulary: int = 49408
    hidden: int = 2048
    features: int = 512
    steps: int = 4
    threshold: float = 1.0
    clip: str = "ViT-B-32"
    norm: bool = True
    trained_embeddings: bool = False
    detached_reset: bool = False

    def __post_init__(self) -> None:
        for name in ("tokens", "embedding", "vocabulary", "hidden", "features", "steps"):
            if not 1 <= getattr(self, name) <= 1 << 18:
                raise BadInput(f"text encoder: {name} {getattr(self, name)}, expected 1 to 262144")


class SpikingTextEncoder(nn.Module):
    """Embeddings of 20 tokens → LIF → Linear → LIF → Linear, a weighted sum over T steps.

    The embeddings are the teacher's and stay as they are. They are standardised before the first
    neurons: CLIP's own are of the order of 0.02 and would never reach a threshold of 1. As published they
    are not standardised but trained.
    """

    def __init__(self, config: TextConfig) -> None:
        super().__init__()
        self.config = config
        size = config.tokens * config.embedding
        train = config.trained_embeddings
        self.tokens = nn.Parameter(torch.zeros(config.vocabulary, config.embedding), train)
        self.positions = nn.Parameter(torch.zeros(config.tokens, config.embedding), train)
        self.norm = nn.LayerNorm(size) if config.norm else nn.Identity()
        self.fires_tokens = neurons(config.threshold, config.detached_reset)
        self.first = nn.Linear(size, config.hidden)
        self.fires = neurons(config.threshold, config.detached_reset)
        self.second = nn.Linear(config.hidden, config.features)
        self.time = nn.Parameter(torch.full((config.steps,), 1 / config.steps))

    def forward(self, ids: Tensor) -> Tensor:
        """Token ids int64 [N, tokens] → features [N, features], not normalised."""
        x = self.norm((self.tokens[ids] + self.positions).flatten(1))
        x = x[:, None].expand(-1, self.config.steps, -1)
        spikes = run(self.fires, self.first(run(self.fires_tokens, x)))
        return torch.einsum("t,ntf->nf", self.time, self.second(spikes))


def operations(config: TextConfig) -> int:
    """Multiply-accumulates of one label: both linear layers at every step, and the sum over steps."""
    first = config.tokens * config.embedding * config.hidden
    return config.steps * (first + config.hidden * config.features + config.features)


def token_ids(config: TextConfig, texts: Sequence[str]) -> Tensor:
    """Token ids int64 [texts, tokens]. Raises BadInput naming a text that holds more tokens."""
    if config.clip == BUNDLED:
        return tokenize(texts, config.tokens)
    # Only here: open_clip and what it imports take seconds.
    from neuroclip.clip.model import self_contained
    from neuroclip.storage.open_clip_library import open_clip

    # A checkpoint is a stranger's: open_clip would take a folder or hub, and run the code found there.
    if not self_contained(config.clip):
        raise BadInput(f"text encoder: clip '{config.clip}' is no architecture of open_clip's own")
    tokenizer = open_clip.get_tokenizer(config.clip)
    ids: Tensor = tokenizer(list(texts))
    for text, row in zip(texts, ids, strict=True):
        held = int((row != 0).sum())
        if held > config.tokens:
            raise BadInput(
                f"text '{text}' has {held} tokens; this text encoder reads {config.tokens}"
            )
    return ids[:, : config.tokens]


@torch.no_grad()
def encode_labels(
    encoder: SpikingTextEncoder, labels: Sequence[str], templates: Sequence[str]
) -> Tensor:
    """Text features float32 [labels, features], L2-normalised in each template, and their mean over them.

    Raises BadInput as `fill` and `require_content` do.
    """
    ids = [token_ids(encoder.config, fill(labels, template)) for template in templates]
    require_content(labels, lambda texts: token_ids(encoder.config, texts))
    with one_thread():
        found = [functional.normalize(encoder.eval()(each), dim=-1) for each in ids]
    return torch.stack(found).mean(dim=0)
