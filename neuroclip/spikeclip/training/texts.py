"""What a SpikeCLIP's text encoder takes from its teacher: embeddings to start from, features to learn."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from deploy.errors import BadInput
from neuroclip.clip.model import Clip
from neuroclip.clip.spec import BUNDLED, ClipSpec
from neuroclip.compute.threads import one_thread
from neuroclip.spikeclip.config import SpikeClipConfig
from neuroclip.spikeclip.encoder import published_time
from neuroclip.spikeclip.text import SpikingTextEncoder, TextConfig
from neuroclip.text.prompts import fill
from neuroclip.text.tokenizer import VOCABULARY
from neuroclip.towers.bert import BertTower

# Features of a byte, where the teacher has no embeddings for a student.
_BYTE = 64


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
