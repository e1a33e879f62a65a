"""SpikeCLIP's text encoder: CLIP's token and position embeddings, then spiking linear layers.

It runs on the host, once per set of labels: its output is the weights of the last layer on the chip.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from deploy.errors import BadInput
from neuroclip.chip.neurons import run
from neuroclip.clip.model import Clip, self_contained
from neuroclip.clip.spec import BUNDLED, ClipSpec
from neuroclip.compute.threads import one_thread
from neuroclip.spikeclip.config import SpikeClipConfig
from neuroclip.spikeclip.encoder import neurons, published_time
from neuroclip.storage.open_clip_library import open_clip
from neuroclip.text.prompts import fill, require_content
from neuroclip.text.tokenizer import VOCABULARY, tokenize
from neuroclip.towers.bert import BertTower

# Features of a byte, where the teacher has no embeddings for a student.
_BYTE = 64


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


@torch.no_grad()
def text_encoder(
    clip: Clip, tokens: int, hidden: int, model: SpikeClipConfig, norm: bool = True,
    trained_embeddings: bool = False,
) -> SpikingTextEncoder:  # fmt: skip
    """An untrained text encoder with the embeddings of a teacher, where those are a student's size.

    model: the image side, whose steps, resets and, of the paper's variant, first weights of the steps it has.
    """
    table, positions, features = _embeddings(clip, tokens)
    config = TextConfig(
        tokens=tokens,
        embedding=table.shape[1],
        vocabulary=table.shape[0],
        hidden=hidden,
        features=features,
        steps=model.steps,
        clip=clip.name if table.shape[0] != VOCABULARY else BUNDLED,
        norm=norm,
        trained_embeddings=trained_embeddings,
        detached_reset=model.detached_reset,
    )
    if tokens > len(positions):
        raise BadInput(f"text encoder: {tokens} tokens, its teacher has {len(positions)}")
    made = SpikingTextEncoder(config)
    made.tokens.copy_(table)
    made.positions.copy_(positions[:tokens])
    if model.variant == "paper":
        made.time.copy_(published_time(model.steps))
    return made


def _embeddings(clip: Clip, tokens: int) -> tuple[Tensor, Tensor, int]:
    """Of tokens [vocabulary, F], of positions [tokens, F], and the features of the teacher's texts.

    A teacher that reads word pieces has more of them than a student has weights: the student reads bytes,
    each a random direction.
    """
    text = getattr(clip.module, "text", clip.module)  # open_clip has either layout
    if isinstance(text, BertTower):
        return torch.randn(VOCABULARY, _BYTE), torch.randn(tokens, _BYTE), text.features
    table, positions = text.token_embedding.weight, text.positional_embedding
    return table, positions, int(text.text_projection.shape[1])


def operations(config: TextConfig) -> int:
    """Multiply-accumulates of one label: both linear layers at every step, and the sum over steps."""
    first = config.tokens * config.embedding * config.hidden
    return config.steps * (first + config.hidden * config.features + config.features)


def token_ids(config: TextConfig, texts: Sequence[str]) -> Tensor:
    """Token ids int64 [texts, tokens]. Raises BadInput naming a text that holds more tokens."""
    if config.clip == BUNDLED:
        return tokenize(texts, config.tokens)
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


def sentences(labels: Sequence[str], templates: Sequence[str]) -> list[str]:
    """Every label in every template."""
    return [text for template in templates for text in fill(labels, template)]


def spec_of(clip: Clip, spec: ClipSpec) -> dict[str, str | None]:
    """What a checkpoint remembers of its teacher."""
    return {"model": spec.model, "pretrained": spec.pretrained, "digest": clip.digest}


def teacher_text(clip: Clip, texts: Sequence[str]) -> Tensor:
    """L2-normalised text features of a teacher, float32 [texts, C]."""
    with torch.no_grad(), one_thread():
        found = [
            clip.module.encode_text(clip.tokenize(part.tolist()).to(clip.device), normalize=True)
            for part in np.array_split(np.array(texts), max(1, len(texts) // 256))
        ]
    return torch.cat(found).float().cpu()
