"""Every kind of population on the compiled path: its time a neuron and step beside the LIF kind's.

A layer is 512 inputs at 10 % onto 512 neurons; two layers are as many neurons behind them, which hear
the kind's own messages: event by event, or as matrix products where many are graded. LIF neurons with
the same sums take turns with each row, and the ratio is of processor time. A loop's peer hears the loop's
spikes as an input. Every row's messages are first compared with the reference's. Nothing here asserts a
time.
"""

import argparse
import importlib.util
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from networks import SIZE
from timing import machine, rounds

from deploy.emulate.fast import emulate_fast, prepare
from deploy.emulate.reference import emulate
from deploy.neurons import (
    Delta,
    Graded,
    Neurons,
    Sigma,
    make_sigma_delta,
    make_ternary,
    make_threshold,
)
from deploy.program.program import Dense, Input, Program, make_input, make_population

SHAPE = (SIZE,)
LEAKY: dict[str, Any] = {"vth": 4000, "du": 1024, "dv": 512}
OWN = Path(__file__).parents[2] / "examples" / "own_neuron.py"


@cache
def _own() -> Any:
    """The kind of `examples/own_neuron.py`, which the package does not know."""
    spec = importlib.util.spec_from_file_location("own_neuron", OWN)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.Adaptive


def own(name: str) -> Neurons:
    made: Neurons = _own()(name, SHAPE, *(np.full(SHAPE, x, np.int32) for x in (512, 4000)))
    return made


KINDS: dict[str, Callable[[str], Neurons]] = {
    "lif": lambda n: make_population(n, SHAPE, **LEAKY),
    "refractory": lambda n: make_population(n, SHAPE, **LEAKY, refractory=3),
    "periodic reset": lambda n: make_population(n, SHAPE, **LEAKY, reset_interval=10),
    "integrator": lambda n: make_population(n, SHAPE, du=1024, dv=512, kind="integrator"),
    "ternary": lambda n: make_ternary(n, SHAPE, **LEAKY, vth_lo=-4000),
    "threshold": lambda n: make_threshold(n, SHAPE, vth=1500),
    "graded": lambda n: Graded(n, SHAPE, 1500),
    "delta": lambda n: Delta(n, SHAPE, 2000),
    "sigma": lambda n: Sigma(n, SHAPE),
    "sigma-delta": lambda n: make_sigma_delta(n, SHAPE, vth=4000, rectified=False),
    "a kind of one's own": own,
}


def program(
    kind: Callable[[str], Neurons], layers: int, delay: int = 0, loop: bool = False, inputs: int = 1
) -> Program:
    """Inputs → `layers` populations of a kind; loop: one hears itself a step later."""
    rng = np.random.default_rng(0)

    def weights(exponent: int = 0) -> tuple[Any, int]:
        return (2 * rng.integers(-127, 128, (SIZE, SIZE))).astype(np.int32), exponent

    sources: list[Input] = [make_input(f"input{i}", SHAPE) for i in range(inputs)]
    populations = [kind(f"n{i}") for i in range(layers)]
    first = [Dense(f"w{s.name}", s.name, "n0", *weights(), delay) for s in sources]
    # Graded messages are as large as sums, which have to stay within what a neuron holds.
    graded = -7 if populations[0].message_range[1] > 1 else 0
    later = [Dense(f"w{i}", f"n{i - 1}", f"n{i}", *weights(graded)) for i in range(1, layers)]
    own = [Dense("own", "n0", "n0", *weights(), 1)] if loop else []
    return Program(tuple(sources), tuple(populations), (*first, *later, *own), ())


def beside_lif(name: str, found: Program, peer: Program, x: Any, heard: Any, repeats: int) -> None:
    plan, plain = prepare(found), prepare(peer)
    few = {n: values[:1, :20] for n, values in x.items()}
    expected = emulate(found, few, "none").messages
    same = emulate_fast(plan, few, "none", 1, "numba").messages
    assert all(np.array_equal(expected[n], same[n]) for n in expected), name
    best = rounds(
        {
            "kind": lambda: emulate_fast(plan, x, "none", 1, "numba"),
            "lif": lambda: emulate_fast(plain, heard, "none", 1, "numba"),
        },
        repeats,
    )
    samples, steps = next(iter(x.values())).shape[:2]
    neurons = sum(p.size for p in found.populations)
    each = 1e9 * best["kind"][1] / (samples * steps * neurons)
    messages = emulate_fast(plan, x, "none", 1, "numba").messages["n0"]
    print(
        f"{name:34}{each:8.2f} ns a neuron and step, LIF ×{best['kind'][1] / best['lif'][1]:5.2f}"
        f"   sends {100 * messages.sum() / (samples * steps * SIZE):5.1f} %"
        f"   {f'NumPy: {plan.uncompiled}' if plan.uncompiled else 'compiled'}"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--samples", type=int, default=20)
    parser.add_argument("--timesteps", type=int, default=100)
    parser.add_argument("--repeats", type=int, default=7)
    options = parser.parse_args()
    if importlib.util.find_spec("numba") is None:
        print("numba is not installed: there is no compiled path")
        return
    rng = np.random.default_rng(1)
    shape = options.samples, options.timesteps, SIZE
    spikes = (rng.random(shape) < 0.1).astype(np.uint8)
    print(f"{shape[0]} samples of {shape[1]} steps, one thread; {machine()}")
    x = {"input0": spikes}
    lif = KINDS["lif"]
    for layers in (1, 2):
        print(f"\n{'a layer' if layers == 1 else 'two layers'}")
        for name, kind in KINDS.items():
            # A running sum of running sums of messages is beyond 32 bits before long.
            if layers == 2 and name == "sigma":
                continue
            peer = program(lif, layers)
            beside_lif(name, program(kind, layers), peer, x, x, options.repeats)
    print("\nways of spikes")
    beside_lif("delays of 3 steps", program(lif, 1, 3), program(lif, 1), x, x, options.repeats)
    loop = program(lif, 1, loop=True)
    heard = x | {"input1": emulate_fast(loop, x, "spikes").s["n0"]}
    beside_lif("recurrent", loop, program(lif, 1, inputs=2), x, heard, options.repeats)


if __name__ == "__main__":
    main()
