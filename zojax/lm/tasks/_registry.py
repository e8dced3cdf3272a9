"""The registry of tasks by name."""

from __future__ import annotations

from pathlib import Path

from zojax.lm.tasks._packages import PACKAGE_TASKS
from zojax.lm.tasks._papers import PAPER_TASKS
from zojax.lm.tasks._task import Task
from zojax.lm.tasks._toml import task_from_toml

_TASKS = {task.name: task for task in (*PAPER_TASKS, *PACKAGE_TASKS)}


def task_names() -> tuple[str, ...]:
    """Return the names of the tasks that :func:`load_task` knows."""
    return tuple(_TASKS)


def load_task(name_or_path: str | Path) -> Task:
    """Return a task by its name, or read it from a TOML file.

    Raises:
      FileNotFoundError: The TOML file does not exist.
      ValueError: No task has this name, or the file is wrong.
    """
    if str(name_or_path).endswith(".toml"):
        return task_from_toml(name_or_path)
    if name_or_path not in _TASKS:
        raise ValueError(
            f"load_task: a task must be one of {', '.join(_TASKS)}, or a file that ends in .toml, "
            f"got {str(name_or_path)!r}."
        )
    return _TASKS[str(name_or_path)]
