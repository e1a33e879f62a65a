"""Every bug stepped around is still there; a test that fails says that upstream is right now."""

import io
import re
from pathlib import Path
from typing import Any

import nir
import numpy as np
import pytest

h5py = pytest.importorskip("h5py")

from export.nir_format.read.file import read_nir
from export.nir_format.upstream_bugs import in_order, trace
from neuroclip.storage.supervised import Died, supervised

LIF = nir.LIF(*(np.full(2, x) for x in (2e-4, 2.0, 0.0, 3.0, 0.0)))


def conv(groups: int = 1) -> nir.Conv2d:
    return nir.Conv2d((10, 10), np.ones((2, 2 // groups, 3, 5)), 1, 0, 1, groups, np.zeros(2))


def conv_height() -> None:
    assert conv().output_type["output"].tolist() == [2, 8, 8]  # torch: 2, 8, 6


def conv_groups() -> None:
    assert conv(groups=2).input_type["input"].tolist() == [1, 10, 10]  # torch: 2, 10, 10


def exported(kind: str, **options: Any) -> Any:
    """snntorch's node of one of its modules."""
    snn = pytest.importorskip("snntorch")
    from snntorch.export_nir import _extract_snntorch_module

    return _extract_snntorch_module(getattr(snn, kind)(**options))


def scalar_type() -> None:
    assert exported("Synaptic", alpha=0.5, beta=0.5).input_type["input"].shape == (0,)


def nested_type_check(tmp_path: Path) -> None:
    inner = nir.NIRGraph(
        {"i": nir.Input(np.array([2])), "c": nir.Scale(np.ones(3)), "o": nir.Output(np.array([3]))},
        [("i", "c"), ("c", "o")],
        type_check=False,
    )
    outer = nir.NIRGraph({"inner": inner}, [], type_check=False)
    nir.write(tmp_path / "nested.nir", outer)
    with pytest.raises(ValueError, match="type mismatch"):
        nir.read(tmp_path / "nested.nir", type_check=False)
    assert list(read_nir(tmp_path / "nested.nir").nodes) == ["inner"]


def none_unwritten() -> None:
    node = nir.Conv2d(None, np.ones((1, 1, 3, 3)), 1, 0, 1, 1, np.zeros(1))
    for graph in (
        nir.NIRGraph({"n": LIF}, [], metadata={"dt": None}, type_check=False),
        nir.NIRGraph({"n": node}, [], type_check=False),
    ):
        with pytest.raises(TypeError, match="dtype"):
            nir.write(io.BytesIO(), graph)


def default_map_wins() -> None:
    torch, nirtorch = pytest.importorskip("torch"), pytest.importorskip("nirtorch")
    network = torch.nn.Sequential(torch.nn.Linear(3, 2, bias=False))
    ours = {torch.nn.Linear: lambda module: nir.Linear(np.full((2, 3), 7.0))}

    def held(graph: nir.NIRGraph) -> bool:
        (node,) = (n for n in graph.nodes.values() if isinstance(n, nir.Linear))
        return bool((np.asarray(node.weight) == 7).all())

    assert not held(nirtorch.torch_to_nir(network, ours, type_check=False))
    assert held(trace(network, ours))


def imported(node: Any) -> Any:
    pytest.importorskip("torch")
    interpreter = pytest.importorskip("nirtorch.nir_interpreter")
    return interpreter.DEFAULT_MAP[type(node)](node)


def affine_bias() -> None:
    module = imported(nir.Affine(np.ones((2, 3)), np.array([7.0, -9.0])))
    assert not np.array_equal(module.bias.detach().numpy(), [7, -9])


def conv_import() -> None:
    node = nir.Conv2d((9, 9), np.ones((4, 1, 3, 3)), 1, 0, 1, 2, np.zeros(4))
    try:
        module = imported(node)
    except ValueError:  # two groups of four channels from one
        return
    assert (module.in_channels, module.out_channels) == (4, 1)


def sum_pool_padding() -> None:
    torch = pytest.importorskip("torch")
    module = imported(nir.SumPool2d(np.array([2, 2]), np.array([2, 2]), np.array([1, 1])))
    assert module(torch.ones(1, 1, 4, 4)).shape[-1] == 2  # with the padding: 3


def branches_out_of_order() -> None:
    torch, nirtorch = pytest.importorskip("torch"), pytest.importorskip("nirtorch")
    ones = nir.Linear(np.ones((1, 1)))
    nodes = {"i": nir.Input(np.array([1])), "a": ones, "b": ones, "sum": ones, "o": None}
    nodes["o"] = nir.Output(np.array([1]))
    edges = [("i", "a"), ("i", "b"), ("a", "sum"), ("b", "sum"), ("sum", "o")]
    graph = nir.NIRGraph(nodes, edges, type_check=False)

    def load() -> Any:
        modules = {nir.Linear: torch.nn.Identity, nir.Input: torch.nn.Identity}
        return nirtorch.load(graph, lambda node: modules.get(type(node), lambda: None)())

    assert load()(torch.ones(1, 1))[0].item() == 1
    assert in_order(load())(torch.ones(1, 1))[0].item() == 2


def reset_dropped() -> None:
    modules = [
        exported("Leaky", beta=0.5, reset_mechanism=reset, reset_delay=late)
        for reset, late in (("subtract", True), ("zero", False))
    ]
    assert str(modules[0].to_dict()) == str(modules[1].to_dict())


def recurrent_import() -> None:
    pytest.importorskip("torch")
    create = pytest.importorskip("snntorch.import_nir")._create_rnn_subgraph
    nodes = {"r.lif": LIF, "r.w": nir.Linear(np.ones((2, 2)))}
    graph = nir.NIRGraph(nodes, [("r.lif", "r.w"), ("r.w", "r.lif")], type_check=False)
    assert ("r.input", "r.w") in create(graph, "r.lif", "r.w").nodes["r"].edges


def hdf5_loops() -> None:
    held = io.BytesIO()
    with h5py.File(held, "w") as file:
        file.create_dataset("x", data="text", dtype=h5py.string_dtype())
    content = bytearray(held.getvalue())

    def read() -> bytes:
        with h5py.File(io.BytesIO(content), "r") as file:
            return bytes(file["x"][()])

    assert supervised(read, 5.0, 1 << 29) == b"text"
    # The size of the free space in the collection that holds the text.
    content[content.find(b"GCOL") + 24] = 0
    with pytest.raises(Died, match=r"takes more than 0\.2 seconds"):
        supervised(read, 0.2, 1 << 29)


PAGE = Path(__file__).parents[3] / "docs" / "reference" / "upstream-bugs.md"


@pytest.mark.parametrize("name", re.findall(r"^\| `(\w+)`", PAGE.read_text("utf-8"), re.MULTILINE))
def test_upstream_still_has(name: str, tmp_path: Path) -> None:
    pin = globals()[name]
    pin(tmp_path) if name == "nested_type_check" else pin()


@pytest.mark.parametrize(
    ("work", "why"),
    [
        (lambda: bytes(1 << 40), "fails"),
        (lambda: 1 / 0, "fails"),
        (lambda: __import__("os").abort(), "ends in SIGABRT"),
        (lambda: [None for _ in iter(int, 1)], r"takes more than 0\.2 seconds"),
    ],
)
def test_a_child_that_does_not_end_well(work: Any, why: str) -> None:
    with pytest.raises(Died, match=why):
        supervised(work, 0.2, 1 << 28)


def test_much_comes_through() -> None:
    content = np.random.default_rng(0).bytes(5_000_000)
    assert supervised(lambda: content, 5.0, 1 << 28) == content
