"""One example of a task."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

Value = str | tuple[str, ...]


@dataclass(frozen=True, init=False)
class Example:
    """One example: the texts that fill a template, and the right label or answers.

    Attributes:
      fields: The text of each field of the template; a tuple has one text for each choice. A plain
        text is short for ``{"text": text}``.
      label: The number of the right class or choice; if several choices are right, the one that is
        trained on.
      choices: The texts that may replace ``{label}``; multiple choice only.
      right: The numbers of all right choices; without it, ``label`` alone is right.
      answers: All right answers, the one that is trained on first; generation only.
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
        """The field ``text``, which not all tasks have."""
        return str(self.fields["text"])

    def __hash__(self) -> int:
        return hash((*self.fields.items(), self.label, self.choices, self.right, self.answers))
