"""Where tuning starts from in a task with classes: label words, a bias, a head; or a folder's."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from zojax.lm.processes import Spread
from zojax.lm.settings import FinetuneConfig
from zojax.lm.tasks import Classification, PromptSet
from zojax.lm.training._evaluation import Scores
from zojax.lm.training._observer import Observer
from zojax.lm.training._score_file import Score
from zojax.lm.training._start_fit import fit_bias, fit_probe, measure_scores
from zojax.lm.training._start_read import Rows, StartReader

FITTED = ("calibrated", "probe")
# The rows of tokens that a start is fitted to: more hardly improve a head.
_MOST_ROWS = 10_000


@dataclass(frozen=True)
class Start:
    """Where a run starts from.

    Attributes:
      asked: The start that was asked for.
      name: The start that was taken: ``"words"``, ``"calibrated"``, ``"probe"``, or ``"folder"``
        for the head or the bias of a folder.
      dev: The scores on dev of each start that was tried.
      passes: What each took to fit, in forward passes over a training batch.
      all_passes: What all took together, dev included; starts may share rows.
      chosen: Values that were chosen on dev, by name: ``C``.
      left_out: Why other starts were not tried, by name.
      majority: The share of the largest class in dev and in test.
      test: The score on test of the start that was taken; None if it was not measured.
    """

    asked: str
    name: str
    dev: Mapping[str, float] = field(default_factory=dict[str, float])
    passes: Mapping[str, int] = field(default_factory=dict[str, int])
    all_passes: int = 0
    chosen: Mapping[str, float] = field(default_factory=dict[str, float])
    left_out: Mapping[str, str] = field(default_factory=dict[str, str])
    majority: Mapping[str, float] = field(default_factory=dict[str, float])
    test: float | None = None

    def as_json(self) -> dict[str, Any]:
        """The attributes, in the types of JSON."""
        return dataclasses.asdict(self)

    def with_scores(
        self, dev: Scores, test: Scores | None, majority: Mapping[str, float | None]
    ) -> Start:
        """Add what the run has measured before its first step."""
        return dataclasses.replace(
            self,
            dev={**self.dev, self.name: dev.accuracy},
            passes={self.name: 0, **self.passes},
            test=None if test is None else test.accuracy,
            majority={name: share for name, share in majority.items() if share is not None},
        )

    def lines(self) -> list[str]:
        """The table of the starts as text."""
        rows = [("majority", self.majority.get("dev"), self.majority.get("test"), "")]
        for name, share in self.dev.items():
            test = self.test if name == self.name else None
            rows.append((name, share, test, str(self.passes.get(name, 0))))
        lines = [f"{'start':<11}{'dev':>8}{'test':>9}  forward passes to fit"]
        for name, dev, test, passes in rows:
            taken = "  <- taken" if name == self.name else ""
            cells = f"{name:<11}{_percent(dev):>8}{_percent(test):>9}"
            lines.append(f"{cells}  {passes:>6}{taken}".rstrip())
        why = self._why()
        return [*lines, *([f"{'':<11}{why}"] if why else []), *self._others()]

    def _why(self) -> str:
        if len(self.dev) < 2:
            return ""
        return f"{self.name} is best on dev; {self.all_passes} passes read train and dev for all"

    def _others(self) -> list[str]:
        return [f"{'':<11}no {name}: {why}" for name, why in self.left_out.items()]


def find_start(
    config: FinetuneConfig,
    asked: str,
    task: Classification,
    sets: Mapping[str, PromptSet],
    observer: Observer,
    spread: Spread,
) -> tuple[Start, Score | None, float]:
    """Fit the start that a run asks for, or all of them, of which the best on dev is taken.

    Among equals on dev the first of words, calibrated and probe is taken, which changes least.

    Args:
      config: The run's configuration.
      asked: ``"words"``, ``"calibrated"``, ``"probe"`` or ``"auto"``.
      task: The task, with the model that is loaded.
      sets: The tokenised examples of train and dev.
      observer: Called with what goes on.
      spread: The run's devices.

    Returns:
      The start; the bias or the head that it adds to the model; seconds spent compiling.

    Cost: one forward pass over train, at most 10,000 rows of it, and one over dev; label words of
      several tokens take another row for each class. ``"auto"`` leaves such words out if they would
      take more than 10,000 rows. H floats in the host's memory for each row. Nothing for words.

    Raises:
      ValueError: A class has no training example, and no other start was asked for.
    """
    if asked == "words":
        return Start(asked, "words"), None, 0.0
    classes, dev = task.tokens.num_classes, sets["dev"]
    of_words = 1 if task.tokens.one_token else classes  # rows of tokens for an example
    most = _MOST_ROWS // of_words if asked == "calibrated" else _MOST_ROWS
    train, missing = _sample(sets["train"], config.seed, classes, max(most, classes))
    if missing:
        names = ", ".join(task.tokens.task.class_names[label] for label in missing)
        if asked != "auto":
            raise ValueError(
                f"finetune: start {asked} needs training rows of every class, got none of {names}. "
                "Add some, raise train_size, or take start words (--start words)."
            )
        reason = f"no training row of {names}"
        return Start(asked, "words", left_out=dict.fromkeys(FITTED, reason)), None, 0.0
    rows, left_out = of_words * (len(train) + len(dev)), dict[str, str]()
    if asked == "auto" and of_words > 1 and rows > _MOST_ROWS:
        reason = f"label words of several tokens take {rows} rows of tokens"
        left_out = {"words": reason, "calibrated": reason}
    words, features = asked != "probe" and not left_out, asked != "calibrated"
    reader = StartReader(
        config,
        task,
        task.model.params,
        words=words,
        features=features,
        spread=spread,
        announce=observer.status,
        compiled=observer.compiled,
    )
    observer.status(f"reading {len(train)} training rows for a start")
    of_train, of_dev = reader.of(train), reader.of(dev)
    observer.status("fitting a start")
    tried, chosen = _fit(of_train, of_dev, words=words, features=features)
    dev_scores = {name: measured.metric for name, (measured, _) in tried.items()}
    best = max(dev_scores, key=lambda name: dev_scores[name]) if asked == "auto" else asked
    kinds = {"calibrated": "scores", "probe": "features"}
    passes = {
        name: math.ceil(of_train.rows[kinds[name]] / config.batch_size) if name in kinds else 0
        for name in tried
    }
    found = Start(
        asked,
        best,
        dev=dev_scores,
        passes=passes,
        all_passes=math.ceil((of_train.read + of_dev.read) / config.batch_size),
        chosen=chosen if best == "probe" else {},
        left_out=left_out,
    )
    own = tried[best][1]
    return found, Score(own, task.tokens.task.class_names) if own else None, reader.seconds


def _fit(
    train: Rows, dev: Rows, *, words: bool, features: bool
) -> tuple[dict[str, tuple[Scores, dict[str, np.ndarray]]], dict[str, float]]:
    """The scores on dev of each start, with what it adds; and what was chosen on dev."""
    tried: dict[str, tuple[Scores, dict[str, np.ndarray]]] = {}
    chosen: dict[str, float] = {}
    if words:
        tried["words"] = measure_scores(dev.scores, dev.labels), {}
        bias = fit_bias(train.scores, train.labels)
        tried["calibrated"] = measure_scores(dev.scores + bias, dev.labels), {"bias": bias}
    if features:
        kernel, strength = fit_probe(train.features, train.labels, dev.features, dev.labels)
        tried["probe"] = measure_scores(dev.features @ kernel, dev.labels), {"kernel": kernel}
        chosen["C"] = strength
    return tried, chosen


def _sample(prompts: PromptSet, seed: int, classes: int, most: int) -> tuple[PromptSet, list[int]]:
    """At most so many rows, with one of each class first; and the classes that have none."""
    labels = np.array([example.label for example in prompts.examples])
    order = np.random.default_rng(seed).permutation(len(labels))
    found, first = np.unique(labels[order], return_index=True)
    missing = sorted({*range(classes)} - {*found.tolist()})
    if len(labels) <= most:
        return prompts, missing
    ahead = np.isin(np.arange(len(order)), first)
    members = np.sort(np.concatenate([order[ahead], order[~ahead]])[:most])
    part = dataclasses.replace(
        prompts,
        examples=tuple(prompts.examples[i] for i in members),
        rows=tuple(prompts.rows[i] for i in members),
    )
    return part, missing


def _percent(share: float | None) -> str:
    return "" if share is None else f"{share:.1%}"
