"""A convolutional network of the tutorials' size for N-MNIST: from here to a chip in two commands.

    neuroclip train network examples/nmnist_network.py:Net --data path/to/N-MNIST \\
        --frame-ms 25 --steps 12 --out runs/nmnist
    neuroclip-export runs/nmnist --data path/to/N-MNIST --target lava --samples 10 --out runs/nmnist-lava

Any folder of N-MNIST's layout will do, a part of it too.
"""

import snntorch as snn
import torch
from torch import nn

# A chip's neuron is set to zero in the step in which it fires.
LEAKY = {"beta": 0.8, "reset_mechanism": "zero", "reset_delay": False}


class Net(nn.Module):
    """Event counts [N, T, 2, 34, 34] → spikes of ten classes at each step."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(2, 12, 5)
        self.lif1 = snn.Leaky(**LEAKY)
        self.conv2 = nn.Conv2d(12, 32, 5)
        self.lif2 = snn.Leaky(**LEAKY)
        self.pool = nn.MaxPool2d(2)
        self.fc = nn.Linear(32 * 5 * 5, 10)
        self.lif3 = snn.Leaky(**LEAKY)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        mem1, mem2, mem3 = self.lif1.init_leaky(), self.lif2.init_leaky(), self.lif3.init_leaky()
        spikes = []
        for t in range(x.shape[1]):
            spk1, mem1 = self.lif1(self.conv1(x[:, t]), mem1)
            spk2, mem2 = self.lif2(self.conv2(self.pool(spk1)), mem2)
            spk3, mem3 = self.lif3(self.fc(self.pool(spk2).flatten(1)), mem3)
            spikes.append(spk3)
        return torch.stack(spikes, dim=1)
