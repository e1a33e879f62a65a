"""A data set streamed: the reference's sums in every engine, after a kill too, and nothing held."""

import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from deploy.emulate.reference import emulate
from deploy.errors import BadInput
from deploy.jobs import run_jobs
from deploy.program.program import Dense, Output, Program, make_input, make_population
from deploy.run import dataset as stream
from deploy.run.dataset import ArrayBatches, Part, join, stream_dataset

ROOT = Path(__file__).parents[3]


@pytest.fixture
def case(random_program: Any) -> tuple[Program, dict[str, Any]]:
    """A network of all kinds of connections, and 23 samples."""
    program = random_program(3, graded=False)
    x = np.random.default_rng(3).random((23, 7, *program.inputs[0].shape)) < 0.3
    return program, {"image": x.astype(np.uint8)}


def run_dataset(program: Program, batches: ArrayBatches, **how: Any) -> Part:
    return join(stream_dataset(program, batches, progress=False, **how))


def same(a: Part, b: Part) -> bool:
    return (
        (a.samples, a.timesteps, a.edges) == (b.samples, b.timesteps, b.edges)
        and a.scores.keys() == b.scores.keys()
        and a.messages.keys() == b.messages.keys()
        and all(np.array_equal(a.scores[n], b.scores[n]) for n in a.scores)
        and all(np.array_equal(a.messages[n], b.messages[n]) for n in a.messages)
    )


def test_parts_come_to_what_the_reference_says(case: Any) -> None:
    program, inputs = case
    trace = emulate(program, inputs)
    for batch, jobs in ((1, 1), (5, 2), (100, 3)):
        whole = run_dataset(program, ArrayBatches(inputs, batch), jobs=jobs)
        assert (whole.samples, whole.timesteps) == (23, 7)
        for o in program.outputs:
            expected = (
                trace.s[o.source].sum(axis=1) if o.quantity == "s" else trace.v[o.source][:, -1]
            )
            assert np.array_equal(whole.scores[o.name], expected)
        for name, sent in trace.messages.items():
            assert np.array_equal(whole.messages[name], sent)
        first = whole.scores[program.outputs[0].name].reshape(23, -1)
        assert np.array_equal(whole.predictions, first.argmax(axis=1))


def test_edges_are_counted_where_they_are_in_reach() -> None:
    """Sums of ±200·254 pass 21 bits, and u of two of them wraps; a chain beyond stays at zero."""
    weight = np.full((1, 200), 254, np.int32)
    program = Program(
        (make_input("i", (200,)),),
        (make_population("n", (1,), du=0, dv=100, vth=9000), make_population("m", (1,), vth=1)),
        (Dense("w", "i", "n", weight, exponent=1), Dense("x", "n", "m", np.array([[2]], np.int32))),
        (Output("o", "m", "s"),),
    )
    x = np.zeros((4, 6, 200), np.uint8)
    x[1, 2:4] = 1
    x[3, :2, :60] = 1
    counted = run_dataset(program, ArrayBatches({"i": x}, 3), count_edges=True).edges
    trace = emulate(program, {"i": x})
    a = (trace.s["n"] * 0 + x.sum(axis=2, keepdims=True).astype(np.int64)) * 254 * 2
    assert counted["n"]["synaptic sum beyond 21 bits"] == int((a > 2**15 - 1).sum()) > 0
    # The second full volley finds u at its wrapped value, which decayed by one part in 4096.
    u, wraps = 0, 0
    for arriving in a[1, :, 0]:
        u = int(u * 4095 / 4096) + int(arriving) * 64
        wraps += abs(u) > 2**23 - 1
        u = u - 2**24 if u > 2**23 else u
    wraps += int((np.abs(np.cumsum(a[3, :, 0])) * 64 > 2**23).sum())
    assert counted["n"]["current u wraps"] == wraps
    assert not any(counted["m"].values())


def test_only_what_is_missing_runs_again(case: Any, tmp_path: Path, monkeypatch: Any) -> None:
    program, inputs = case
    ran: list[int] = []
    run = stream._run_batch

    def noted(*arguments: Any) -> Part:
        ran.append(1)
        return run(*arguments)

    monkeypatch.setattr(stream, "_run_batch", noted)

    def again(x: Any = inputs, p: Program = program, **more: Any) -> tuple[Part, int]:
        ran.clear()
        return run_dataset(p, ArrayBatches(x, 5), folder=tmp_path, **more), len(ran)

    whole, number = again()
    assert number == 5
    files = sorted(tmp_path.iterdir())
    assert len(files) == 5
    assert again()[1] == 0 and same(again()[0], whole)
    files[1].unlink()
    files[3].write_bytes(files[3].read_bytes()[:100])
    found, number = again()
    assert number == 2 and same(found, whole)
    # Other data, another program or other counters are other parts.
    assert again({"image": 1 - inputs["image"]})[1] == 5
    assert again(count_edges=True)[1] == 5
    other = Program(program.inputs, program.populations, program.connections, program.outputs[:1])
    assert again(p=other)[1] == 5


def test_a_killed_run_goes_on_where_it_stopped(tmp_path: Path) -> None:
    code = textwrap.dedent(
        """
        import sys, time
        import numpy as np
        from deploy.run import dataset as stream
        from deploy.program.program import Dense, Output, Program, make_input, make_population

        program = Program(
            (make_input("i", (8,)),), (make_population("n", (4,), vth=20),),
            (Dense("w", "i", "n", 2 * np.arange(32, dtype=np.int32).reshape(4, 8)),),
            (Output("o", "n", "s"),),
        )
        x = np.random.default_rng(0).integers(0, 2, (40, 5, 8), dtype=np.uint8)
        folder = sys.argv[1] if sys.argv[1] != "-" else None
        batches = stream.ArrayBatches({"i": x}, 4)
        parts = stream.stream_dataset(program, batches, folder=folder, progress=False)
        found = []
        for part in parts:
            found.append(part)
            if len(sys.argv) > 2:
                print("part", flush=True)
                time.sleep(0.05)
        whole = stream.join(found)
        print(whole.predictions.tolist(), {n: m.tolist() for n, m in whole.messages.items()})
        """
    )

    def start(*arguments: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-c", code, *arguments], cwd=ROOT, stdout=subprocess.PIPE, text=True
        )

    killed = start(str(tmp_path), "slow")
    assert killed.stdout is not None
    for _ in range(3):
        assert killed.stdout.readline() == "part\n"
    os.kill(killed.pid, signal.SIGKILL)
    killed.communicate()
    assert 3 <= len(list(tmp_path.glob("part-*"))) < 10
    resumed, fresh = start(str(tmp_path)).communicate()[0], start("-").communicate()[0]
    assert resumed == fresh and resumed.startswith("[")
    assert len(list(tmp_path.glob("part-*"))) == 10


def test_what_is_refused(case: Any) -> None:
    program, inputs = case
    silent = Program(program.inputs, program.populations, program.connections, ())
    with pytest.raises(BadInput, match="no output to score"):
        next(stream_dataset(silent, ArrayBatches(inputs, 5)))
    with pytest.raises(BadInput, match="message 7 at sample 0"):
        run_dataset(program, ArrayBatches({"image": inputs["image"] * 0 + 7}, 5))


def test_without_joblib_its_engine_is_refused(monkeypatch: Any) -> None:
    monkeypatch.setattr("deploy.jobs.find_spec", lambda name: None)
    with pytest.raises(BadInput, match="joblib is not installed"):
        list(run_jobs(abs, [1], 1, "joblib"))


def test_processes_give_the_same(case: Any) -> None:
    pytest.importorskip("joblib")
    program, inputs = case
    batches = ArrayBatches(inputs, 5)
    expected = run_dataset(program, batches)
    assert same(run_dataset(program, batches, jobs=2, engine="joblib"), expected)


def test_two_workers_of_a_cluster_give_the_same(case: Any, tmp_path: Path) -> None:
    """Over several machines: joblib's Dask backend, here with two processes of one machine."""
    joblib, distributed = pytest.importorskip("joblib"), pytest.importorskip("distributed")
    program, inputs = case
    batches = ArrayBatches(inputs, 2)
    expected = run_dataset(program, batches, count_edges=True)
    cluster = distributed.LocalCluster(
        n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None,
        local_directory=str(tmp_path / "workers"),
    )  # fmt: skip
    with cluster, distributed.Client(cluster) as client:
        client.wait_for_workers(2)
        with joblib.parallel_config(backend="dask"):
            found = run_dataset(
                program, batches, folder=tmp_path / "parts", jobs=2, engine="joblib",
                count_edges=True,
            )  # fmt: skip
        tasks = client.run(lambda dask_worker: len(dask_worker.state.log) > 0)
    assert same(found, expected)
    assert list(tasks.values()) == [True, True]
    assert len(list((tmp_path / "parts").iterdir())) == 12
