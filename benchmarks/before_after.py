"""A step before and after a change of the library: memory to the byte, compile time, step time.

    git worktree add ../before COMMIT
    pip install ".[demo,plan]"
    python benchmarks/before_after.py --before ../before

Times are CPU times of the process that compiles or steps (``time.process_time``): they do not count
what other processes do meanwhile, though these still share its caches and its memory's bandwidth.
XLA runs with one thread, since threads that wait for each other spin, and spinning counts. Both
trees are loaded at once, each in a process of its own, and take turns after every single step and
compilation, in the order before, after, after, before: what slows the machine slows both. A round
is a fresh pair of processes, since where a process's memory happens to lie is worth a few percent;
a round's ratio is the median over its pairs, and the result the mean of the rounds' ratios with its
standard error. Memory is read from compiled programs, the A100's without one.

Every round of an optimizer is a line of ``results/before_after_runs.jsonl``. Run again, the script
adds rounds to those that are there; delete the file to compare other trees.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
from pathlib import Path
from typing import Any

import _record

RUNS = _record.RESULTS / "before_after_runs.jsonl"
MODEL, BATCH, LENGTH = "opt-125m", 4, 64
# Compiled for an A100, for their memory alone: model, dtype, batch, length, layers, optimizers.
PLANNED: list[tuple[str, str, int, int, int, tuple[str, ...]]] = [
    (
        "opt-125m",
        "float32",
        4,
        64,
        12,
        ("mezo", "mezo, 4 queries of rank 1, batched", "zo_adamu", "zo_sgd_conservative"),
    ),
    ("opt-1.3b", "bfloat16", 8, 256, 4, ("mezo", "zo_adamu")),
]
# One thread for the kernels, and one for what XLA runs side by side.
ONE_THREAD = "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1"


class Side:
    """A process with one tree's zojax."""

    def __init__(self, tree: Path, flags: str = ""):
        env = {**os.environ, "PYTHONPATH": str(tree), "JAX_PLATFORMS": "cpu", "XLA_FLAGS": flags}
        self.process = subprocess.Popen(
            [sys.executable, str(Path(__file__).with_name("_before_after.py"))],
            env=env,
            cwd=tree,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def ask(self, name: str, *arguments: Any) -> Any:
        requests, answers = self.process.stdin, self.process.stdout
        if requests is None or answers is None:
            raise RuntimeError("before_after: the process has no pipes.")
        requests.write(json.dumps([name, *arguments]) + "\n")
        requests.flush()
        answer = answers.readline()
        if not answer:
            raise RuntimeError(f"before_after: {name} {arguments} ended its process.")
        return json.loads(answer)

    def close(self) -> None:
        self.process.communicate()  # a process ends where its requests do


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--before", type=Path, required=True, help="a tree of the older commit")
    parser.add_argument("--rounds", type=int, default=7, help="fresh pairs of processes")
    parser.add_argument("--steps", type=int, default=6, help="pairs of steps in a round")
    parser.add_argument("--compilations", type=int, default=2, help="pairs in a round")
    parser.add_argument("--layers", type=int, default=2)
    args = parser.parse_args()
    before, after = args.before.resolve(), Path(__file__).resolve().parents[1]
    work = {"model": MODEL, "batch": BATCH, "length": LENGTH, "layers": args.layers}

    RUNS.parent.mkdir(exist_ok=True)
    if not RUNS.is_file():
        _add([{"device": "a100-80gb", **found} for found in _planned(before, after)])
    _write(args)  # now and after every round: a run that is stopped has measured something
    for _ in range(args.rounds):
        number = len({run["round"] for run in _runs() if run["device"] == "cpu"})
        sides = Side(before, ONE_THREAD), Side(after, ONE_THREAD)
        names = sides[1].ask("optimizers")
        for side in sides:  # the first compilation of a process has more to load
            side.ask("compile", names[0], work)
        for name in names:
            compiled = [_pair(sides, number, "load", name, work)]
            nbytes = [side.ask("loaded") for side in sides]
            steps = [_pair(sides, i, "step") for i in range(args.steps)]
            compiled += [
                _pair(sides, number + i, "compile", name, work) for i in range(1, args.compilations)
            ]
            run = {
                "device": "cpu",
                "model": f"{MODEL} of {args.layers} layers, float32, {BATCH}×{LENGTH}",
                "optimizer": name,
                "bytes": nbytes,
                "round": number,
                "compile": round(statistics.median(compiled), 4),
                "step": round(statistics.median(steps), 4),
            }
            print(run, file=sys.stderr, flush=True)
            _add([run])
        for side in sides:
            side.close()
        _write(args)


def _runs() -> list[dict[str, Any]]:
    return [json.loads(line) for line in RUNS.read_text(encoding="utf-8").splitlines()]


def _add(runs: list[dict[str, Any]]) -> None:
    with RUNS.open("a", encoding="utf-8") as file:
        file.writelines(json.dumps(run, ensure_ascii=False) + "\n" for run in runs)


def _write(args: argparse.Namespace) -> None:
    groups: dict[tuple[str, str, str], list[dict[str, Any]]] = {}
    for run in _runs():
        groups.setdefault((run["device"], run["model"], run["optimizer"]), []).append(run)
    timed = [run for runs in groups.values() for run in runs if run["device"] == "cpu"]
    rows = [
        {
            "device": device,
            "model": model,
            "optimizer": name,
            "bytes before": runs[0]["bytes"][0],
            "bytes after": runs[0]["bytes"][1],
            **_times(runs if device == "cpu" else []),
        }
        for (device, model, name), runs in groups.items()
    ]
    everything = dict.fromkeys(rows[0], None) | {"optimizer": "all of them"} | _times(timed)
    rows.sort(key=lambda row: row["device"] != "cpu")
    commit = ["git", "-C", str(args.before), "rev-parse", "--short", "HEAD"]
    path = _record.write(
        "before_after",
        "A step before and after",
        [*rows, everything],
        f"Bytes of arguments, results and temporaries of the compiled step. Times on this "
        f"machine's CPU, in CPU time with one thread: means over "
        f"{len({run['round'] for run in timed})} fresh pairs of processes of the median of "
        f"{args.steps} pairs of steps ({args.compilations} of compilations, tracing included), in "
        f"the order before, after, after, before. "
        f"Before: {subprocess.check_output(commit, text=True).strip()}.",
    )
    print(f"written: {path}", flush=True)


def _times(runs: list[dict[str, Any]]) -> dict[str, float | None]:
    """Return the columns of the times: each mean, and its standard error if there are several."""
    columns: dict[str, float | None] = {}
    for what in ("compile", "step"):
        ratios = [run[what] for run in runs]
        several = len(ratios) > 1
        error = statistics.stdev(ratios) / len(ratios) ** 0.5 if several else None
        columns[f"{what} time, after ÷ before"] = (
            round(statistics.mean(ratios), 3) if runs else None
        )
        columns[f"{what} time, standard error"] = error and round(error, 4)
    return columns


def _pair(sides: tuple[Side, Side], number: int, name: str, *arguments: Any) -> float:
    """Return after ÷ before of one measurement each, with the order turned round every time."""
    order = (0, 1) if number % 2 == 0 else (1, 0)
    seconds = {which: sides[which].ask(name, *arguments) for which in order}
    return seconds[1] / seconds[0]


def _planned(before: Path, after: Path) -> list[dict[str, Any]]:
    sides, rows = (Side(before), Side(after)), []
    for model, dtype, batch, length, layers, optimizers in PLANNED:
        work = {"model": model, "dtype": dtype, "batch": batch, "length": length, "layers": layers}
        for name in optimizers:
            first, second = (side.ask("memory", "a100-80gb", name, work) for side in sides)
            print(f"a100-80gb, {model}, {name}: {first}, {second}", file=sys.stderr, flush=True)
            rows.append(
                {
                    "model": f"{model} of {layers} layers, {dtype}, {batch}×{length}",
                    "optimizer": name,
                    "bytes": [first, second],
                }
            )
    for side in sides:
        side.close()
    return rows


if __name__ == "__main__":
    main()
