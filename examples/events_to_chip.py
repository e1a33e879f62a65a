"""From event files to a chip report, cell by cell (`# %%`), or as a script:

    python examples/events_to_chip.py [DATA [OUT [emulator|lava [EPOCHS]]]]

DATA: the bundled "digits", or a folder in the layout of N-MNIST, CIFAR10-DVS or ES-ImageNet.
"""

# %% What to use
import sys
from pathlib import Path

import numpy as np
import torch

import neuroclip as nc
from neuroclip.adapter.checkpoint import Checkpoint, save_checkpoint
from neuroclip.adapter.model import AdapterConfig
from neuroclip.adapter.train import Examples, Recipe, train_adapter
from neuroclip.clip.features import dataset_features
from neuroclip.clip.model import encode_text, load_clip
from neuroclip.clip.spec import ClipSpec
from neuroclip.clip.variants import variant_features
from neuroclip.clip.zero_shot import accuracy, zero_shot_scores
from neuroclip.data.events.catalogue import few_shot, open_dataset
from neuroclip.data.events.frames import frames

given = dict(enumerate(sys.argv[1:]))
DATA, OUT = given.get(0, "digits"), Path(given.get(1, "runs/events-to-chip"))
TARGET, EPOCHS = given.get(2, "emulator"), int(given.get(3, 250))
SEED = 0

# %% Recordings: read one at a time; a data set never lies in memory as a whole
dataset = open_dataset(DATA, SEED)
recording = dataset.load(int(dataset.test[0]))
print(f"{dataset.name}: {len(dataset)} recordings of {len(dataset.class_names)} classes")
print(f"one of them: {len(recording.t)} events on {recording.width} × {recording.height} pixels")

# %% Frames: slices of the events, as gray pictures that CLIP can look at
options = dataset.card.frames
pictures = frames(recording, options)
print(f"frames {pictures.shape}, gray values {sorted({int(g) for g in np.unique(pictures)})}")

# %% Zero-shot: what the pictures and the words of the labels have in common
spec = ClipSpec()  # the bundled CLIP; ClipSpec("ViT-B-32", "openai") where it can be downloaded
clip = load_clip(spec)
template = dataset.card.template
text = encode_text(clip, dataset.class_names, template)
test = dataset_features(clip, dataset, dataset.test, options)
truth = dataset.labels[dataset.test]
print(f"zero-shot: {accuracy(zero_shot_scores(test, text), truth)}")

# %% Few-shot: a small spiking adapter, in floating point and then on the chip's integers
SHOTS = min(16, int(np.bincount(dataset.labels[dataset.train]).min()))
chosen = few_shot(dataset, SHOTS, SEED)
shots = variant_features(clip, dataset, chosen, options, variants=4, seed=SEED)
validation = dataset_features(clip, dataset, dataset.validation, options)
config = AdapterConfig(features=text.shape[1], hidden=text.shape[1] // 2, steps=options.steps)
recipe = Recipe(epochs=EPOCHS, quantized_epochs=max(1, EPOCHS // 3), seed=SEED)
trained = train_adapter(
    config,
    recipe,
    Examples.of(shots, dataset.labels[chosen]),
    Examples.of(validation, dataset.labels[dataset.validation]),
    torch.from_numpy(text),
)
with torch.no_grad():
    scores = trained.chip_adapter.scores(torch.from_numpy(test)).numpy()
print(f"{SHOTS} shots, on the chip's integers: {accuracy(scores, truth)}")

# %% A checkpoint: safetensors and a JSON file
checkpoint = Checkpoint(
    spec, clip.digest, options, dataset.class_names, template,
    trained.float_adapter, trained.chip_adapter, {"shots": SHOTS},
)  # fmt: skip
save_checkpoint(OUT / "checkpoint", checkpoint)

# %% The chip: NIR, integers, cores, every spike compared, counts and energy
report = nc.export(
    OUT / "checkpoint", DATA, samples=50, target=TARGET, out=OUT / "report", seed=SEED
)
print(report)
if not report.ok:
    raise SystemExit(1)
