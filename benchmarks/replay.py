"""Replay of runs of opt-mini: are the bits the same, how long does it take, how large is the log?

    python benchmarks/replay.py

Each optimizer tunes opt-mini on Rotten Tomatoes with its default settings; then its model is
rebuilt from the log alone, in the same process. Compilation is apart on both sides.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path
from typing import Any

import _record
import jax

from zojax.lm.training import (
    DataConfig,
    FinetuneConfig,
    finetune,
    load_config,
    load_to_tune,
    make_optimizer,
)
from zojax.trajectory import Log, LogWriter, Replayer, read_log

OPTIMIZERS = (
    "mezo", "zo_sgd_sign", "zo_sgd_momentum", "zo_sgd_conservative", "zo_sgd_blockwise",
    "zo_adam", "zo_adamm", "zo_adamu", "forward_gradient_sgd",
)  # fmt: skip
# How long a whole run takes to replay; the others show that their bits are the same.
WHOLE = ("mezo", "zo_adamu")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=2000, help=f"of {' and '.join(WHOLE)}")
    parser.add_argument("--short-steps", type=int, default=200, help="of the others")
    parser.add_argument("--batch-size", type=int, default=16)
    arguments = parser.parse_args()
    runs = [(name, "float32") for name in OPTIMIZERS] + [(name, "bfloat16") for name in WHOLE]
    rows: list[dict[str, Any]] = []
    for optimizer, dtype in runs:
        whole = optimizer in WHOLE and dtype == "float32"
        steps = arguments.steps if whole else arguments.short_steps
        # The compact log with bfloat16 parameters, so that both kinds are seen.
        rows.append(measured(optimizer, dtype, dtype, steps, arguments.batch_size))
        print(rows[-1], flush=True)
        _record.write(
            "replay",
            "opt-mini rebuilt from the log of its run",
            rows,
            f"Batches of {arguments.batch_size}; seconds without compilation.",
        )


def measured(
    optimizer: Any, dtype: Any, slopes: Any, steps: int, batch_size: int
) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as name:
        config = FinetuneConfig(
            optimizer=optimizer,
            dtype=dtype,
            slopes=slopes,
            steps=steps,
            batch_size=batch_size,
            eval_every=steps,
            keep=0,
            data=DataConfig(dev_size=20, test_size=20),
            output=Path(name) / "run",
        )
        result = finetune(config)
        config = load_config(result.folder)
        path = result.folder / "trajectory.log"
        log = read_log(path)
        tuned = load_to_tune(config)
        tx = make_optimizer(config, tuned.model.params, log.header.prng_key()).tx
        replayer = Replayer(tx)

        def fresh() -> tuple[Any, Any]:
            params = load_to_tune(config).model.params
            return params, jax.jit(tx.init)(params)

        jax.block_until_ready(replayer.take(*fresh(), log.scalars[:1]))
        params, state = jax.block_until_ready(fresh())
        begin = time.perf_counter()
        params, _ = jax.block_until_ready(replayer.take(params, state, log.scalars))
        seconds = time.perf_counter() - begin
        tuned.save(params, Path(name) / "again")
        again, first = (
            (folder / "model.safetensors").read_bytes()
            for folder in (Path(name) / "again", result.model_folder)
        )
        size = path.stat().st_size
        each = (size - _header_bytes(log)) / steps
        training = result.seconds["steps"]
        return {
            "optimizer": optimizer,
            "parameters": dtype,
            "steps": steps,
            "slopes in the log": slopes,
            "bit-identical": "yes" if again == first else "no",
            "training, s": round(training, 2),
            "replay, s": round(seconds, 2),
            "times faster": round(training / seconds, 1),
            "log, bytes": size,
            "bytes a step": each,
        }


def _header_bytes(log: Log) -> int:
    """The size of a log of no steps."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "empty.log"
        LogWriter(path, log.header).close()
        return path.stat().st_size


if __name__ == "__main__":
    main()
