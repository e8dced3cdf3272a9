"""The command ``zojax predict``: a line of standard output for each text, as the texts come."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterable, Iterator
from typing import Any

from zojax.cli._arguments import PredictArguments
from zojax.lm.prediction import (
    Prediction,
    PromptRow,
    TextRow,
    TunedRun,
    header,
    line,
    load_run,
    read_prompts,
    read_texts,
    text_format,
)
from zojax.lm.training import Observer, columns_of, sequence_kind

_SECONDS = 5.0  # between two lines of progress


def run_predict(arguments: PredictArguments) -> None:
    """Predict each text and print it; progress is printed to stderr.

    A reader that stops reading, such as ``head``, ends the command without an error.

    Raises:
      FileNotFoundError, ImportError, ValueError: As for :func:`zojax.lm.prediction.load_run` and
        :func:`zojax.lm.prediction.read_texts`; or a row has no text.
    """
    text_format(arguments.texts, arguments.texts_format)  # before the model loads
    progress = _Progress()
    run = load_run(arguments.run, which=arguments.which, observer=progress)
    try:
        _write(run, arguments, progress)
    except BrokenPipeError:
        # Python would write what is left at exit, and report the broken pipe again.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _write(run: TunedRun, arguments: PredictArguments, progress: _Progress) -> None:
    if arguments.format == "tsv":
        print(header(run.labels), flush=True)
    for found in _answers(run, arguments, progress):
        print(line(found, run.labels, arguments.format))
        progress.row()
    sys.stdout.flush()
    progress.end()


def _answers(
    run: TunedRun, arguments: PredictArguments, progress: _Progress
) -> Iterator[Prediction | str | None]:
    size = arguments.batch_size or run.config.eval_batch_size
    most, data = arguments.max_new_tokens, run.config.data
    if kind := sequence_kind(data):
        rows = read_prompts(arguments.texts, kind, columns_of(data), arguments.texts_format)
        prompts = _good(rows, arguments, progress)
        return run.generate_each(prompts, max_new_tokens=most, batch_size=size)
    texts = _good(
        read_texts(arguments.texts, run.task, arguments.texts_format), arguments, progress
    )
    if run.kind == "generation":
        return run.generate_each(texts, max_new_tokens=most, batch_size=size)
    if most is not None:
        raise ValueError(
            f"predict: max_new_tokens must be for a run that writes answers, got {most} for "
            f"{run.task.name}, which has classes. Leave --max-new-tokens out."
        )
    return run.predict_each(texts, batch_size=size)


def _good(
    rows: Iterable[TextRow] | Iterable[PromptRow], arguments: PredictArguments, progress: _Progress
) -> Iterator[Any]:
    """What is to be read of each row; None for a bad one, if those are skipped."""
    for where, content, problem in rows:
        if content is None:
            if not arguments.skip_bad_rows:
                raise ValueError(
                    f"predict: {where}: {problem} Correct the row, or write - in its place with "
                    "--skip-bad-rows."
                )
            progress.bad += 1
        yield content


class _Progress(Observer):
    """Prints to stderr what begins, and every few seconds how many rows are done."""

    def __init__(self) -> None:
        self.bad = 0  # rows without a text
        self._rows = 0
        self._start = self._said = time.perf_counter()

    def status(self, message: str) -> None:
        print(f"{message} ...", file=sys.stderr, flush=True)

    def row(self) -> None:
        self._rows += 1
        now = time.perf_counter()
        if self._rows == 1:  # before it, the program was compiled
            self._said = now
        if now - self._said >= _SECONDS:
            self._said = now
            sys.stdout.flush()
            print(f"{self._rows} rows ...", file=sys.stderr, flush=True)

    def end(self) -> None:
        seconds = time.perf_counter() - self._start
        bad = f", {self.bad} of them without a text" if self.bad else ""
        print(f"{self._rows} rows in {seconds:.1f} s{bad}", file=sys.stderr, flush=True)
