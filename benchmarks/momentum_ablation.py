"""The ablation of the ZO-AdaMU paper's Table 3: six momentum rules, each on either side.

On the perturbation (δ) a rule shapes the direction that is probed and stepped along; on the
gradient (g) it shapes the two-point estimate along a Gaussian direction.

    python benchmarks/momentum_ablation.py
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import Any

import _record
import jax
import numpy as np
import optax

import zojax
from zojax import gallery

EPS = gallery.EPS
DECAY = 1e-4  # optax.adamw's default

RULES: dict[str, Callable[[], optax.GradientTransformation]] = {
    "Adam": optax.scale_by_adam,
    "AdamW": optax.scale_by_adam,
    "AdaMax": optax.scale_by_adamax,
    "RMSProp": optax.scale_by_rms,
    "AdaMM": lambda: optax.scale_by_amsgrad(bias_correction_mu=False, bias_correction_nu=False),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--steps", type=int, default=1000)
    parser.add_argument("--seeds", type=int, default=25)
    args = parser.parse_args()
    optimizers = [
        gallery.Optimizer("AdaMU, δ", gallery.OPTIMIZERS["zo_adamu"].make),
        gallery.Optimizer("AdaMU, g", _adamu_on_gradient),
        *(_side(name, side) for name in RULES for side in ("δ", "g")),
        gallery.OPTIMIZERS["mezo"],
    ]
    found = gallery.run(optimizers=optimizers, steps=args.steps, seeds=args.seeds, tell=print)
    path = _record.write(
        "momentum_ablation",
        "Six momentum rules on the perturbation (δ) and on the gradient (g)",
        [_row(optimizer.name, found) for optimizer in optimizers],
        f"Median value above the minimum after {2 * found.steps} evaluations, on each function of "
        "the gallery: each optimizer with the best learning rate of the same "
        f"grid, {found.seeds} seeds, ε = {EPS}. The last column is the mean over the functions of "
        "the rank among all rows, 1 the least value.",
    )
    print(f"written: {path}")


def _side(name: str, side: str) -> gallery.Optimizer:
    decay = optax.add_decayed_weights(DECAY) if name == "AdamW" else optax.identity()

    def make(rate: jax.Array, key: jax.Array, steps: int) -> optax.GradientTransformation:
        del steps
        rule = RULES[name]()
        first = (
            [zojax.spsa(EPS, key=key, direction=zojax.Shaped(rule))]
            if side == "δ"
            else [zojax.spsa(EPS, key=key), rule]
        )
        return optax.chain(*first, decay, optax.scale_by_learning_rate(rate))

    return gallery.Optimizer(f"{name}, {side}", make)


def _adamu_on_gradient(rate: jax.Array, key: jax.Array, steps: int) -> optax.GradientTransformation:
    """Adam whose moments weigh the new gradient by the annealed β₁ and β₂."""
    schedules = zojax.directions.adamu_schedules(num_steps=steps)
    adam = optax.inject_hyperparams(optax.scale_by_adam)(
        b1=lambda count: 1.0 - schedules.beta1(count),
        b2=lambda count: 1.0 - schedules.beta2(count),
    )
    return optax.chain(zojax.spsa(EPS, key=key), adam, optax.scale_by_learning_rate(rate))


def _row(name: str, found: gallery.Gallery) -> dict[str, Any]:
    row: dict[str, Any] = {"rule, side": name}
    ranks = []
    for function in found.functions:
        finals = {run.optimizer.name: float(run.quantile(0.5)[-1]) for run in found.of(function)}
        # Below this the values are rounding: equal, as far as they can be told apart.
        rounded = {other: max(final, 1e-8) for other, final in finals.items()}
        better = sum(final < rounded[name] for final in rounded.values())
        equal = sum(final == rounded[name] for final in rounded.values())
        ranks.append(better + (equal + 1) / 2)
        row[function.name] = f"{finals[name]:.2g}" if np.isfinite(finals[name]) else None
    return {**row, "mean rank": round(float(np.mean(ranks)), 1)}


if __name__ == "__main__":
    main()
