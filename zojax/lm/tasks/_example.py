"""One example of a task."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

Value = str | tuple[str, ...]


@dataclass(frozen=True, init=False)
class Example:
    """One example: what fills a template, and what is right.

    Attributes:
      fields: The text of each field of the template; a tuple has one text for each choice. A plain
        text is short for ``{"text": text}``.
      label: The right class, or the right choice (the one trained on, if several are right).
      choices: What may stand for ``{label}``; multiple choice only.
      right: All right choices, where there are several.
      answers: The texts that are right, the one trained on first; generation only.
    """

    fields: Mapping[str, Value]
    label: int
    choices: tuple[str, ...]
    right: tuple[int, ...]
    answers: tuple[str, ...]

    def __init__(
        self,
        fields: str | Mapping[str, Value],
        label: int = 0,
        *,
        choices: tuple[str, ...] = (),
        right: tuple[int, ...] = (),
        answers: tuple[str, ...] = (),
    ) -> None:
        values = {
            "fields": {"text": fields} if isinstance(fields, str) else dict(fields),
            "label": label,
            "choices": choices,
            "right": right or (label,),
            "answers": answers,
        }
        for name, value in values.items():
            object.__setattr__(self, name, value)

    @property
    def text(self) -> str:
        """The field ``text``, of tasks that have one."""
        return str(self.fields["text"])

    def __hash__(self) -> int:
        return hash((*self.fields.items(), self.label, self.choices, self.right, self.answers))
