"""`Options`: what a run was asked for, checked in Python exactly as on the command line."""

from dataclasses import dataclass
from math import isfinite
from pathlib import Path
from typing import get_args

from deploy.count.energy import load_coefficients
from deploy.emulate.trace import Record
from deploy.errors import BadInput
from deploy.hardware.chip import load_chip
from export.targets.table import find_target

# No chip takes so many watts to do nothing.
_MOST_WATTS = 1000
_POSITIVE = ("dt", "record_samples", "tries", "jobs", "timeout")


@dataclass(frozen=True)
class Options:
    """What a run was asked for; see `neuroclip-export --help`. Paths may be given as texts.

    Raises BadInput for a target that is not known and for every other value that cannot be.
    """

    target: str
    out: Path
    chip: str | None = None
    coefficients: str | None = None
    static_power: float | None = None
    ann_zeros: float | None = None
    neurobench: Path | None = None
    dt: float = 1e-4
    record: Record = "spikes"
    record_samples: int = 100
    strict: bool = False
    seed: int = 0
    tries: int = 1
    jobs: int = 1
    workers: str | None = None
    by_core: bool = False
    assumptions: bool = False
    stock: bool = False
    reader: str | None = None
    resume: bool = False
    lava_python: Path | None = None
    timeout: float = 600.0
    command: str = ""

    def __post_init__(self) -> None:
        object.__setattr__(self, "out", Path(self.out))
        for name in ("lava_python", "neurobench"):
            if (given := getattr(self, name)) is not None:
                object.__setattr__(self, name, Path(given))
        # Names are known before a model is read, which may take torch and minutes.
        if self.chip is not None:
            load_chip(self.chip)
        if self.coefficients is not None:
            load_coefficients(self.coefficients)
        target = find_target(self.target)
        if self.reader is not None and self.reader not in target.readers:
            known = f"only for {', '.join(target.readers)}" if target.readers else "for no reader"
            raise BadInput(f"--for {self.reader}: target '{self.target}' writes {known}")
        if not target.runs:
            for name in ("workers", "by_core", "assumptions", "neurobench"):
                if getattr(self, name):
                    raise BadInput(
                        f"--{name.replace('_', '-')}: target '{self.target}' runs nothing"
                    )
        if self.stock and not target.has_stock:
            raise BadInput(f"--stock: target '{self.target}' has no other arithmetic than its own")
        if self.record not in get_args(Record):
            raise BadInput(f"record '{self.record}' is none of {', '.join(get_args(Record))}")
        if self.static_power is not None and not 0 <= self.static_power < _MOST_WATTS:
            raise BadInput(
                f"--static-power {self.static_power}: expected 0 to {_MOST_WATTS} W a chip"
            )
        if self.ann_zeros is not None and not 0 <= self.ann_zeros <= 1:
            raise BadInput(f"--ann-zeros {self.ann_zeros}: expected a share from 0 to 1")
        for name in _POSITIVE:
            value = getattr(self, name)
            if not (isfinite(value) and value > 0):
                raise BadInput(f"{name} {value} is not positive")
