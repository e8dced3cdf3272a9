"""How far parameters move in 100 steps that should not move them: learning rate 0.

zojax never writes a perturbed weight into the parameters. The usual way is to walk in place, by +ε,
-2ε and +ε, which rounds three times a step.

    python benchmarks/drift.py
"""

from __future__ import annotations

from functools import partial
from typing import Any

import _record
import jax
import jax.numpy as jnp
import numpy as np

import zojax
from zojax.lm.models import load

STEPS, EPS = 100, 1e-3


def main() -> None:
    rows = []
    for dtype in ("float32", "bfloat16", "float16"):
        start = load("opt-mini", dtype=dtype).params
        rows.append({"parameters": dtype, "how": "walk in place", **_drift(start, _walk(start))})
        for evaluation in ("streamed", "copy", "in_place"):
            end = _with_zojax(start, evaluation)
            rows.append(
                {"parameters": dtype, "how": f'evaluation="{evaluation}"'} | _drift(start, end)
            )
    path = _record.write(
        "drift",
        f"Drift of opt-mini's parameters in {STEPS} steps at learning rate 0",
        rows,
        f"MeZO with Gaussian directions, ε = {EPS}. The walk adds εz, subtracts 2εz and adds εz "
        "in the parameters themselves, each a rounding to their dtype; it is measured for "
        "comparison and is no part of zojax.",
    )
    print(f"written: {path}")


def _drift(start: Any, end: Any) -> dict[str, Any]:
    differences = np.concatenate(
        [
            (np.asarray(b, np.float64) - np.asarray(a, np.float64)).reshape(-1)
            for a, b in zip(jax.tree.leaves(start), jax.tree.leaves(end), strict=True)
        ]
    )
    return {
        "root mean square": f"{np.sqrt(np.mean(differences**2)):.2g}",
        "largest": f"{np.abs(differences).max():.2g}",
        "parameters changed": f"{100 * np.mean(differences != 0):.1f}%",
    }


def _loss(params: Any) -> jax.Array:
    return jnp.sum(jnp.stack([jnp.sum(x.astype(jnp.float32)) for x in jax.tree.leaves(params)]))


def _with_zojax(params: Any, evaluation: Any) -> Any:
    tx = zojax.mezo(0.0, eps=EPS, key=0, evaluation=evaluation)

    def step(params: Any, state: Any) -> tuple[Any, Any]:
        updates, state = tx.update(None, state, params, value_fn=_loss)
        return jax.tree.map(jnp.add, params, updates), state

    step = step if evaluation == "in_place" else jax.jit(step)
    state = tx.init(params)
    for _ in range(STEPS):
        params, state = step(params, state)
    return params


def _walk(params: Any) -> Any:
    @partial(jax.jit, static_argnums=2)
    def move(params: Any, count: Any, times: float) -> Any:
        draws, _ = zojax.Gaussian().at_step((), jax.random.key(0), count, 1, params)
        leaves, tree = jax.tree.flatten(params)
        moved = [
            (x.astype(jnp.float32) + times * EPS * noise.draw(x.shape)).astype(x.dtype)
            for x, noise in zip(leaves, draws.query(0), strict=True)
        ]
        return jax.tree.unflatten(tree, moved)

    for count in range(STEPS):
        for times in (1.0, -2.0, 1.0):
            params = move(params, jnp.int32(count), times)
    return params


if __name__ == "__main__":
    main()
