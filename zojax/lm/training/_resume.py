"""The configuration of a run that goes on: as it was, or with a larger budget."""

from __future__ import annotations

import dataclasses
from pathlib import Path

from zojax.lm.settings import FinetuneConfig
from zojax.lm.training._resolve import steps_of_passes
from zojax.lm.training._run_folder import load_config, read_results


def to_resume(config: FinetuneConfig) -> FinetuneConfig:
    """Return the configuration of the run that ``config`` asks to resume.

    Raises:
      FileNotFoundError: The folder is not that of a run.
      ValueError: The run has taken all of its steps and gets no more, ``config`` has settings
        besides ``resume`` and a budget, or the run's budget cannot be extended.
    """
    folder = Path(config.resume or "").expanduser().absolute()
    budget = dataclasses.replace(config, resume=None, steps=None, passes=None)
    if dataclasses.replace(budget, workers=None, worker_seconds=None) != FinetuneConfig():
        raise ValueError(
            "finetune: resume must be given alone, or with a larger budget of steps or passes, or "
            "other workers, because a resumed run keeps its own settings, got other settings too. "
            "Leave them out, or start a new run."
        )
    saved = load_config(folder)
    if config.workers is not None:
        if saved.workers is None:
            raise ValueError(
                f"finetune: resume: workers must be left out for a run without, got "
                f"{config.workers}: the last digits of its losses would be others."
            )
        seconds = config.worker_seconds or saved.worker_seconds
        saved = dataclasses.replace(saved, workers=config.workers, worker_seconds=seconds)
    if config.steps is not None or config.passes is not None:
        saved = _extended(saved, config)
    elif read_results(folder, "finetune: resume").get("complete"):
        raise ValueError(
            f"finetune: resume must be a run that is not complete, got {folder}, which has taken "
            f"all of its {saved.num_steps} steps. Give more: --resume {folder} --steps "
            f"{2 * saved.num_steps}."
        )
    return dataclasses.replace(saved, output=folder, resume=folder, overwrite=False)


def _extended(saved: FinetuneConfig, asked: FinetuneConfig) -> FinetuneConfig:
    """A run's configuration with more steps, whose first steps stay as they were."""
    if asked.passes is not None and asked.steps is not None:
        raise ValueError(
            f"finetune: passes must not be given with steps, got {asked.passes} and {asked.steps}. "
            "Give one."
        )
    passes = asked.passes
    steps = asked.steps if passes is None else steps_of_passes(saved, passes)
    if steps is None or steps <= saved.num_steps:
        raise ValueError(
            f"finetune: resume: steps must be more than the run's {saved.num_steps}, got {steps}."
        )
    return dataclasses.replace(
        saved,
        steps=steps,
        passes=None,
        minutes=None,
        planned_steps=saved.planned_steps or saved.num_steps,
    )
