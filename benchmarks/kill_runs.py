"""Runs killed at random moments, each resumed: are the final parameters those of a whole run?

A tiny random OPT is tuned on made-up texts, by MeZO, ZO-AdaMU and Adam in turn. Each run is a
process of its own, killed by SIGKILL, which nothing can catch: after a random time, after a random
record of its log, or in the middle of writing a random checkpoint or the model, as its folder
shows. It is then resumed, killed again with a chance of a half, and resumed to the end.

    python benchmarks/kill_runs.py --runs 100
"""

from __future__ import annotations

import argparse
import hashlib
import json
import multiprocessing
import os
import random
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any, NamedTuple

import _record

STEPS = 1500
# A checkpoint every 250 steps, far more often than a run would want.
SETTINGS = ["--steps", str(STEPS), "--eval-every", "250", "--log-every", "7", "--batch-size", "8"]
OPTIMIZERS = ("mezo", "zo_adamu", "adam")
# Imported once by a server that every run is a fork of: imports would be most of a run.
PRELOAD = [
    "zojax.lm.training",
    "orbax.checkpoint",
    "matplotlib.figure",
    "tokenizers",
    "safetensors.flax",
    "transformers.models.opt.modeling_flax_opt",
]
CONTEXT = multiprocessing.get_context("forkserver")


class Moment(NamedTuple):
    """When a run is killed."""

    what: str  # that was going on: a step, or a write of this name
    step: int  # records in the log, or the last checkpoint's step


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--optimizers", nargs="+", default=list(OPTIMIZERS))
    parser.add_argument("--no-record", action="store_true", help="write no JSON")
    arguments = parser.parse_args()
    rng = random.Random(arguments.seed)
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        os.environ |= {
            "JAX_COMPILATION_CACHE_DIR": str(root / "cache"),
            "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
            "JAX_PLATFORMS": "cpu",
        }
        CONTEXT.set_forkserver_preload(PRELOAD)
        command = prepare(root)
        whole = {
            optimizer: digest(finished(root / f"whole-{optimizer}", command, optimizer))
            for optimizer in arguments.optimizers
        }
        moments: list[Moment] = []
        same: Counter[str] = Counter()
        runs: Counter[str] = Counter()
        for run in range(arguments.runs):
            optimizer = arguments.optimizers[run % len(arguments.optimizers)]
            folder = root / f"run-{run}"
            found: list[Moment] = []
            while not found:  # a run that was faster than its killer is none
                shutil.rmtree(folder, ignore_errors=True)
                found += killed(folder, command, optimizer, rng)
            if rng.random() < 0.5:
                found += killed(folder, command, optimizer, rng)
            moments += found
            runs[optimizer] += 1
            same[optimizer] += digest(finished(folder, command, optimizer)) == whole[optimizer]
            print(run, optimizer, found, f"{same.total()} of {runs.total()} the same", flush=True)
    if not arguments.no_record:
        record(runs, same, moments)
    if same.total() != arguments.runs:
        sys.exit(f"{arguments.runs - same.total()} runs ended with other parameters.")


def prepare(root: Path) -> list[str]:
    """Write model and texts; return the options that name them."""
    sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
    from conftest import write_tiny_opt

    write_tiny_opt(root / "model")
    for name, count in (("train", 40), ("dev", 12), ("test", 16)):
        rows = [
            {"text": f"{('film', 'story')[i % 2]} a It {i}", "label": i % 2} for i in range(count)
        ]
        (root / f"{name}.jsonl").write_text("\n".join(map(json.dumps, rows)))
    files = [
        part
        for name in ("train", "dev", "test")
        for part in (f"--{name}", str(root / f"{name}.jsonl"))
    ]
    return ["--model", str(root / "model"), "--num-buckets", "1", *SETTINGS, *files]


def start(folder: Path, options: list[str], optimizer: str) -> BaseProcess:
    """Begin the run of a folder, or go on with it."""
    command = ["finetune"]
    if (folder / "config.json").is_file():
        command += ["--resume", str(folder)]
    else:
        command += [*options, "--optimizer", optimizer, "--output", str(folder)]
    process = CONTEXT.Process(target=work, args=(command, str(_printed(folder))))
    process.start()
    return process


def work(command: list[str], printed: str) -> None:
    """A run, in a process of its own."""
    with Path(printed).open("w") as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    from zojax.cli import main

    sys.exit(main(command))


def _printed(folder: Path) -> Path:
    return folder.with_name(f"{folder.name}.txt")


def finished(folder: Path, options: list[str], optimizer: str) -> Path:
    """Run to the end."""
    if not _complete(folder):
        process = start(folder, options, optimizer)
        process.join()
        if process.exitcode:
            sys.exit(f"{folder.name}: {_printed(folder).read_text()}")
    return folder


def killed(folder: Path, options: list[str], optimizer: str, rng: random.Random) -> list[Moment]:
    """Run, and kill it at a random moment; nothing where it has come to its end."""
    process = start(folder, options, optimizer)
    wait = rng.choice(
        (_for_a_time, _for_a_time, _for_a_record, _for_a_record, _for_a_checkpoint, _for_the_end)
    )
    wait(process, folder, rng)
    process.kill()
    process.join()
    if process.exitcode not in (0, -signal.SIGKILL):
        sys.exit(f"{folder.name}: {_printed(folder).read_text()}")
    if _complete(folder):
        return []
    if (folder / "model").is_dir():
        what = "the writing of the model"
    elif any("tmp" in path.name for path in _listed(folder / "checkpoints")):
        what = "the writing of a checkpoint"
    else:
        what = "a step or the writing of its record"
    return [Moment(what, _step(folder))]


def _waits(process: BaseProcess, done: Callable[[], bool]) -> None:
    while process.exitcode is None and not done():
        time.sleep(0.0005)


def _trains(folder: Path) -> bool:
    metrics = folder / "metrics.jsonl"
    return metrics.is_file() and metrics.read_bytes().count(b"\n") > 1


def _for_a_time(process: BaseProcess, folder: Path, rng: random.Random) -> None:
    _waits(process, lambda: _trains(folder))
    end = time.perf_counter() + rng.uniform(0.0, 6.0)
    _waits(process, lambda: time.perf_counter() > end)


def _for_a_record(process: BaseProcess, folder: Path, rng: random.Random) -> None:
    log = folder / "trajectory.log"
    _waits(process, lambda: _trains(folder))
    size = rng.randrange(1500, 6 * STEPS)
    _waits(process, lambda: log.is_file() and log.stat().st_size >= size)


def _for_a_checkpoint(process: BaseProcess, folder: Path, rng: random.Random) -> None:
    """One that is being written has another name."""
    seen, count = set[str](), rng.randrange(1, 6)

    def done() -> bool:
        seen.update(path.name for path in _listed(folder / "checkpoints") if "tmp" in path.name)
        return len(seen) >= count

    _waits(process, done)
    time.sleep(rng.uniform(0.0, 0.02))


def _for_the_end(process: BaseProcess, folder: Path, rng: random.Random) -> None:
    _waits(process, (folder / "model").is_dir)
    time.sleep(rng.uniform(0.0, 0.05))


def _listed(folder: Path) -> list[Path]:
    try:
        return list(folder.iterdir())
    except FileNotFoundError:
        return []


def _complete(folder: Path) -> bool:
    results = folder / "results.json"
    return results.is_file() and bool(json.loads(results.read_text()).get("complete"))


def _step(folder: Path) -> int:
    from zojax.trajectory import read_log

    if (folder / "trajectory.log").is_file():
        return len(read_log(folder / "trajectory.log", cut=True).scalars)
    steps = [int(p.name) for p in _listed(folder / "checkpoints") if p.name.isdecimal()]
    return max(steps, default=0)


def digest(folder: Path) -> str:
    """Of the tuned and the best parameters, bit by bit."""
    parts = [folder / name / "model.safetensors" for name in ("model", "best")]
    content = b"".join(path.read_bytes() for path in parts if path.is_file())
    return hashlib.sha256(content).hexdigest()


def record(runs: Counter[str], same: Counter[str], moments: list[Moment]) -> None:
    rows: list[dict[str, Any]] = [
        {
            "optimizer": optimizer,
            "runs killed and resumed": runs[optimizer],
            "final and best parameters bit-identical": same[optimizer],
        }
        for optimizer in runs
    ]
    kinds = Counter(moment.what for moment in moments)
    during = ", ".join(f"{count} during {what}" for what, count in kinds.most_common())
    steps = sorted(moment.step for moment in moments)
    caption = (
        f"{len(moments)} times SIGKILL: {during}; after step {steps[0]} to {steps[-1]} of "
        f"{STEPS}, median {steps[len(steps) // 2]}."
    )
    _record.write(
        "kill_runs", "Runs killed by SIGKILL at random moments, and resumed", rows, caption
    )


if __name__ == "__main__":
    main()
