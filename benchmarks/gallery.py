"""The gallery of the documentation: its pictures, and the table of final values.

python benchmarks/gallery.py
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import _record

from zojax import gallery

PICTURES = Path(__file__).parents[1] / "docs" / "_static" / "gallery"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--steps", type=int, default=1000)
    parser.add_argument("--seeds", type=int, default=25)
    args = parser.parse_args()
    start = time.perf_counter()
    found = gallery.run(steps=args.steps, seeds=args.seeds, tell=print)
    drawn = gallery.draw(found, PICTURES, overwrite=True)
    seconds = time.perf_counter() - start
    rates = found.runs[0].learning_rates
    path = _record.write(
        "gallery",
        "Value above the minimum at the end, on the test functions of the ZO-AdaMU paper",
        found.rows(),
        f"{2 * found.steps} forward passes, a gradient worth three; median and quartiles of "
        f"{found.seeds} seeds (from seed {found.seed}), other ones than those with which the "
        f"learning rate was chosen from "
        f"{len(rates)} between {rates.min():g} and {rates.max():g}. Below 1e-8 is rounding. "
        f"All runs and the drawing took {seconds:.0f} s.",
    )
    for file in (*drawn, path):
        print(f"written: {file}")


if __name__ == "__main__":
    main()
