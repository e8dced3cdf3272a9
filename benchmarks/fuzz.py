"""Damage files of every kind at random, and count what reading them comes to.

Each kind has a process of its own, so that one that dies is seen. Writes ``results/fuzz.json``;
``--kind`` prints the counts of one kind instead, with the files that went wrong.

    pip install ".[test]" pyarrow
    python benchmarks/fuzz.py
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from fuzzing.judge import GOOD, judge
from fuzzing.targets import TARGETS
from hypothesis import HealthCheck, Phase, given, seed, settings

_OUTCOMES = {
    "refused": "refused by name",
    "read right": "read right",
    "read wrong": "read wrong",
    "refused without a name": "refused, no name",
    "another error": "another error",
    "no end": "no end",
}


def fuzz(kind: str, examples: int, first_seed: int) -> tuple[Counter[str], list[str]]:
    """Count the outcomes of ``examples`` mutations; also return what went wrong."""
    target = TARGETS[kind]()
    examples = round(target.share * examples)
    counts: Counter[str] = Counter()
    seen: set[bytes] = set()
    wrong: list[str] = []
    number = first_seed
    with tempfile.TemporaryDirectory() as folder:

        def one(mutation: tuple[str, bytes]) -> None:
            name, content = mutation
            digest = hashlib.sha256(name.encode() + content).digest()
            if content == target.files[name] or digest in seen or len(seen) == examples:
                return
            seen.add(digest)
            outcome, why = judge(target, Path(folder), name, content)
            counts[outcome] += 1
            if outcome not in GOOD:
                wrong.append(f"{outcome}: {why[:500]} of {content[:2000]!r}")

        while len(seen) < examples:  # mutations that are one and the same count once
            check = settings(
                max_examples=examples,
                database=None,
                deadline=None,
                phases=[Phase.generate],
                suppress_health_check=(HealthCheck.too_slow, HealthCheck.data_too_large),
            )
            seed(number)(check(given(target.mutations())(one)))()
            number += 1
    return counts, wrong


def main() -> None:
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("--examples", type=int, default=1500, help="of each kind")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--kind", choices=TARGETS)
    arguments = parser.parse_args()
    if arguments.kind is not None:
        counts, wrong = fuzz(arguments.kind, arguments.examples, arguments.seed)
        print(json.dumps({"counts": counts, "wrong": wrong}))
        return

    from _record import write

    rows = [_row(kind, arguments.examples, arguments.seed) for kind in TARGETS]
    total: dict[str, Any] = {"kind of file": "all"}
    for name in list(rows[0])[1:]:
        total[name] = round(sum(row[name] for row in rows), 1)
    print(
        write(
            "fuzz",
            "Damaged files",
            [*rows, total],
            "Bits flipped, ends cut off, blocks added, lost, repeated or moved; values changed, "
            "removed, renamed or of another type. Read right: what a second reader, written apart, "
            "makes of the same file; of an adapter, what was saved, to the bit.",
        )
    )


def _row(kind: str, examples: int, first_seed: int) -> dict[str, Any]:
    begin = time.perf_counter()
    command = [sys.executable, __file__, f"--examples={examples}", f"--seed={first_seed}"]
    child = subprocess.run(
        [*command, "--kind", kind], capture_output=True, text=True, env=os.environ, check=False
    )
    died = child.returncode != 0
    found: dict[str, Any] = {"counts": {}, "wrong": []}
    if died:
        print(kind, child.stderr[-2000:], file=sys.stderr)
    else:
        found = json.loads(child.stdout.splitlines()[-1])
    for line in found["wrong"]:
        print(kind, line, file=sys.stderr)
    return {
        "kind of file": kind,
        "mutations": sum(found["counts"].values()),
        **{title: found["counts"].get(name, 0) for name, title in _OUTCOMES.items()},
        "crashes": int(died),
        "seconds": round(time.perf_counter() - begin, 1),
    }


if __name__ == "__main__":
    main()
