"""Checks of examples and token ids; without them JAX would silently compute wrong results."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NoReturn

from zojax.lm.tasks._example import Example
from zojax.lm.tasks._task import Task
from zojax.lm.tasks._template import LABEL, fields_of


def check_examples(
    examples: Sequence[Example], task: Task, template: str, num_classes: int
) -> None:
    """Refuse examples that do not fit their task.

    Args:
      examples: Examples of any origin; examples read from files have been checked before.
      task: The task of the examples.
      template: The template that the examples fill.
      num_classes: The number of classes; 0 for a task without classes.

    Raises:
      ValueError: A field, an answer or a choice is missing, or a label is not the number of a class
        or choice. The message names the example.
    """
    fields = [name for name in fields_of(template) if name != LABEL]
    for place, example in enumerate(examples):
        missing = [name for name in fields if name not in example.fields]
        if missing:
            _refuse(place, f"fields must have {', '.join(missing)}", sorted(example.fields))
        if task.kind == "generation":
            if not example.answers:
                _refuse(place, "answers must not be empty", example.answers)
            continue
        count = num_classes or len(example.choices)
        if task.kind == "multiple_choice":
            _check_choices(place, example, fields)
        what = "classes" if num_classes else "choices"
        for label in (example.label, *example.right):
            if not 0 <= label < count:
                _refuse(place, f"labels must lie within 0 … {count - 1}, its {what}", label)


def check_ids(ids: Iterable[int], vocab_size: int | None, owner: str) -> None:
    """Refuse token ids that have no row in the model's embedding: JAX would read another row.

    Raises:
      ValueError: An id has no row; the message names ``owner``, where the id comes from.
    """
    if vocab_size is None:
        return
    wrong = next((i for i in ids if not 0 <= i < vocab_size), None)
    if wrong is not None:
        raise ValueError(
            f"tokenize: token ids must lie within 0 … {vocab_size - 1}, the rows of the model's "
            f"embedding, got {wrong} in {owner}. Take the tokenizer that the model was trained "
            "with: this one has more tokens."
        )


def _check_choices(place: int, example: Example, fields: Iterable[str]) -> None:
    if not example.choices:
        _refuse(place, "choices must not be empty", example.choices)
    for name in fields:
        value = example.fields[name]
        if not isinstance(value, str) and len(value) != len(example.choices):
            expected = f"{name} must be one text, or one for each of {len(example.choices)} choices"
            _refuse(place, expected, value)


def _refuse(place: int, expected: str, found: object) -> NoReturn:
    raise ValueError(f"tokenize: example {place}: {expected}, got {found!r}. Correct the example.")
