"""The target `emulator`: our own, bit-accurate, which runs whatever the target."""

from export.targets.target import Target


class Emulator(Target):
    """Nothing beside the emulator, to which every other target is compared."""

    name = "emulator"
    help = "our own bit-accurate emulator; it needs neither torch nor Lava"
