"""Cards of event data sets: all that is known of one of them stands on its card and nowhere else.

A card of your own is one file: a `DatasetCard` that an installed package names as an entry point of
the group "neuroclip.datasets". It is looked for when a data set is opened, not before.
"""

from pathlib import Path

from deploy.errors import BadInput
from deploy.plugins import installed, loaded
from neuroclip.data.events.dataset import DatasetCard, EventDataset
from neuroclip.data.events.formats.aedat import SENSORS
from neuroclip.data.events.formats.nmnist import NMNIST_HEIGHT, NMNIST_WIDTH
from neuroclip.data.events.frames import FrameOptions

GROUP = "neuroclip.datasets"
"""Entry points of this group are cards."""


def _digits(folder: Path, seed: int) -> EventDataset:
    from neuroclip.data.events.digits import digits_dataset

    return digits_dataset(seed)


def _es_imagenet(folder: Path, seed: int) -> EventDataset:
    from neuroclip.data.events.es_imagenet import es_imagenet_dataset

    return es_imagenet_dataset(folder, seed)


# Prompts, the threshold of CIFAR10-DVS and the mirror (which makes other signs of digits): NeuroCLIP
# (Guo, Chen, Ma 2023, arXiv 2306.12073, public code). Framings of the digits and of N-MNIST: the best
# slicing, rendering and threshold with the bundled CLIP on validation recordings, before any test
# recording was looked at: digits 184 of 297 (the paper's own: 171), N-MNIST 26 of 40 (the paper's: 18).
NMNIST = DatasetCard(
    name="nmnist",
    folders=("nmnist", "NMNIST", "N-MNIST"),
    class_names=tuple(str(digit) for digit in range(10)),
    sensor=(NMNIST_WIDTH, NMNIST_HEIGHT),  # Orchard et al. 2015
    suffixes=(".bin", ".bs2"),
    template='A black and white photo of the Arabic numeral number: "{}".',
    frames=FrameOptions(slicing="time", rendering="intensity"),
)
# What the bundled camera makes of digits is what N-MNIST's recordings are.
DIGITS = DatasetCard(
    name="digits",
    class_names=NMNIST.class_names,
    sensor=NMNIST.sensor,
    template=NMNIST.template,
    frames=FrameOptions(slicing="time", rendering="polarity", threshold=1),
    pictures=True,
    opens=_digits,
    bundled=True,
)
CIFAR10_DVS = DatasetCard(
    name="cifar10dvs",
    folders=("cifar10dvs", "CIFAR10DVS", "CIFAR10-DVS"),
    class_names=(
        "airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck",
    ),
    sensor=SENSORS["dvs128"],  # Li et al. 2017
    suffixes=(".aedat",),
    # Folders of cats and dogs alone are many things.
    fewest=3,
    template="A low quality stick figure of the object {}.",
    frames=FrameOptions(threshold=1),
    mirrored=True,
)  # fmt: skip
ES_IMAGENET = DatasetCard(
    name="es-imagenet",
    folders=("es-imagenet", "ES-ImageNet", "ES-imagenet-0.18"),
    marks=("trainlabel.txt", "vallabel.txt"),
    template="A low quality point cloud image of {}.",
    # The eight steps that the files' time counts.
    frames=FrameOptions(steps=8, slicing="time"),
    mirrored=True,
    opens=_es_imagenet,
)


def cards() -> dict[str, DatasetCard]:
    """Every card by its name, those of installed packages behind ours.

    Raises BadInput for an entry point that cannot be loaded, is no card, or takes a name again.
    """
    known = {card.name: card for card in (NMNIST, DIGITS, CIFAR10_DVS, ES_IMAGENET)}
    for entry in installed(GROUP):
        card = loaded(entry, DatasetCard)
        if card.name in known:
            raise BadInput(
                f"entry point '{card.name}' of {GROUP}: there is another data set so called"
            )
        known[card.name] = card
    return known


def card_of(name: str) -> DatasetCard:
    """The card of a name. Raises BadInput where there is none."""
    known = cards()
    if name not in known:
        raise BadInput(f"no data set '{name}' is known, only {', '.join(known)}")
    return known[name]
