"""What a spiking adapter is held against: linear probe, Tip-Adapter, CLIP-Adapter, time weights.

All work on frame features [N, T, C] of a frozen CLIP and its text features, and choose what is to be
chosen on validation recordings only.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

# Zhang et al. 2022 (Tip-Adapter) search both on validation data; these span their released grids.
_TIP_ALPHAS = (0.5, 1.0, 2.0, 3.0, 5.0, 8.0)
_TIP_BETAS = (0.5, 1.0, 2.0, 3.5, 5.5, 8.0)
# Inverse strengths of the probe's weight decay: the span that CLIP's own paper sweeps.
_PROBE_STRENGTHS = (1e-3, 1e-2, 1e-1, 1.0, 1e1, 1e2)


@dataclass(frozen=True)
class ClipAdapterConfig:
    """CLIP-Adapter's sizes (Gao et al. 2021): a bottleneck of C/4, a share of 0.2 for its output."""

    features: int
    reduction: int = 4
    blend: float = 0.2


class ClipAdapter(nn.Module):
    """CLIP-Adapter (Gao et al. 2021), an ANN without spikes or time: the mean frame feature x becomes

        blend·ReLU(W2·ReLU(W1·x)) + (1 − blend)·x

    text: L2-normalised text features [labels, C] that the scores compare with.
    """

    def __init__(self, config: ClipAdapterConfig, text: Tensor) -> None:
        super().__init__()
        self.config = config
        self.register_buffer("text", text.detach().clone().to(torch.float32))
        hidden = max(1, config.features // config.reduction)
        self.down = nn.Linear(config.features, hidden, bias=False)
        self.up = nn.Linear(hidden, config.features, bias=False)

    def scores(self, features: Tensor) -> Tensor:
        """Cosines [N, labels] of L2-normalised features [N, T, C]."""
        x = functional.normalize(features.mean(dim=1), dim=-1)
        adapted = self.up(self.down(x).relu()).relu()
        blended = self.config.blend * adapted + (1 - self.config.blend) * x
        return functional.normalize(blended, dim=-1) @ self.text.T

    def constrain_(self) -> None:
        """Nothing to keep: floating point has no registers."""


def linear_probe(
    train: Tensor, train_labels: Tensor, validation: Tensor, validation_labels: Tensor, test: Tensor
) -> Tensor:
    """Scores [N, classes] of a logistic regression on mean frame features (CLIP's linear probe).

    train, validation, test: features [N, T, C]. Its weight decay is the best of six on validation.
    """
    from sklearn.linear_model import LogisticRegression

    def mean(features: Tensor) -> Tensor:
        return functional.normalize(features.mean(dim=1), dim=-1).double().numpy()

    best, chosen = -1.0, None
    for strength in _PROBE_STRENGTHS:
        probe = LogisticRegression(C=strength, max_iter=2000).fit(mean(train), train_labels.numpy())
        right = float(probe.score(mean(validation), validation_labels.numpy()))
        if right > best:
            best, chosen = right, probe
    assert chosen is not None
    return torch.from_numpy(chosen.decision_function(mean(test)))


def tip_adapter(
    train: Tensor,
    train_labels: Tensor,
    validation: Tensor,
    validation_labels: Tensor,
    test: Tensor,
    text: Tensor,
    temperature: float,
) -> Tensor:
    """Scores [N, classes] of Tip-Adapter (Zhang et al. 2022), which trains nothing:

        temperature·x·textᵀ + α·exp(−β·(1 − x·trainᵀ))·onehot(labels)

    with α and β the best on validation. Features as `linear_probe` takes them.
    """
    keys = functional.normalize(train.mean(dim=1), dim=-1)
    values = functional.one_hot(train_labels, len(text)).to(keys.dtype)

    def scores(features: Tensor, alpha: float, beta: float) -> Tensor:
        x = functional.normalize(features.mean(dim=1), dim=-1)
        cached = torch.exp(-beta * (1 - x @ keys.T)) @ values
        return temperature * x @ text.T + alpha * cached

    def right(alpha: float, beta: float) -> float:
        found = scores(validation, alpha, beta).argmax(dim=1) == validation_labels
        return float(found.double().mean())

    grid = [(alpha, beta) for alpha in _TIP_ALPHAS for beta in _TIP_BETAS]
    return scores(test, *max(grid, key=lambda pair: right(*pair)))


def learned_time_weights(
    train: Tensor, train_labels: Tensor, text: Tensor, temperature: float, steps: int = 200
) -> Tensor:
    """Weights of the time steps [T], positive and of mean 1, for the zero-shot mean of cosines.

    They minimise the cross-entropy of the training recordings; the authors' release searched theirs
    on the test set. text: [labels, C].
    """
    cosines = temperature * train @ text.T
    free = torch.zeros(train.shape[1], requires_grad=True)
    optimizer = torch.optim.Adam([free], lr=0.05)
    for _ in range(steps):
        weights = free.softmax(dim=0)
        loss = functional.cross_entropy((weights[:, None] * cosines).sum(dim=1), train_labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return (free.softmax(dim=0) * len(free)).detach()
