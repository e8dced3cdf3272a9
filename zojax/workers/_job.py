"""What a worker works on, and how a worker makes it in its own process."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import optax

from zojax._types import Params


class Job(NamedTuple):
    """An optimizer, the parameters it starts from, and a loss.

    The crew and all of its workers must make the same.
    """

    tx: optax.GradientTransformation
    params: Params  # before the first step; a worker overwrites them
    loss: Callable[[Params, int], Any]  # loss(params, step), steps from 0: a real number
    note: Callable[[int], str] | None = None  # note(step): JSON on what was just evaluated
    close: Callable[[], None] | None = None  # called when a worker is ended in an orderly way
    passing: Callable[[str], None] | None = None  # called with each place that an answer passes


class Make(NamedTuple):
    """Where a worker's process finds the function that makes its job.

    It is named and not sent, so that a worker runs nothing but what is installed where it runs.
    """

    function: str  # "package.module:function"
    settings: Mapping[str, Any] = {}  # keyword arguments: plain numbers, strings, lists, dicts


def make_job(make: Make) -> Job:
    """Import the function and make the job.

    Raises:
      ValueError: ``function`` names no function.
      TypeError: It makes something else.
    """
    module, colon, name = make.function.partition(":")
    if not (colon and module and name.isidentifier()):
        raise ValueError(
            f'make_job: function must be written "package.module:function", got {make.function!r}.'
        )
    found = getattr(importlib.import_module(module), name, None)
    if not callable(found):
        raise ValueError(  # noqa: TRY004 - the name is wrong
            f"make_job: {module} must have a function {name}, got {found!r}."
        )
    job = found(**make.settings)
    if not isinstance(job, Job):
        raise TypeError(f"make_job: {make.function} must make a zojax.workers.Job, got {job!r}.")
    return job
