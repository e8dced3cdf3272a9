"""The task of a configuration: one by name or from a file, or the user's own rows."""

from __future__ import annotations

import dataclasses
from typing import Any

from zojax.lm.settings import DataConfig
from zojax.lm.tasks import ModelKind, Task, load_task, own_task

_TEXT = "text"


def task_of(config: DataConfig, kind: ModelKind) -> Task:
    """Return the task of a configuration, with its prompt for a kind of model.

    Args:
      config: The configuration; for the user's own files, with the classes' names or words, which
        a run's ``config.json`` has.
      kind: The kind of model that reads the prompts.

    Raises:
      FileNotFoundError: The task's TOML file does not exist.
      ValueError: No task has that name, or the template, the columns or the label words do not fit
        the task.
    """
    own = is_own(config)
    task = _own_task(config, kind) if own else load_task(config.task or "rotten-tomatoes")
    sizes = {"train": config.train_size, "dev": config.dev_size, "test": config.test_size}
    given = {name: size for name, size in sizes.items() if size is not None}
    changes: dict[str, Any] = {"sizes": task.sizes._replace(**given)}
    if config.label_words is not None:
        changes |= {"label_words": config.label_words, "masked_label_words": (), "label_names": ()}
    if config.label_names is not None:
        changes["label_names"] = config.label_names
    if config.template is not None and not own:
        changes["template" if kind == "causal" else "masked_template"] = config.template
    if config.label_column is not None:
        if task.kind == "generation":
            raise ValueError(
                f"finetune: label_column must be left out for {task.name}, a task of generation, "
                f"got {config.label_column!r}. Name the answers' column in a task of your own: "
                'answers = "..." in its TOML file.'
            )
        changes["label_column"] = config.label_column
    if config.text_column is not None:
        if _TEXT not in task.fields:
            raise ValueError(
                f"finetune: text_column must be for a prompt with the field {{text}}, got "
                f"{config.text_column!r} for {task.name}, whose fields are "
                f"{', '.join(task.fields)}. Leave it out: fields are columns of those names."
            )
        changes["columns"] = {**task.columns, _TEXT: config.text_column}
    return dataclasses.replace(task, **changes)


def is_own(config: DataConfig) -> bool:
    """Whether the rows are the user's own, of no task that has a name or a file."""
    return config.task is None and config.train is not None


def needs_classes(config: DataConfig) -> bool:
    """Whether the classes are those that the training file has."""
    return is_own(config) and config.label_names is None and config.label_words is None


def _own_task(config: DataConfig, kind: ModelKind) -> Task:
    words = config.label_words or config.label_names
    if config.train is None or words is None:
        raise ValueError(
            f"finetune: the classes of {config.train} are not known. Give label_names, or read "
            "them from the rows with with_classes."
        )
    return own_task(config.train.name, words, kind, config.template)
