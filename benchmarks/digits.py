"""A small network on handwritten digits, by the code and the settings of docs/small_networks.md.

pip install ".[demo]"
python benchmarks/digits.py
"""

from __future__ import annotations

import argparse
import re
from pathlib import Path
from typing import Any

import _record
import _study
import jax

import zojax

PAGE = Path(__file__).parents[1] / "docs" / "small_networks.md"
OPTIMIZERS = {"mezo": zojax.mezo, "zo_adamu": zojax.zo_adamu}
STEPS: int | None = None  # the page's


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--seeds", type=int, default=5)
    args = parser.parse_args()
    page = code_of(PAGE)
    steps, settings = STEPS or page["STEPS"], page["settings"]
    rows = []
    for name, make in OPTIMIZERS.items():
        found = [
            100 * page["tune"](make(key=seed, **settings), seed, steps)
            for seed in range(args.seeds)
        ]
        rows.append(
            {
                "optimizer": name,
                "steps": steps,
                "forward passes": 2 * settings["num_queries"] * steps,
                "test accuracy": _study.mean_and_error(found),
                "lowest": f"{min(found):.1f}",
            }
        )
    parameters = page["model"].init(jax.random.key(0), page["train_x"][:1])
    number = sum(leaf.size for leaf in jax.tree.leaves(parameters))
    path = _record.write(
        "digits",
        "scikit-learn's digits with a network of one hidden layer: test accuracy in percent",
        rows,
        f"Mean ± standard error over {args.seeds} seeds, which decide the start, the batches and "
        f"the directions. {number:,} parameters, {len(page['train_x']):,} images to learn from, "
        f"{len(page['test_x'])} to test on; batches of 64.",
    )
    print(f"written: {path}")


def code_of(page: Path) -> dict[str, Any]:
    """Run the page's code up to its settings, and return its names."""
    blocks = re.findall(r"^```python\n(.*?)^```", page.read_text(encoding="utf-8"), re.M | re.S)
    names: dict[str, Any] = {}
    setup, chosen = blocks[0], blocks[1].partition("\naccuracy = ")[0]
    exec(setup + chosen, names)
    return names


if __name__ == "__main__":
    main()
