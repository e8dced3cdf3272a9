"""Every pair of members of two axes: which are refused, and why.

    python benchmarks/pairwise.py

writes benchmarks/results/axes.json, of which the page on concepts is made and which
tests/test_axes.py holds against the code.
"""

from __future__ import annotations

import argparse
import multiprocessing
import sys
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

from _record import write

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from axes import AXES, pairs, refusal


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--jobs", type=int, default=2, help="processes")
    jobs = parser.parse_args().jobs
    rows: list[dict[str, Any]] = []
    every = list(pairs())
    with ProcessPoolExecutor(jobs, mp_context=multiprocessing.get_context("spawn")) as pool:
        for number, (pair, reason) in enumerate(
            zip(every, pool.map(refusal, every), strict=True), 1
        ):
            print(f"\r{number} of {len(every)}", end="", file=sys.stderr, flush=True)
            if reason is not None:
                (_, member), (_, other) = pair
                rows.append({"member": member, "does not go with": other, "for": reason})
    print(file=sys.stderr)
    members = ", ".join(f"{len(members)} of {axis}" for axis, members in AXES.items())
    write(
        "axes",
        "Pairs that are refused",
        rows,
        caption=f"Every pair of members of two axes ({members}) was built and took two steps: "
        f"{len(every) - len(rows)} of {len(every)} move the parameters, these are refused.",
    )


if __name__ == "__main__":
    main()
