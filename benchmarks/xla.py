"""What the three things that zojax asks of XLA are worth: a step without each of them.

    python benchmarks/xla.py

compiles a step of MeZO of OPT-125M for this machine's CPU and for an A100 (no card is needed), as
it is, and then with each of the functions of zojax/_xla.py taken away, and reads memory, size and
compile time of the program.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import jax
import jax.numpy as jnp
from _record import write

import zojax
from zojax import planning
from zojax.lm import models

MODEL, BATCH, LENGTH = "opt-125m", 4, 64
DEVICES = ("cpu", "a100-80gb")  # this machine's, and one that is planned for
WITHOUT: dict[str, dict[str, Callable[..., Any]]] = {
    "nothing": {},
    "ties (tied, opaque)": {
        "tied": lambda tree, values: (tree, values),
        "opaque": lambda tree: tree,
    },
    "one-turn loops (computed_once)": {
        "computed_once": lambda function, x: function(jnp.int32(0), x)
    },
    "rounding (rounded)": {"rounded": lambda product: product},
}


@contextmanager
def taken_away(functions: dict[str, Callable[..., Any]]) -> Iterator[None]:
    """Put others in the place of functions of ``zojax._xla``, wherever they were imported."""
    import sys

    old = {name: getattr(sys.modules["zojax._xla"], name) for name in functions}
    users = [module for name, module in sys.modules.items() if name.startswith("zojax.")]
    for name, function in functions.items():
        for module in users:
            if getattr(module, name, None) is old[name]:
                setattr(module, name, function)
    jax.clear_caches()
    try:
        yield
    finally:
        for name, function in functions.items():
            for module in users:
                if getattr(module, name, None) is function:
                    setattr(module, name, old[name])
        jax.clear_caches()


def main() -> None:
    argparse.ArgumentParser(description=__doc__.split("\n", 1)[0]).parse_args()
    work = models.workload(MODEL, batch=BATCH, length=LENGTH)
    rows: list[dict[str, Any]] = []
    for device in DEVICES:
        forward = planning.memory(planning.compile_forward(device, work)).device
        usual = 0.0
        for name, functions in WITHOUT.items():
            with taken_away(functions):
                start = time.perf_counter()
                tx = zojax.mezo(1e-6, eps=1e-3, key=0)
                compiled = planning.compile_step(device, work, tx)
                seconds = time.perf_counter() - start
            usual = usual or seconds
            rows.append(
                {
                    "for": device,
                    "a step without": name,
                    "memory / forward pass": planning.memory(compiled).device / forward,
                    "operations in the program": compiled.as_text().count(" = "),
                    "compile time / the usual": seconds / usual,
                }
            )
    write(
        "xla",
        "What the tricks are worth",
        rows,
        caption=f"{MODEL}, float32, {BATCH}×{LENGTH} tokens, compiled and not run. Rounding is "
        "there for equal bits.",
    )


if __name__ == "__main__":
    main()
