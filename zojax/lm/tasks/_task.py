"""The definition of a task: its prompts, and how rows of its data become examples."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, NamedTuple, NoReturn, get_args

from zojax.lm.tasks._example import Example
from zojax.lm.tasks._row import Row
from zojax.lm.tasks._template import LABEL, bare, fields_of

TaskKind = Literal["classification", "multiple_choice", "generation"]
ModelKind = Literal["causal", "masked"]


class Sizes(NamedTuple):
    """Most examples of each split; the defaults are those of MeZO's experiments with OPT."""

    train: int = 1000
    dev: int = 500
    test: int = 1000


class Hub(NamedTuple):
    """The data set from which the ``datasets`` package loads a task's rows."""

    name: str
    config: str | None = None
    train: str = "train"
    test: str = "validation"  # the public test splits of GLUE and SuperGLUE have no labels


@dataclass(frozen=True)
class Task:
    """A task: its prompts, and how rows of its data become examples.

    In a template, ``{label}`` marks the place of the text that the model predicts, and other names
    in braces are fields of an example. Prompts that are too long are shortened by truncating one
    field, by whole tokens.

    Attributes:
      name: The task's name.
      kind: ``"classification"``: choose one of ``label_words``. ``"multiple_choice"``: choose one
        of the example's own texts. ``"generation"``: generate an answer.
      template: The prompt for a causal model; ends in ``{label}``.
      label_words: The word for each class that replaces ``{label}``, class 0 first;
        classification only.
      masked_template: The prompt for a masked model, with ``{label}`` anywhere; None if the task
        has no such prompt. Tasks of generation never have one.
      masked_label_words: The label words for a masked model; without them, ``label_words``.
      truncate: The field whose end is removed if a prompt is too long; None if no field may be
        truncated.
      columns: The columns of fields whose column has another name; dots lead into nested columns:
        ``{"text": "review.body"}``.
      label_column: The column of the class (its number or its name), or of the right choice (its
        number or its text, or a list of these).
      label_names: The classes' names in the rows, class 0 first; without them, ``label_words``.
      drop_label: The label of rows to ignore.
      choices: The column that lists the choices, or one column for each; multiple choice only.
      answers: The column of the right answer, or of a list of them; generation only.
      prepare: Converts a row with other columns to a row with the columns above.
      max_new_tokens: Most tokens of a generated answer; generation only.
      sizes: Most examples of each split.
      files: ``"train"``, ``"test"`` and optionally ``"dev"``: the files with the rows.
      hub: The data set from which the ``datasets`` package loads the rows.
      source: Reads the splits from an installed package.

    Raises:
      ValueError: The template, its fields and the label words are inconsistent.
    """

    name: str
    kind: TaskKind
    template: str
    label_words: tuple[str, ...] = ()
    masked_template: str | None = None
    masked_label_words: tuple[str, ...] = ()
    truncate: str | None = "text"
    columns: Mapping[str, str] = field(default_factory=dict[str, str])
    label_column: str = "label"
    label_names: tuple[str, ...] = ()
    drop_label: int | str | None = None
    choices: str | tuple[str, ...] = "choices"
    answers: str = "answers"
    prepare: Callable[[Row], Mapping[str, Any]] | None = None
    max_new_tokens: int = 50
    sizes: Sizes = field(default_factory=Sizes)
    files: Mapping[str, Path] = field(default_factory=dict[str, Path])
    hub: Hub | None = None
    source: Callable[[], Mapping[str, tuple[Example, ...]]] | None = None

    def __post_init__(self) -> None:
        """Check that the attributes are consistent."""
        if self.kind not in get_args(TaskKind):
            self._refuse(f"kind must be one of {', '.join(get_args(TaskKind))}, got {self.kind!r}.")
        self._check_template("template", self.template)
        if not self.template.endswith(f"{{{LABEL}}}"):
            self._refuse(
                "template must end in {label}, as a causal model reads from left to right, got "
                f"{self.template!r}. Give a masked model's template as masked_template."
            )
        if self.masked_template is not None:
            self._check_template("masked_template", self.masked_template)
        if self.kind == "classification":
            self._check_words("label_words", self.label_words)
            self._check_words("masked_label_words", self.masked_label_words or self.label_words)
        elif self.label_words or self.masked_label_words or self.label_names:
            self._refuse(
                f"label_words and label_names must be left out, as each example of a {self.kind} "
                f"task has its own, got {self.label_words or self.label_names}."
            )
        classes = {len(self.label_words), len(self.masked_label_words or self.label_words)}
        if len(classes | {len(self.label_names or self.label_words)}) > 1:
            self._refuse(
                "label_words, masked_label_words and label_names must have one entry for each "
                f"class, got {self.label_words}, {self.masked_label_words} and {self.label_names}."
            )
        if self.kind == "generation" and self.masked_template is not None:
            self._refuse(
                "masked_template must be None, as a masked model does not generate text, got "
                f"{self.masked_template!r}."
            )
        if self.max_new_tokens < 1 or min(self.sizes) < 1:
            self._refuse(
                f"max_new_tokens and sizes must be >= 1, got {self.max_new_tokens}, {self.sizes}."
            )

    @property
    def fields(self) -> tuple[str, ...]:
        """The names of an example's fields: those of both templates."""
        names = fields_of(self.template + (self.masked_template or ""))
        return tuple(name for name in dict.fromkeys(names) if name != LABEL)

    @property
    def class_names(self) -> tuple[str, ...]:
        """The classes' names in the rows, class 0 first; empty for a task without classes."""
        return self.label_names or tuple(word.strip() for word in self.label_words)

    def prompt(
        self, kind: ModelKind = "causal", *, template: bool = True
    ) -> tuple[str, tuple[str, ...]]:
        """Return the template and the label words for a kind of model.

        Args:
          kind: ``"causal"`` or ``"masked"``.
          template: False leaves the template's words out: only the fields and the label word
            remain.

        Raises:
          ValueError: The task has no prompt for a masked model.
        """
        if kind not in get_args(ModelKind):
            self._refuse(f"a model's kind must be causal or masked, got {kind!r}.")
        if kind == "causal":
            text, words = self.template, self.label_words
        elif self.masked_template is not None:
            text, words = self.masked_template, self.masked_label_words or self.label_words
        elif self.kind == "generation":
            self._refuse("a masked model cannot generate an answer. Take a causal model.")
        else:
            self._refuse(
                "the task has no prompt for a masked model. Take a causal model, or "
                "dataclasses.replace(task, masked_template=...)."
            )
        return (text if template else bare(text)), words

    def _check_template(self, name: str, template: str) -> None:
        try:
            names = fields_of(template)
        except ValueError as error:
            self._refuse(
                f"{name} must be a template ({error}), got {template!r}. Write {{{{ for a {{."
            )
        if names.count(LABEL) != 1 or len(names) < 2:
            self._refuse(
                f"{name} must have {{label}} once and at least one other field, got {template!r}. "
                "Write it like '{text} It was {label}'."
            )
        if self.truncate is not None and names.count(self.truncate) != 1:
            self._refuse(
                f"truncate must be a field that {name} has once, or None, got "
                f"{self.truncate!r} for {template!r}."
            )

    def _check_words(self, name: str, words: tuple[str, ...]) -> None:
        plain = [word.strip() for word in words]
        if len(plain) < 2 or len(set(plain)) < len(plain) or not all(plain):
            self._refuse(f"{name} must be two or more distinct words, got {words!r}.")

    def _refuse(self, message: str) -> NoReturn:
        raise ValueError(f"Task {self.name}: {message}")
