"""A function and an optimizer of your own in the gallery.

pip install "zojax[demo]"
python examples/gallery.py pictures
"""

from __future__ import annotations

import sys
from pathlib import Path

import jax
import optax

import zojax
from zojax import gallery

# Himmelblau's function has four minima of 0; it is measured from one of them.
HIMMELBLAU = gallery.Function(
    name="himmelblau",
    formula="$(x^2+y-11)^2 + (x+y^2-7)^2$",
    value=lambda p: (p[0] ** 2 + p[1] - 11) ** 2 + (p[0] + p[1] ** 2 - 7) ** 2,
    start=(0.0, 0.0),
    minimum=(3.0, 2.0),
    limits=((-5.0, 5.0), (-5.0, 5.0)),
)


def clipped(rate: jax.Array, key: jax.Array, steps: int) -> optax.GradientTransformation:
    """Two directions a step, and a rate that falls to 0."""
    return optax.chain(
        zojax.spsa(gallery.EPS, key=key, num_queries=2),
        optax.clip_by_global_norm(1.0),
        optax.scale_by_schedule(lambda count: 1.0 - count / steps),
        optax.scale_by_learning_rate(rate),
    )


CLIPPED = gallery.Optimizer("clipped", clipped, passes=zojax.passes.of_slopes(num_queries=2))


def main() -> None:
    found = gallery.run([HIMMELBLAU, "beale"], ["adam", "mezo", CLIPPED], steps=400, tell=print)
    for path in gallery.draw(found, Path(sys.argv[1])):
        print(f"written: {path}")
    for row in found.rows():
        print(row)


if __name__ == "__main__":
    main()
