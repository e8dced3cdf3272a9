"""Rows of prompts and completions: padded to a few lengths, or packed into rows of one length.

pip install ".[demo]"
python benchmarks/packing.py
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

import _record
import jax
import numpy as np

import zojax
from zojax.lm.sequences import NextToken, SequenceSet, TokenText
from zojax.lm.tasks import bucket_lengths, training_batches
from zojax.lm.training import (
    DataConfig,
    FinetuneConfig,
    load_model,
    make_optimizer,
    make_step,
    prepare,
    resolve,
)

MODEL, LENGTH, ROWS, BATCH = "opt-mini", 256, 2000, 16
BUCKETS = (1, 2, 3, 4, 6)
WORDS = [
    "the",
    "film",
    "was",
    "a",
    "story",
    "of",
    "two",
    "people",
    "who",
    "never",
    "knew",
    "how",
    "long",
    "it",
    "would",
    "be",
]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--rounds", type=int, default=7)
    rounds = parser.parse_args().rounds
    with tempfile.TemporaryDirectory() as folder:
        data = DataConfig(train=_file(Path(folder)), max_length=LENGTH)
        config = resolve(FinetuneConfig(model=MODEL, optimizer="mezo", data=data))
        prepared = prepare(config)
    rows = prepared.sets["train"]
    if not isinstance(rows, SequenceSet):
        raise TypeError("The rows must be prompts with completions.")
    model = load_model(prepared.config)
    optimizer = make_optimizer(config, model.params)
    step = jax.jit(
        make_step(optimizer, NextToken(model, prepared.tokens).loss),
        compiler_options=zojax.compiler_options(),
    )
    packed = _packed(rows)
    # As many tokens in a batch as in one of padded rows.
    together = max(1, round(BATCH * len(packed) / len(rows)))
    layouts = {
        f"padded to {count} length{'s' if count > 1 else ''}": (rows, count, BATCH)
        for count in BUCKETS
    }
    layouts[f"packed into rows of {LENGTH}"] = (packed, 1, together)
    state = optimizer.tx.init(model.params)
    found = [
        {"rows": name, **_measured(step, model.params, state, *layout, rounds)}
        for name, layout in layouts.items()
    ]
    for row in found:
        row["tokens a second ÷ one length"] = round(
            row["read tokens a second"] / found[0]["read tokens a second"], 2
        )
    path = _record.write(
        "packing",
        f"Padding and packing on CPU: MeZO on {MODEL}, {len(rows)} rows of up to {LENGTH} tokens",
        found,
        "Prompts and completions of lengths that are distributed log-normally. An epoch's batches "
        f"are {BATCH} rows, or as many packed rows as have their tokens; seconds are medians of "
        f"{rounds} rounds of a step of each shape, by how many batches have it. Packed rows read "
        "other examples before their own: nothing keeps them apart here.",
    )
    print(f"written: {path}")


def _file(folder: Path) -> Path:
    """Rows whose lengths are distributed as those of instructions are: many short, few long."""
    rng = np.random.default_rng(0)
    sizes = np.exp(rng.normal([3.0, 3.5], [0.7, 0.8], (ROWS, 2))).astype(int) + 1

    def text(size: int) -> str:
        return " ".join(rng.choice(WORDS, size))

    lines = [json.dumps({"prompt": text(a) + ":", "completion": " " + text(b)}) for a, b in sizes]
    path = folder / "rows.jsonl"
    path.write_text("\n".join(lines), encoding="utf-8")
    return path


def _packed(rows: SequenceSet) -> SequenceSet:
    """Several rows one after the other, longer ones first, each where it fits first."""
    bins: list[list[TokenText]] = []
    free = np.array([], int)
    for place in np.argsort(-rows.lengths):
        row = rows.rows[place]
        fits = np.flatnonzero(free >= len(row.ids))
        if len(fits):
            bins[fits[0]].append(row)
            free[fits[0]] -= len(row.ids)
        else:
            bins.append([row])
            free = np.append(free, LENGTH - len(row.ids))
    joined = tuple(
        TokenText(
            np.concatenate([row.ids for row in each]), np.concatenate([row.learnt for row in each])
        )
        for each in bins
    )
    return dataclasses.replace(rows, rows=joined, whole=joined)


def _measured(
    step: Any, params: Any, state: Any, rows: SequenceSet, buckets: int, size: int, rounds: int
) -> dict[str, Any]:
    lengths = bucket_lengths(rows.lengths, buckets)
    epoch = len(rows) // size
    stream = training_batches(rows, lengths, size, seed=0)
    batches = [batch for _, batch in zip(range(epoch), stream, strict=False)]
    by_length = {batch.input_ids.shape[1]: batch for batch in batches}
    seconds, compiling = 0.0, 0.0
    for length, batch in by_length.items():
        start = time.perf_counter()
        program = step.lower(params, state, batch).compile()
        compiling += time.perf_counter() - start
        jax.block_until_ready(program(params, state, batch))
        times: list[float] = []
        for _ in range(rounds):
            start = time.perf_counter()
            jax.block_until_ready(program(params, state, batch))
            times.append(time.perf_counter() - start)
        count = sum(each.input_ids.shape[1] == length for each in batches)
        seconds += count * statistics.median(times)
    read = sum(int(batch.attention_mask.sum()) for batch in batches)
    padded = sum(batch.input_ids.size for batch in batches)
    return {
        "programs": len(by_length),
        "padding, %": round(100 * (1 - read / padded), 1),
        "seconds an epoch": round(seconds, 1),
        "compiling, s": round(compiling, 1),
        "read tokens a second": round(read / seconds),
    }


if __name__ == "__main__":
    main()
