"""Cards of event data sets: all that is known of one of them stands on its card and nowhere else.

A card of your own is one file: a `DatasetCard` that an installed package names as an entry point of
the group "neuroclip.datasets". It is looked for when a data set is opened, not before.
"""

from pathlib import Path

from deploy.errors import BadInput
from deploy.plugins import installed, loaded
from neuroclip.data.events.dataset import DatasetCard, EventDataset
from neuroclip.data.events.formats.aedat import SENSORS
from neuroclip.data.events.formats.mat import ASL_DVS_SIZE
from neuroclip.data.events.formats.nmnist import NCALTECH101_SIZE, NMNIST_HEIGHT, NMNIST_WIDTH
from neuroclip.data.events.formats.raw import Sensor
from neuroclip.data.events.frames import FrameOptions

GROUP = "neuroclip.datasets"
"""Entry points of this group are cards."""


def _digits(folder: Path, seed: int, sensor: Sensor | None) -> EventDataset:
    from neuroclip.data.events.digits import digits_dataset

    _refuse(sensor, "digits")
    return digits_dataset(DIGITS, seed)


def _es_imagenet(folder: Path, seed: int, sensor: Sensor | None) -> EventDataset:
    from neuroclip.data.events.es_imagenet import es_imagenet_dataset

    _refuse(sensor, "es-imagenet")
    return es_imagenet_dataset(ES_IMAGENET, folder, seed)


def _dvs_gesture(folder: Path, seed: int, sensor: Sensor | None) -> EventDataset:
    from neuroclip.data.events.dvs_gesture import dvs_gesture_dataset

    _refuse(sensor, "dvs128-gesture")
    return dvs_gesture_dataset(DVS_GESTURE, folder, seed)


def _refuse(sensor: Sensor | None, name: str) -> None:
    if sensor is not None:
        raise BadInput(f"--sensor {sensor[0]}x{sensor[1]}: the sensor of '{name}' is known")


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
    converted=r"\d{5}\.npz",
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
    converted=r"cifar10_[a-z]+_\d+\.npz",
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
# The classes of Caltech101 (Li et al. 2022), in their folders' spelling.
NCALTECH101 = DatasetCard(
    name="n-caltech101",
    folders=("n-caltech101", "N-Caltech101", "Caltech101", "NCaltech101"),
    class_names=(
        "BACKGROUND_Google", "Faces", "Faces_easy", "Leopards", "Motorbikes", "accordion",
        "airplanes", "anchor", "ant", "barrel", "bass", "beaver", "binocular", "bonsai", "brain",
        "brontosaurus", "buddha", "butterfly", "camera", "cannon", "car_side", "ceiling_fan",
        "cellphone", "chair", "chandelier", "cougar_body", "cougar_face", "crab", "crayfish",
        "crocodile", "crocodile_head", "cup", "dalmatian", "dollar_bill", "dolphin", "dragonfly",
        "electric_guitar", "elephant", "emu", "euphonium", "ewer", "ferry", "flamingo",
        "flamingo_head", "garfield", "gerenuk", "gramophone", "grand_piano", "hawksbill",
        "headphone", "hedgehog", "helicopter", "ibis", "inline_skate", "joshua_tree", "kangaroo",
        "ketch", "lamp", "laptop", "llama", "lobster", "lotus", "mandolin", "mayfly", "menorah",
        "metronome", "minaret", "nautilus", "octopus", "okapi", "pagoda", "panda", "pigeon",
        "pizza", "platypus", "pyramid", "revolver", "rhino", "rooster", "saxophone", "schooner",
        "scissors", "scorpion", "sea_horse", "snoopy", "soccer_ball", "stapler", "starfish",
        "stegosaurus", "stop_sign", "strawberry", "sunflower", "tick", "trilobite", "umbrella",
        "watch", "water_lilly", "wheelchair", "wild_cat", "windsor_chair", "wrench", "yin_yang",
    ),
    sensor=NCALTECH101_SIZE,
    suffixes=(".bin",),
    converted=r"image_\d{4}\.npz",
    fewest=3,
    mirrored=True,
)  # fmt: skip
NCARS = DatasetCard(
    name="n-cars",
    folders=("n-cars", "N-Cars", "NCARS", "Prophesee_Dataset_n_cars"),
    class_names=("background", "cars"),
    sensor=(120, 100),  # the largest cut-outs of Sironi et al. 2018
    cut_outs=True,
    suffixes=(".dat",),
    files=r"obj_\d+_td\.dat",
    mirrored=True,
)
# The words of gesture_mapping.csv (Amir et al. 2017); left and right are the signs of some.
DVS_GESTURE = DatasetCard(
    name="dvs128-gesture",
    folders=("dvs128-gesture", "DvsGesture", "DVSGesture", "DVS128Gesture", "DVS128 Gesture"),
    class_names=(
        "hand clapping", "right hand wave", "left hand wave", "right arm clockwise",
        "right arm counter clockwise", "left arm clockwise", "left arm counter clockwise", "arm roll",
        "air drums", "air guitar", "other gestures",
    ),
    numbers=tuple(str(number) for number in range(11)),
    sensor=SENSORS["dvs128"],
    suffixes=(".aedat",),
    files=r"user\d+_[a-z_]+\.aedat",
    converted=r"user\d+_[a-z_]+_\d+\.npz",
    fewest=3,
    marks=("trials_to_train.txt", "ibmGestureTrain"),
    template="a photo of a person doing the gesture {}.",
    opens=_dvs_gesture,
)  # fmt: skip
ASL_DVS = DatasetCard(
    name="asl-dvs",
    folders=("asl-dvs", "ASL-DVS", "ASLDVS", "ICCV2019_DVS_dataset"),
    class_names=tuple("abcdefghiklmnopqrstuvwxy"),
    sensor=ASL_DVS_SIZE,
    suffixes=(".mat",),
    files=r"[a-y]_\d+\.mat",
    converted=r"[a-y]_\d+\.npz",
    fewest=3,
    template='a photo of a hand that signs the letter "{}".',
)
_OURS = (NMNIST, DIGITS, CIFAR10_DVS, ES_IMAGENET, NCALTECH101, NCARS, DVS_GESTURE, ASL_DVS)


def cards() -> dict[str, DatasetCard]:
    """Every card by its name, those of installed packages behind ours.

    Raises BadInput for an entry point that cannot be loaded, is no card, or takes a name again.
    """
    known = {card.name: card for card in _OURS}
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
