"""Training a network of a person's own: in floating point, then on the arithmetic of the chip.

Their module learns as it is, by its own surrogate gradients; what `to_chip` makes of it then goes on from
its weights on exactly the integers that are deployed. Cross-entropy on what answers: spikes counted over
all steps, or a potential after the last. The epoch that is kept is the best on validation samples.
"""

import hashlib
import json
from collections.abc import Callable, Mapping
from copy import deepcopy
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from deploy.errors import BadInput
from deploy.neurons.edges import SYNAPTIC_SUM_MAX
from neuroclip.chip.network import ChipNetwork
from neuroclip.chip.neurons import Messages as Sent
from neuroclip.chip.neurons import run
from neuroclip.chip.synapses import ChipLinear
from neuroclip.convert.answer import Answer, answer_of
from neuroclip.convert.snntorch import Understood, understood
from neuroclip.convert.watch.layout import Layout
from neuroclip.data.spikes import Messages
from neuroclip.storage.weights import weights_digest
from neuroclip.training.adamw import fit
from neuroclip.training.loop import Session, Stage

# Of the training samples, how many a module is run on to see what it does.
RUN_ON = 4
Classes = NDArray[np.int64]
Scores = Callable[[Sent], Tensor]
_EVALUATION_BATCH = 64


@dataclass(frozen=True)
class Recipe:
    """How to train. epochs, learning_rate: of the module in floating point; quantized_epochs,
    quantized_learning_rate: of the chip network that starts from it. Of either, 0 epochs leave the weights
    as they are. Raises BadInput for a value that cannot be.
    """

    epochs: int = 20
    quantized_epochs: int = 10
    learning_rate: float = 2e-3
    quantized_learning_rate: float = 5e-4
    weight_decay: float = 1e-4
    batch: int = 32
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("epochs", "quantized_epochs"):
            if getattr(self, name) < 0:
                raise BadInput(f"training: {name} {getattr(self, name)} is negative")
        if self.batch < 1:
            raise BadInput(f"training: batch {self.batch} is not positive")
        for name in ("learning_rate", "quantized_learning_rate"):
            if not 0 < getattr(self, name) < 10:
                raise BadInput(f"training: {name} {getattr(self, name):g} is not between 0 and 10")


@dataclass(frozen=True, eq=False)
class Examples:
    """sent: of each input integers [N, T, *shape]; labels: int64 [N]; digest: of both, as text."""

    sent: Mapping[str, Tensor]
    labels: Tensor
    digest: str

    @staticmethod
    def of(messages: Messages) -> "Examples":
        """Examples of labelled messages."""
        assert messages.labels is not None
        content = hashlib.sha256(messages.labels.tobytes())
        for name, sent in sorted(messages.inputs.items()):
            content.update(f"{name} {sent.shape} {sent.dtype}".encode())
            content.update(np.ascontiguousarray(sent).data)
        return Examples(tensors(messages), torch.from_numpy(messages.labels), content.hexdigest())


def tensors(messages: Messages) -> dict[str, Tensor]:
    """The messages of each input as torch has them, of the type that they have."""
    return {n: torch.from_numpy(np.ascontiguousarray(x)) for n, x in messages.inputs.items()}


@dataclass(frozen=True, eq=False)
class Trained:
    """module: in its best epoch; quantized: the chip network as it was made of it; chip: the same after
    training on its own arithmetic. answer: of the module. history: one entry per epoch."""

    module: nn.Module
    quantized: ChipNetwork
    chip: ChipNetwork
    answer: Answer
    history: list[dict[str, Any]]


def train_network(
    model: nn.Module, recipe: Recipe, train: Examples, validation: Examples, classes: int,
    read: Callable[[nn.Module], Understood], device: torch.device, session: Session,
) -> Trained:  # fmt: skip
    """Train a module and the chip network that `read` makes of it; the same seed gives the same weights.

    Raises BadInput where the module cannot become a chip network, before it is trained, has nothing to
    learn, or has fewer neurons that answer than there are classes.
    """
    if not any(p.requires_grad for p in model.parameters()):
        raise BadInput("model: it has no parameters that training could change")
    answer = answer_of(require_classes(read(model), classes))
    history = []
    if recipe.epochs:
        stage = _stage(
            "float", recipe, recipe.epochs, recipe.learning_rate, model, train, validation
        )
        model.to(device)
        history += _fit(
            stage,
            model,
            lambda sent: answer.scores(model, sent),
            train,
            validation,
            device,
            session,
        )
        model.cpu()
    quantized = read(model.eval()).network()
    largest = [int(sent.abs().max()) for sent in train.sent.values()]
    tuned = _Tuned(deepcopy(quantized), dict(zip(quantized.inputs, largest, strict=True)))
    if recipe.quantized_epochs:
        stage = _stage(
            "quantized", recipe, recipe.quantized_epochs, recipe.quantized_learning_rate, tuned, train,
            validation,
        )  # fmt: skip
        tuned.to(device)
        history += _fit(
            stage,
            tuned,
            lambda sent: chip_scores(tuned.network, sent),
            train,
            validation,
            device,
            session,
        )
        tuned.cpu()
    return Trained(model.eval(), quantized.eval(), tuned.network.eval(), answer, history)


def read_module(
    model: nn.Module, messages: Messages, layout: Layout | None, output: str | None, seed: int
) -> Understood:
    """A module as it is read on the first of the samples that it is for. Raises BadInput as `to_chip`."""
    largest = max(int(np.abs(x.astype(np.int64)).max()) for x in messages.inputs.values())
    few: Any = messages.first(RUN_ON).inputs
    sample = few if len(few) > 1 else next(iter(few.values()))
    return understood(
        model, sample, message_max=max(1, largest), layout=layout, output=output, seed=seed
    )


def as_shown(messages: Messages, read: Understood) -> Messages:
    """The messages as the chip is sent them: those of a forward that shows one frame again and again are
    repeated. Raises BadInput where they change, or have another number of steps."""
    if read.graph.observation.layout != "static":
        return messages
    steps = read.graph.observation.steps
    shown = {}
    for name, x in messages.inputs.items():
        if x.shape[1] not in (1, steps) or (x != x[:, :1]).any():
            raise BadInput(
                f"'{name}' of the shape {x.shape}: the forward shows its input at each of its {steps} "
                f"steps; give it once, [samples, 1, ...]"
            )
        shown[name] = x if x.shape[1] == steps else np.repeat(x, steps, axis=1)
    return replace(messages, inputs=shown)


def require_classes(read: Understood, classes: int) -> Understood:
    """The same. Raises BadInput where fewer neurons answer than there are classes."""
    first = read.read[0].name
    size = int(torch.Size(read.graph.populations[first].shape).numel())
    if size < classes:
        raise BadInput(
            f"output '{first}': {size} neurons answer, and the data have {classes} classes; "
            "labels must be smaller than the number of neurons"
        )
    return read


def chip_scores(network: ChipNetwork, sent: Sent) -> Tensor:
    """Messages [N, T, *shape], of several inputs by name → scores [N, neurons] of the first output."""
    found = run(network, sent)
    first = found[0] if isinstance(found, tuple) else found
    neuron = network.neuron(network.outputs[0])
    if neuron.kind == "integrator":
        potential: Tensor = first[:, -1] / neuron.unit
        return potential.flatten(1)
    return first.sum(dim=1).flatten(1)


@torch.no_grad()
def predictions(scores: Scores, sent: Mapping[str, Tensor], device: torch.device) -> Classes:
    """The class of each sample, int64 [N]: of equal scores the first, as everywhere."""
    count = len(next(iter(sent.values())))
    parts = [
        scores(_given(sent, slice(start, start + _EVALUATION_BATCH), device)).cpu().numpy()
        for start in range(0, count, _EVALUATION_BATCH)
    ]
    return np.concatenate(parts).argmax(axis=1).astype(np.int64)


def _given(sent: Mapping[str, Tensor], where: Any, device: torch.device) -> Sent:
    """Some samples as a network takes them: those of an only input as they are."""
    found = {name: x[where].to(device, torch.float32) for name, x in sent.items()}
    return found if len(found) > 1 else next(iter(found.values()))


class _Tuned(nn.Module):
    """A chip network that is trained on within the sums that are proven. largest: message of each input."""

    def __init__(self, network: ChipNetwork, largest: Mapping[str, int]) -> None:
        super().__init__()
        self.network = network
        self.rooms: dict[str, float] = {}
        for name in network.order:
            sums, total = {}, 0.0
            for wire in network.wires:
                synapses = network.get_submodule(wire.name)
                if wire.target == name and isinstance(synapses, ChipLinear):
                    sums[wire.name] = _largest_sum(synapses)
                    total += sums[wire.name] * largest.get(wire.source, 1)
            # All may grow until what is proven is reached, each by its share.
            self.rooms |= {n: SYNAPTIC_SUM_MAX * own / total for n, own in sums.items() if own}

    def constrain_(self) -> None:
        """Keep every neuron's Σ|W| within what is proven for it."""
        for name, room in self.rooms.items():
            synapses = self.network.get_submodule(name)
            assert isinstance(synapses, ChipLinear)
            synapses.constrain_(room)


def _largest_sum(synapses: ChipLinear) -> float:
    return float(synapses.integer_weight().detach().abs().flatten(1).sum(dim=1).max())


def _fit(
    stage: Stage, module: nn.Module, scores: Scores, train: Examples,
    validation: Examples, device: torch.device, session: Session,
) -> list[dict[str, Any]]:  # fmt: skip
    def loss_of(index: Tensor) -> Tensor:
        here = index.cpu()
        found = scores(_given(train.sent, here, device)).float()
        return nn.functional.cross_entropy(found, train.labels[here].to(device))

    def evaluate() -> dict[str, Any]:
        right = predictions(scores, validation.sent, device) == validation.labels.numpy()
        return {"validation": float(right.mean())}

    return fit(stage, module, len(train.labels), loss_of, evaluate, session)


def _stage(
    name: str, recipe: Recipe, epochs: int, rate: float, module: nn.Module, *data: Examples
) -> Stage:
    # A module's own random start is part of which training it is; so is what it was made of.
    start = weights_digest(module)
    identity = json.dumps([asdict(recipe), start, *(examples.digest for examples in data)])
    return Stage(
        name, epochs, rate, recipe.weight_decay, recipe.batch, recipe.seed, identity,
        # Batch normalisation has no variance of a single sample.
        smallest_batch=min(2, len(data[0].labels)),
    )  # fmt: skip
