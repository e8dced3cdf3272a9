"""How much of a small update arrives in 16-bit parameters, by way of rounding, and what it costs.

pip install ".[demo]"
python benchmarks/landing.py
"""

from __future__ import annotations

from typing import Any

import _record
import jax
import jax.numpy as jnp
import numpy as np
import optax

import zojax
from zojax import planning
from zojax.lm.models import workload

STEPS, SIZES = 1000, (1e-7, 1e-6, 1e-5)
LINKS: dict[str, Any] = {
    "to the nearest": optax.identity(),
    "stochastic_rounding": zojax.stochastic_rounding(key=0),
    "compensated": zojax.compensated(),
}
DEVICES = {"cpu": ("opt-125m", 4, 64), "a100-80gb": ("opt-1.3b", 8, 256)}


def main() -> None:
    rows: list[dict[str, Any]] = []
    for dtype in ("bfloat16", "float16"):
        for name, link in LINKS.items():
            landed = {f"{size:.0e}": f"{_share(link, dtype, size):.3f}" for size in SIZES}
            memory = {device: _memory(device, link, dtype) for device in DEVICES}
            rows.append({"parameters": dtype, "rounding": name, **landed, **memory})
            print(rows[-1], flush=True)
    models = " and ".join(
        f"{model} {batch}×{length} ({device})" for device, (model, batch, length) in DEVICES.items()
    )
    path = _record.write(
        "landing",
        f"The share of {STEPS} equal updates that 16-bit parameters have moved by",
        rows,
        "Normal parameters of standard deviation 0.02; updates of the size above each column. In "
        "the columns of devices, bytes a parameter that a step of MeZO needs beyond a forward "
        f"pass, from the compiled program of {models}.",
    )
    print(f"written: {path}")


def _share(link: Any, dtype: str, size: float) -> float:
    start = (0.02 * jax.random.normal(jax.random.key(0), (1024, 1024))).astype(dtype)

    def step(_: Any, carried: Any) -> Any:
        params, state = carried
        updates, state = link.update(jnp.full(params.shape, size, jnp.float32), state, params)
        return optax.apply_updates(params, updates), state

    end, _ = jax.jit(lambda x: jax.lax.fori_loop(0, STEPS, step, x))((start, link.init(start)))
    moved = np.asarray(end, np.float64) - np.asarray(start, np.float64)
    return float(moved.mean() / (STEPS * size))


def _memory(device: str, link: Any, dtype: str) -> str:
    model, batch, length = DEVICES[device]
    work = workload(model, batch=batch, length=length, dtype=jnp.dtype(dtype))
    forward = planning.memory(planning.compile_forward(device, work))
    tx = zojax.chain(zojax.spsa(1e-3, key=0), optax.scale_by_learning_rate(1e-6), link)
    step = planning.memory(planning.compile_step(device, work, tx))
    return f"{2 * (step.device - forward.device) / work.nbytes:.2f}"


if __name__ == "__main__":
    main()
