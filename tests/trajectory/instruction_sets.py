"""Run, replay, resume and probe on one instruction set; XLA_FLAGS of this process say which.

``python instruction_sets.py NAME …`` prints a line for each bit that two programs disagree on, and
``checked N`` at the end.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from optimizers import OPTIMIZERS

import zojax
from zojax.estimators import estimator_states
from zojax.trajectory import Measured, Recorder, Replayer

STEPS = 6
PROBED = {
    "gaussian": lambda **o: zojax.spsa(1.0, key=3, **o),
    "rademacher": lambda **o: zojax.spsa(1.0, key=3, direction=zojax.Rademacher(), **o),
    "sphere": lambda **o: zojax.spsa(1.0, key=3, direction=zojax.Sphere(), **o),
    "low rank": lambda **o: zojax.spsa(1.0, key=3, direction=zojax.LowRank(2), **o),
    "sparse": lambda **o: zojax.spsa(1.0, key=3, direction=zojax.Sparse(ratios="equal"), **o),
    "blockwise": lambda **o: zojax.blockwise(1.0, key=3, blocks=lambda path, leaf: 0, **o),
}


def parameters(dtype: str) -> dict[str, Any]:
    # As small as the updates are, so that the last bit of an update is a bit of the parameters.
    keys = jax.random.split(jax.random.key(3), 3)
    matrix, first, second = (
        (jax.random.normal(key, shape) / 1024).astype(dtype)
        for key, shape in zip(keys, [(33, 7), (8, 16), (5,)], strict=True)
    )
    return {"matrix": matrix, "nested": [first, second]}


def loss(params: Any, batch: Any) -> Any:
    x = jnp.tanh(batch @ params["matrix"])[:, :5].astype(jnp.float32)
    sizes = [jnp.sum(jnp.square(leaf.astype(jnp.float32) + 1)) for leaf in params["nested"]]
    # A product at the end, which a difference of losses could be contracted with.
    return (jnp.sum(jnp.square(x)) + sum(sizes)) / 1000


def stepper(tx: Any) -> Any:
    @partial(jax.jit, donate_argnums=(0, 1), compiler_options=zojax.compiler_options())
    def step(params: Any, state: Any, batch: Any) -> Any:
        recorder = Recorder()
        updates, state = tx.update(
            None, state, params, value_fn=lambda p: loss(p, batch), meter=recorder
        )
        return optax.apply_updates(params, updates), state, recorder.scalars

    return step


def taken(tx: Any, params: Any, state: Any, steps: range, dtype: str) -> tuple[Any, Any, Any]:
    step, rows = stepper(tx), []
    for i in steps:
        batch = jax.random.normal(jax.random.key(100 + i), (4, 33)).astype(dtype)
        params, state, row = step(params, state, batch)
        rows.append(np.asarray(row))
    return params, state, np.stack(rows)


def differing(found: Any, expected: Any) -> int:
    """How many bytes of two trees differ, but for what tells of losses and of counts of them."""
    told = ("value", "least")
    total = 0
    leaves = jax.tree_util.tree_leaves_with_path(expected)
    for x, (path, y) in zip(jax.tree.leaves(found), leaves, strict=True):
        if jax.tree_util.keystr(path[-1:], simple=True) in told:
            continue
        total += int(np.sum(_bytes(x) != _bytes(y)))
    return total


def _bytes(x: Any) -> np.ndarray:
    if jnp.issubdtype(x.dtype, jax.dtypes.prng_key):
        x = jax.random.key_data(x)
    return np.frombuffer(np.asarray(x).tobytes(), np.uint8)


def check_run(name: str, dtype: str) -> list[str]:
    """Replay = run, and a run that goes on from the middle of a replay = run."""
    tx = OPTIMIZERS[name]()
    base = parameters(dtype)
    copy = partial(jax.tree.map, jnp.copy)
    params, state, scalars = taken(tx, copy(base), tx.init(base), range(STEPS), dtype)
    replayer = Replayer(tx)
    again = replayer.take(copy(base), tx.init(base), scalars)
    half = replayer.take(copy(base), tx.init(base), scalars[: STEPS // 2])
    resumed = taken(tx, *half, range(STEPS // 2, STEPS), dtype)
    found = {
        "replayed parameters": differing(again[0], params),
        "replayed state": differing(again[1], state),
        "resumed parameters": differing(resumed[0], params),
        "resumed state": differing(resumed[1], state),
    }
    if not differing(params, base):
        found["nothing moved"] = 1
    return [f"{name} {dtype}: {what}: {count}" for what, count in found.items() if count]


class _SlopeOne:
    """Measures, and says that every slope was 1."""

    def __call__(self, kind: Any, size: int, measure: Callable[[], Measured]) -> Measured:
        return measure()._replace(scalars=jnp.ones(size), usable=jnp.ones(size, bool))


def check_probe(name: str) -> list[str]:
    """At θ = 0 and ε = 1 the first point is z; with a slope of 1 the estimate is z too."""
    zeros = jax.tree.map(jnp.zeros_like, parameters("float32"))
    tx = PROBED[name](has_aux=jax.eval_shape(lambda: zeros))

    @partial(jax.jit, compiler_options=zojax.compiler_options())
    def update(state: Any) -> Any:
        batch = jnp.ones((4, 33))
        return tx.update(
            None, state, zeros, value_fn=lambda p: (loss(p, batch), p), meter=_SlopeOne()
        )

    estimate, state = update(tx.init(zeros))
    [told] = estimator_states(state)
    count = differing(jax.tree.map(jnp.abs, estimate), jax.tree.map(jnp.abs, told.aux))
    return [f"probe {name}: {count}"] if count else []


def main() -> None:
    narrow = {"mezo", "zo_adam", "zo_adamu"} & {*sys.argv[1:]}
    checks = [
        *(partial(check_run, name, "float32") for name in sys.argv[1:]),
        *(partial(check_run, name, "bfloat16") for name in sorted(narrow)),
        *(partial(check_probe, name) for name in PROBED),
    ]
    for check in checks:
        sys.stdout.writelines(f"{line}\n" for line in check())
    sys.stdout.write(f"checked {len(checks)}\n")


if __name__ == "__main__":
    main()
