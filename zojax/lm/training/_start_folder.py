"""A start that is a folder: what an earlier run, or another program, has saved."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

from zojax.lm.sequences import SequenceTokens
from zojax.lm.settings import START_NAMES, AdapterConfig, FinetuneConfig
from zojax.lm.tasks import PromptTokens
from zojax.lm.training._run_folder import BEST, TUNED, load_config, read_results
from zojax.lm.training._start_fit import require_sklearn
from zojax.lm.training._task import is_own

_ADAPTERS = ("adapter.json", "adapter_config.json")


def with_folder(config: FinetuneConfig) -> FinetuneConfig:
    """Read what the folder of ``start`` has, and put it into the configuration.

    A whole model takes the place of ``model``. An adapter stays as the start, with its run's model
    and settings.

    Raises:
      FileNotFoundError: There is no such folder, or it has no model.
      ValueError: The run tunes another adapter than the folder has.
    """
    if config.start in (None, *START_NAMES):
        return config
    folder = Path(config.start).expanduser().absolute()
    if not folder.is_dir():
        raise FileNotFoundError(
            f"finetune: start must be one of {', '.join(START_NAMES)}, or the folder of a run or "
            f"of a model, got {config.start!r}, which is neither."
        )
    earlier = load_config(folder) if _is_run(folder) else None
    part = folder if earlier is None else _part(folder)
    if earlier is not None and part is None:
        whole = earlier.start in (None, *START_NAMES)
        return dataclasses.replace(
            config,
            model=earlier.model,
            start="words" if whole else earlier.start,
            tuned=_same(config.tuned, earlier.tuned, folder),
        )
    part = part or folder
    if any((part / name).is_file() for name in _ADAPTERS):
        tuned = config.tuned if earlier is None else _same(config.tuned, earlier.tuned, folder)
        if tuned.adapter == "none":
            raise ValueError(
                f"finetune: start {folder} has an adapter, so that adapter must say which, got "
                "none. Give --adapter (adapter) and its settings."
            )
        model = config.model if earlier is None else earlier.model
        return dataclasses.replace(config, model=model, start=str(part), tuned=tuned)
    return dataclasses.replace(config, model=str(part), start="words")


def asked_start(config: FinetuneConfig, tokens: PromptTokens | SequenceTokens) -> str | None:
    """The start that a run asks for, checked before the model loads; None without classes.

    Without ``start`` that is auto for the user's own rows, and the label words for tasks that have
    a name or a file.

    Raises:
      ImportError: scikit-learn is not installed, which fits a head.
      ValueError: The task has no classes.
    """
    task = tokens.task if isinstance(tokens, PromptTokens) else None
    if task is None or task.kind != "classification":
        what = (
            f"rows of kind {config.data.kind}"
            if task is None
            else f"{task.name}, a task of {task.kind.replace('_', ' ')}"
        )
        if config.start in START_NAMES:
            raise ValueError(
                f"finetune: start must be left out for a task without classes, got {config.start} "
                f"for {what}."
            )
        return None
    asked = config.start or ("auto" if is_own(config.data) else "words")
    if asked in ("auto", "probe"):
        require_sklearn()
    return asked


def _is_run(folder: Path) -> bool:
    """Whether a folder's config.json is that of a run and not that of a model."""
    file = folder / "config.json"
    try:
        values: Any = json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}
    except (ValueError, RecursionError):
        return False  # whoever loads the model says what is wrong with the file
    return isinstance(values, dict) and "optimizer" in values


def _part(folder: Path) -> Path | None:
    """The folder of a run's best parameters; None if those are the ones that it started from."""
    if (folder / BEST).is_dir():
        return folder / BEST
    if read_results(folder, "finetune: start").get("best_step") == 0:
        return None
    if (folder / TUNED).is_dir():
        return folder / TUNED
    raise FileNotFoundError(
        f"finetune: start must have a saved model, got {folder}: the run failed, or was killed. "
        f"Resume it:\n    zojax finetune --resume {folder}"
    )


def _same(asked: AdapterConfig, found: AdapterConfig, folder: Path) -> AdapterConfig:
    if asked not in (AdapterConfig(), found):
        raise ValueError(
            f"finetune: adapter must be left out, or be that of the run in start, got {asked} and "
            f"{found} in {folder}."
        )
    return found
