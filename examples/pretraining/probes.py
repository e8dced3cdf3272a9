"""How well a model answers the demo's prompt before it is tuned: on Rotten Tomatoes dev."""

from __future__ import annotations

from collections.abc import Sequence
from types import ModuleType
from typing import NamedTuple

import numpy as np
from transformers import PreTrainedTokenizerFast

from pretraining.batches import MAX_LENGTH, pad
from pretraining.rows import Row
from pretraining.trainer import Trainer
from zojax.lm.tasks.rotten_tomatoes import Example

WORDS = {"terrible/great": (" terrible", " great"), "bad/good": (" bad", " good")}
_BATCH = 32


class Probe(NamedTuple):
    """How well a score tells the two labels apart.

    Attributes:
      accuracy: With the threshold zero.
      best_accuracy: With the threshold that is best on the same examples.
      auc: The area under the ROC curve.
    """

    accuracy: float
    best_accuracy: float
    auc: float


def probe(scores: np.ndarray, labels: np.ndarray) -> Probe:
    ranked = labels[np.argsort(scores, kind="stable")]
    positives, negatives = ranked.sum(), (1 - ranked).sum()
    below = np.concatenate([[0], np.cumsum(1 - ranked)])
    above = positives - np.concatenate([[0], np.cumsum(ranked)])
    return Probe(
        accuracy=float(np.mean((scores > 0) == labels)),
        best_accuracy=float(np.max(below + above) / len(labels)),
        auc=float(np.sum(below[1:] * ranked) / (positives * negatives)),
    )


def word_scores(
    trainer: Trainer,
    family: ModuleType,
    tokenizer: PreTrainedTokenizerFast,
    texts: Sequence[str],
) -> dict[str, np.ndarray]:
    """Return, for each pair of words, the second's logit minus the first's after each text."""
    pairs = {
        name: [tokenizer(word, add_special_tokens=False).input_ids[0] for word in words]
        for name, words in WORDS.items()
    }
    scores: dict[str, list[np.ndarray]] = {name: [] for name in WORDS}
    for start in range(0, len(texts), _BATCH):
        prompts = [text + family.PROMPT for text in texts[start : start + _BATCH]]
        ids = tokenizer(prompts).input_ids
        longest = max(len(row) for row in ids)
        width = next(width for width in (32, 64, 128, MAX_LENGTH) if longest <= width)
        places = np.array([i * width + family.answer_place(row) for i, row in enumerate(ids)])
        rows, _ = pad([Row(row, [0.0] * len(row)) for row in ids], width, width)
        logits = np.asarray(trainer.logits_at(trainer.params, rows, places))
        for name, (negative, positive) in pairs.items():
            scores[name].append(logits[:, positive] - logits[:, negative])
    return {name: np.concatenate(parts) for name, parts in scores.items()}


def run_probes(
    trainer: Trainer,
    family: ModuleType,
    tokenizer: PreTrainedTokenizerFast,
    examples: Sequence[Example],
) -> dict[str, dict[str, float]]:
    scores = word_scores(trainer, family, tokenizer, [example.text for example in examples])
    labels = np.array([example.label for example in examples])
    return {
        name: {key: round(value, 4) for key, value in probe(those, labels)._asdict().items()}
        for name, those in scores.items()
    }
