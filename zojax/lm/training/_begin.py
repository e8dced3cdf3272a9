"""The model of a run before its first step: loaded, and with the start that the run asks for."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from zojax.lm.processes import Spread
from zojax.lm.settings import START_NAMES, FinetuneConfig
from zojax.lm.tasks import Classification
from zojax.lm.training._data import Prepared
from zojax.lm.training._evaluation import Scores
from zojax.lm.training._observer import Observer
from zojax.lm.training._score_file import Score
from zojax.lm.training._start import FITTED, Start, find_start
from zojax.lm.training._start_files import read_start
from zojax.lm.training._tuned import Tuned


class Begun(NamedTuple):
    """A run before its first step."""

    config: FinetuneConfig  # with the start that was taken
    tuned: Tuned  # with that start
    start: Start | None  # None for a task without classes
    score: Score | None  # the head or the bias that was fitted
    seconds: float = 0.0  # spent on the start
    compile_seconds: float = 0.0  # the part of them that was spent compiling

    @property
    def name(self) -> str:
        """What the scores before the first step are called."""
        return "zero-shot" if self.start is None or self.start.name == "words" else "start"

    def measured(
        self,
        dev: Scores,
        test: Scores | None,
        majority: Mapping[str, float | None],
        observer: Observer,
    ) -> Start | None:
        """Show the start with its scores, and return it; see :meth:`Start.with_scores`."""
        if self.start is None:
            return None
        start = self.start.with_scores(dev, test, majority)
        observer.start(start.lines())
        return start


def begin(
    config: FinetuneConfig,
    asked: str | None,
    tuned: Tuned,
    prepared: Prepared,
    observer: Observer,
    spread: Spread,
    *,
    resume: bool,
) -> Begun:
    """Find the start of a run, or read it from the folder of the run that is resumed.

    Args:
      config: The run's configuration, resolved.
      asked: The start that it asks for; None for a task without classes.
      tuned: The loaded model.
      prepared: The examples.
      observer: Called with what goes on.
      spread: The run's devices.
      resume: Whether the run is resumed.

    Raises:
      ValueError: The model has a head of other classes, or the start cannot be fitted.
    """
    if asked is None:
        return Begun(config, tuned, None, None)
    model = tuned.model
    if model.labels:
        _check_classes(config, asked, model.labels, prepared.fitted_to(model)[0].task.class_names)
        return Begun(config, tuned, Start(asked, "folder"), None)
    if asked not in START_NAMES:  # an adapter that scores label words
        return Begun(config, tuned, Start(asked, "folder"), None)
    saved = read_start(Path(config.resume)) if resume and config.resume else None
    if saved is not None:
        start, score = saved
        return Begun(config, tuned.starting(score, spread), start, score)
    before = time.perf_counter()
    tokens, sets = prepared.fitted_to(model)
    task = Classification(model, tokens)
    start, score, compile_seconds = find_start(config, asked, task, sets, observer, spread)
    return Begun(
        dataclasses.replace(config, start=start.name),
        tuned.starting(score, spread),
        start,
        score,
        time.perf_counter() - before,
        compile_seconds,
    )


def _check_classes(
    config: FinetuneConfig, asked: str, labels: tuple[str, ...], names: tuple[str, ...]
) -> None:
    """Refuse a model whose classes are not those of the task, or a second head for it."""
    if asked in FITTED:
        raise ValueError(
            f"finetune: start must be words for a model that has a head or a bias of classes, got "
            f"{asked} for {config.model}. Leave it out: tuning goes on from what the model has."
        )
    numbered = all(name.startswith("LABEL_") for name in labels)  # transformers' default names
    if len(labels) != len(names) or not (numbered or labels == names):
        raise ValueError(
            f"finetune: the classes of {config.model} must be those of the task, "
            f"{', '.join(names)}, got {', '.join(labels)}. Name the task's classes in that order "
            "with --label-names (label_names), or start from another model."
        )
