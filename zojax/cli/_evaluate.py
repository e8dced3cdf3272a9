"""The command ``zojax eval``: prints scores and tables, and writes them into a new folder."""

from __future__ import annotations

import time
from pathlib import Path

from zojax.cli._arguments import EvaluateArguments
from zojax.cli._console import make_console
from zojax.lm.prediction import as_text, new_folder, write_evaluations
from zojax.lm.training import EVALUATIONS, evaluate_run


def run_evaluate(arguments: EvaluateArguments) -> None:
    """Measure a run's models, print what they do and write it.

    Raises:
      FileExistsError: The output folder is not empty.
      FileNotFoundError, ImportError, ValueError: As for
        :func:`zojax.lm.training.evaluate_run` and
        :func:`zojax.lm.prediction.write_evaluations`.
    """
    beside = Path(arguments.run, EVALUATIONS, time.strftime("%Y-%m-%d-%H%M%S"))
    folder = new_folder(arguments.output or beside)
    console = make_console()
    found = evaluate_run(arguments.run, console, data=arguments.data)
    for name, evaluation in found.items():
        if evaluation.confusion is not None:
            console.line(f"\n{name}\n{as_text(evaluation.confusion)}")
    console.line("")
    for file in write_evaluations(found, folder):
        console.line(f"written: {file}")
