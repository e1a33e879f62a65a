"""The data of a network of one's own: recordings, loaders, spikes; what answers; how scales are chosen."""

from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")
snn = pytest.importorskip("snntorch")
from torch import nn
from torch.utils.data import DataLoader, Subset, TensorDataset

import neuroclip as nc
from deploy.errors import BadInput
from deploy.files import read_json
from export.commands.main import main
from export.frontends.float_graph import float_graph
from export.graph.simulate import simulate
from neuroclip.convert.answer import answer_of
from neuroclip.convert.snntorch import understood
from neuroclip.network.loader import loader_arrays

KEPT = {"reset_mechanism": "zero", "reset_delay": False, "init_hidden": True}
IMAGES = """
import snntorch as snn
from torch import nn

KEPT = {"reset_mechanism": "zero", "reset_delay": False, "init_hidden": True}
net = nn.Sequential(
    nn.Conv2d(2, 3, 3, stride=2), snn.Leaky(0.7, threshold=0.4, **KEPT), nn.Flatten(),
    nn.Linear(3 * 8 * 8, 10), snn.Leaky(0.8, threshold=0.3, **KEPT, output=True),
)
"""


def dense() -> nn.Sequential:
    torch.manual_seed(3)
    return nn.Sequential(
        nn.Linear(6, 8), snn.Leaky(0.8, threshold=0.3, **KEPT), nn.Linear(8, 3),
        snn.Leaky(0.9, threshold=0.2, **KEPT, output=True),
    )  # fmt: skip


@pytest.fixture
def spikes() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 2, (14, 5, 6), np.int8)


def test_recordings_become_frames_of_the_shape_that_the_network_takes(
    recordings_folder: Path, tmp_path: Path
) -> None:
    (tmp_path / "net.py").write_text(IMAGES)
    arguments = [f"{tmp_path / 'net.py'}:net", "--data", str(recordings_folder), "--frame-ms", "0.06",
                 "--steps", "2", "--target", "emulator", "--out", str(tmp_path / "out")]  # fmt: skip
    assert main(arguments) == 0
    report = read_json(tmp_path / "out" / "report.json")
    assert report["samples"] == 20 and report["timesteps"] == 2, "its own test part"
    assert "event frames (2 of 0.06 ms, counts, pooled 2×2)" in report["placement"]["host"]
    assert report["predictions"]["labels"] == [str(label) for label in range(10)]
    assert report["accuracy"]["float"]["total"] == 20
    labels = [first["label"] for first in report["predictions"]["first"]]
    assert sorted(labels) == sorted(2 * list(range(10))) and labels != sorted(labels)
    calibrated = [
        *arguments[:-1],
        str(tmp_path / "calibrated"),
        "--calibrate",
        str(recordings_folder),
    ]
    assert main(calibrated) == 0
    report = read_json(tmp_path / "calibrated" / "report.json")
    assert report["samples"] == 20 and report["quantization"]["calibration_samples"] == 20
    assert min(report["quantization"]["calibration_positions"]) == 20
    assert report["accuracy"]["float"]["total"] == report["accuracy"]["quantized"]["total"] == 20


def test_a_loader_gives_what_arrays_give(spikes: np.ndarray, tmp_path: Path) -> None:
    labels = np.arange(14) % 3
    data = TensorDataset(torch.from_numpy(spikes), torch.from_numpy(labels))
    data.classes = ["a", "b", "c"]  # type: ignore[attr-defined]

    def time_first(items: list) -> tuple:
        return torch.stack([x for x, _ in items], 1), torch.stack([y for _, y in items])

    for given in (
        data,
        Subset(data, range(14)),
        DataLoader(data, 4),
        DataLoader(data, 4, collate_fn=time_first),
    ):
        found = loader_arrays(given)
        assert np.array_equal(found["spikes"], spikes) and np.array_equal(found["labels"], labels)
        assert found["class_names"].tolist() == ["a", "b", "c"]
    report = nc.export(dense(), DataLoader(data, 4), out=tmp_path / "out")
    same = nc.export(dense(), spikes, labels, out=tmp_path / "same")
    assert report.json["data_sha256"] == same.json["data_sha256"]
    assert report.json["predictions"]["labels"] == ["a", "b", "c"]
    assert report.accuracy["float"] == same.accuracy["float"] != None  # noqa: E711


@pytest.mark.parametrize(
    ("items", "says"),
    [
        ([torch.zeros(5, 6)], "item 0 is a Tensor, expected"),
        ([(torch.zeros(5, 6), 0.5)], "labels of type float"),
        ([(torch.zeros(5, 6), 0), (torch.zeros(4, 6), 1)], "pad or cut"),
        ([], "it gives no samples"),
    ],
)
def test_what_is_no_sample_of_a_loader_is_refused(items: list, says: str) -> None:
    class Items(torch.utils.data.Dataset):
        def __len__(self) -> int:
            return len(items)

        def __getitem__(self, index: int) -> object:
            return items[index]

    with pytest.raises(BadInput, match=says):
        loader_arrays(Items())


def test_which_axis_is_time_is_not_guessed(spikes: np.ndarray) -> None:
    data = TensorDataset(torch.from_numpy(spikes[:10]), torch.arange(10))
    with pytest.raises(BadInput, match="which axis is time is not told"):
        loader_arrays(DataLoader(data, 5))


def test_what_answers_and_how_it_is_called_can_be_said(spikes: np.ndarray, tmp_path: Path) -> None:
    report = nc.export(dense(), spikes, np.arange(14) % 3, output="1", layout="step", out=tmp_path)
    assert report.program.outputs[0].source == "1"
    with pytest.raises(BadInput, match="layout 'sideways' is none of step, batch-first"):
        nc.export(dense(), spikes, layout="sideways", out=tmp_path)
    with pytest.raises(BadInput, match=r"labels: 8 of sample 8, and the 3 neurons of '3'"):
        nc.export(dense(), spikes, np.arange(14) % 9, out=tmp_path)
    np.save(tmp_path / "s.npy", spikes)
    (tmp_path / "net.py").write_text(IMAGES)
    assert main(["graph.nir", "--layout", "step", "--data", "x", "--target", "emulator"]) == 2


def _answers(seed: int) -> tuple[nn.Module, np.ndarray]:
    """A random network of the kinds that a graph holds, and spikes for it."""
    rng = np.random.default_rng(seed)
    torch.manual_seed(seed)
    kinds = [
        lambda: snn.Leaky(float(rng.uniform(0, 1)), threshold=0.3, **KEPT),
        lambda: snn.Synaptic(0.6, 0.8, threshold=0.3, **KEPT),
        lambda: snn.RLeaky(0.8, linear_features=8, threshold=0.3, **KEPT),
    ]
    last = [
        snn.Leaky(0.9, threshold=0.2, **KEPT, output=True),
        snn.Leaky(1.0, reset_mechanism="none", init_hidden=True, output=True),
    ]
    hidden = kinds[seed % 3]()
    model = nn.Sequential(
        nn.Linear(6, 8, bias=not isinstance(hidden, snn.Synaptic) or bool(seed % 2)), hidden,
        nn.Linear(8, 3), last[seed % 2],
    )  # fmt: skip
    return model.eval(), rng.integers(0, 3, (5, 9, 6), np.int8)


@pytest.mark.parametrize("seed", range(12))
def test_the_float_graph_answers_as_the_module_does(seed: int) -> None:
    """In float64 there and float32 here: every class, and every score up to rounding."""
    model, sent = _answers(seed)
    read = understood(model, sent, message_max=2)
    graph = float_graph(read)
    trace = simulate(graph, {graph.inputs[0].name: sent})
    with torch.no_grad():
        scores = answer_of(read).scores(model, torch.from_numpy(sent).float()).numpy()
    name = graph.readouts[0].source
    found = trace.readout[name] if name in trace.readout else trace.s[name].sum(axis=1)
    assert np.allclose(found, scores, atol=1e-4)
    assert scores.std() > 0.1


def test_calibration_quantizes_the_module_and_says_what_it_lost(
    spikes: np.ndarray, tmp_path: Path
) -> None:
    labels = np.arange(14) % 3
    report = nc.export(dense(), spikes, labels, calibrate=spikes, out=tmp_path)
    assert report.ok and report.json["samples"] == 11
    found = report.json["quantization"]
    assert found["calibration_samples"] == 3 and set(found["nodes"]) == {"1", "3"}
    assert found["calibration_positions"] == [11, 12, 13]
    assert report.accuracy["float"]["total"] == 11
    whole = nc.export(dense(), spikes[:11], labels[:11], out=tmp_path)
    assert whole.accuracy["float"] == report.accuracy["float"]
    with pytest.raises(BadInput, match="holds integers"):
        from neuroclip.convert.snntorch import to_chip

        nc.export(to_chip(dense()), spikes, calibrate=spikes, out=tmp_path)


class Shown(nn.Module):
    """One picture for all of its steps."""

    def __init__(self) -> None:
        super().__init__()
        self.fc, self.lif = nn.Linear(6, 3), snn.Leaky(0.5, threshold=0.25, **KEPT)
        # What the chip holds exactly: both must answer alike.
        for parameter in self.fc.parameters():
            parameter.data = torch.round(16 * parameter.data) / 16

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.stack([self.lif(self.fc(x)) for _ in range(7)])


def test_one_picture_for_all_steps_is_repeated(spikes: np.ndarray, tmp_path: Path) -> None:
    torch.manual_seed(0)
    report = nc.export(Shown(), spikes[:, :1], np.arange(14) % 3, out=tmp_path)
    assert report.ok and report.json["timesteps"] == 7
    assert report.accuracy["float"] == report.accuracy["quantized"]
    with pytest.raises(BadInput, match=r"shows its input at each of its 7 steps; give it once"):
        nc.export(Shown(), spikes, layout="static", out=tmp_path)
