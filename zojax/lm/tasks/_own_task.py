"""The task of a user's own rows: classification with a prompt that fits any classes."""

from __future__ import annotations

import sys

from zojax.lm.tasks._task import ModelKind, Sizes, Task
from zojax.lm.tasks._template import LABEL, fields_of

# Says nothing of what the classes are: topics, opinions, or yes and no.
_TEMPLATE = f"{{text}} Category: {{{LABEL}}}"
_TEXT = "text"


def own_task(
    name: str, label_words: tuple[str, ...], kind: ModelKind, template: str | None = None
) -> Task:
    """Make the task of classifying rows of any origin, of which all are used.

    Args:
      name: The task's name.
      label_words: The word for each class, class 0 first.
      kind: The kind of model that reads the prompts.
      template: The prompt; without it, ``{text} Category: {label}``. If it has no field ``text``,
        the last one is truncated.

    Raises:
      ValueError: The template and the label words do not make a task.
    """
    template = template or _TEMPLATE
    try:
        fields = [field for field in dict.fromkeys(fields_of(template)) if field != LABEL]
    except ValueError:  # Task refuses it, with the reason
        fields = []
    # Both templates decide which fields are read, so the other one has the same fields.
    plain = " ".join(f"{{{field}}}" for field in [*fields, LABEL])
    return Task(
        name=name,
        kind="classification",
        template=template if kind == "causal" else plain,
        masked_template=template if kind == "masked" else None,
        label_words=label_words,
        truncate=_TEXT if _TEXT in fields or not fields else fields[-1],
        sizes=Sizes(train=sys.maxsize),
    )
