"""Training of the small CLIP on pictures of digits and captions; it never sees an event."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from torch.nn import functional

from deploy.errors import BadInput
from deploy.files import write_json
from deploy.progress import track
from neuroclip.clip.augment import augment
from neuroclip.clip.model import (
    CONFIG_FILE,
    WEIGHTS_FILE,
    Clip,
    build_own_clip,
    encode_frames,
    encode_text,
    encoder_input,
    own_clip,
)
from neuroclip.clip.zero_shot import accuracy
from neuroclip.compute.devices import device_of
from neuroclip.data.events.cards import DIGITS, NMNIST
from neuroclip.data.events.digits import PICTURE_SIZE, digit_id, digit_pictures, digits_split
from neuroclip.data.events.formats.nmnist import NMNIST_HEIGHT
from neuroclip.data.events.frames import FrameOptions
from neuroclip.data.seen import Seen, ids_of, save_seen
from neuroclip.storage.weights import save_weights
from neuroclip.text.tokenizer import VOCABULARY

# An open_clip configuration: an image tower of 3 layers, a text tower of 2, of bytes. 80 tokens
# hold the longest prompt of the papers with a label of up to 17 letters.
CONFIG: dict[str, Any] = {
    "embed_dim": 64,
    "vision_cfg": {
        "layers": 3,
        "width": 96,
        "head_width": 32,
        "patch_size": 4,
        "image_size": 32,
    },
    "text_cfg": {
        "context_length": 80,
        "vocab_size": VOCABULARY,
        "width": 64,
        "heads": 2,
        "layers": 2,
    },
}

WORDS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
CAPTIONS = (
    NMNIST.template,
    "{}",
    "the digit {}",
    "a photo of a {}.",
    "a photo of the number {}.",
    "a picture of the digit {}.",
    'a photo of the number: "{}".',
    "a handwritten {}.",
    "a handwritten digit {}.",
    "the Arabic numeral {}.",
    "a black and white picture of the numeral {}.",
    "a blurry picture of the number {}.",
)

BATCH = 64
LEARNING_RATE = 1e-3
WEIGHT_DECAY = 0.05
WARM_UP_EPOCHS = 5
# Before pictures, captions of a class are pulled together: from scratch, pictures alone do not get
# a tower of bytes to tell its captions apart (measured: still at chance after 40 epochs).
CAPTION_STEPS = 400
_CAPTION_SCALE = 10.0


@dataclass(frozen=True)
class Trained:
    """What a training chose: the epoch (from 1) and its accuracy on the validation pictures."""

    epoch: int
    validation: float


def pictures_on_sensor() -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """The digits as a camera of N-MNIST's size sees them at rest: uint8 [1797, 34, 34], labels."""
    pictures, labels = digit_pictures()
    margin = (NMNIST_HEIGHT - PICTURE_SIZE) // 2
    return np.pad(pictures, ((0, 0), (margin, margin), (margin, margin))), labels


def train_digits_clip(out: str | Path, seed: int = 0, epochs: int = 80) -> Trained:
    """Train the CLIP on the pictures of the training part; write it to the folder `out`.

    First the text tower alone learns which captions mean the same. Then the loss is CLIP's,
    symmetric, all pictures of a caption's class being right: cross-entropy of a picture over one
    caption of every class, and of a caption over the batch's pictures. The epoch with the best
    accuracy on the validation *pictures* (then the lowest loss) is kept. Neither test pictures nor
    events are used. Raises BadInput where `out` cannot be written or `epochs` is not positive.
    """
    out = Path(out)
    if epochs < 1:
        raise BadInput(f"epochs = {epochs}; at least 1 is needed")
    torch.manual_seed(seed)
    random = torch.Generator().manual_seed(seed)
    pictures, labels = pictures_on_sensor()
    train, validation, _ = digits_split()
    device = device_of()
    module = build_own_clip(CONFIG).to(device)
    clip = own_clip(module, CONFIG, "training", device)
    images = torch.from_numpy(pictures[train]).to(torch.float32) / 255
    targets = torch.from_numpy(labels[train])
    optimizer = _optimizer(module)
    _align_captions(clip, optimizer, random)
    optimizer = _optimizer(module)
    steps = -(-len(train) // BATCH)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer,
        LEARNING_RATE,
        total_steps=epochs * steps,
        pct_start=min(WARM_UP_EPOCHS / epochs, 0.3),
    )
    best: tuple[float, float] | None = None
    chosen = Trained(0, 0.0)
    bar = track(range(1, epochs + 1), desc="CLIP on pictures", unit="epoch")
    for epoch in bar:
        module.train()
        order = torch.randperm(len(train), generator=random)
        for batch in order.split(BATCH):
            loss = _loss(clip, augment(images[batch], random), targets[batch], random)
            optimizer.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(module.parameters(), 1.0)
            optimizer.step()
            schedule.step()
            with torch.no_grad():
                # CLIP's own limit on the temperature: logits are scaled by at most 100.
                module.logit_scale.clamp_(0, np.log(100))
        module.eval()
        right, loss_value = _validate(clip, pictures[validation], labels[validation])
        bar.set_postfix(validation=f"{100 * right:.1f} %")
        if best is None or (right, -loss_value) > best:
            best = (right, -loss_value)
            chosen = Trained(epoch, right)
            save_weights(Path(out) / WEIGHTS_FILE, module)
    learned, chose = (ids_of(map(digit_id, part)) for part in (train, validation))
    save_seen(Path(out), Seen.of(learned, chose))
    write_json(
        Path(out) / CONFIG_FILE,
        {
            "clip": CONFIG,
            "training": {
                "seed": seed,
                "epochs": epochs,
                "chosen_epoch": chosen.epoch,
                "validation_accuracy_on_pictures": chosen.validation,
            },
        },
    )
    return chosen


def _align_captions(clip: Clip, optimizer: torch.optim.Optimizer, random: torch.Generator) -> None:
    """Contrast two draws of captions: the same class is right, every other class is wrong."""
    clip.module.train()
    right = torch.arange(len(WORDS), device=clip.device)
    for _ in track(range(CAPTION_STEPS), desc="captions", unit="step"):
        tokens = clip.tokenize(_captions(random) + _captions(random)).to(clip.device)
        first, second = clip.module.encode_text(tokens, normalize=True).chunk(2)
        logits = _CAPTION_SCALE * first @ second.T
        loss = functional.cross_entropy(logits, right) + functional.cross_entropy(logits.T, right)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()


def _optimizer(module: nn.Module) -> torch.optim.Optimizer:
    matrices = [p for p in module.parameters() if p.ndim >= 2]
    vectors = [p for p in module.parameters() if p.ndim < 2]
    groups = [
        {"params": matrices, "weight_decay": WEIGHT_DECAY},
        {"params": vectors, "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, lr=LEARNING_RATE, betas=(0.9, 0.98))


def _loss(
    clip: Clip, gray: torch.Tensor, targets: torch.Tensor, random: torch.Generator
) -> torch.Tensor:
    captions = _captions(random)
    images = encoder_input(gray, clip, FrameOptions())
    image_features = clip.module.encode_image(images, normalize=True)
    text_features = clip.module.encode_text(clip.tokenize(captions).to(clip.device), normalize=True)
    logits = clip.module.logit_scale.exp() * image_features @ text_features.T
    targets = targets.to(clip.device)
    by_picture = functional.cross_entropy(logits, targets)
    right = functional.one_hot(targets, len(WORDS)).T.to(logits.dtype)
    present = right.sum(1) > 0
    share = right[present] / right[present].sum(1, keepdim=True)
    by_caption = functional.cross_entropy(logits.T[present], share)
    return (by_picture + by_caption) / 2


def _captions(random: torch.Generator) -> list[str]:
    """One caption per class: a random template, the label as a numeral or a word."""
    templates = torch.randint(len(CAPTIONS), (len(WORDS),), generator=random).tolist()
    as_word = torch.randint(2, (len(WORDS),), generator=random).tolist()
    return [
        CAPTIONS[template].replace("{}", WORDS[digit] if word else str(digit))
        for digit, (template, word) in enumerate(zip(templates, as_word, strict=True))
    ]


def _validate(
    clip: Clip, pictures: NDArray[np.uint8], labels: NDArray[np.int64]
) -> tuple[float, float]:
    text = encode_text(clip, DIGITS.class_names, DIGITS.template)
    scores = encode_frames(clip, pictures, FrameOptions()) @ text.T
    scale = float(clip.module.logit_scale.detach().exp())
    loss = functional.cross_entropy(torch.from_numpy(scale * scores), torch.from_numpy(labels))
    return accuracy(scores, labels).value, float(loss)
