"""A finished run, loaded to predict with."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import NamedTuple, TypeAlias, cast

from zojax.lm.decoding import texts as decoded
from zojax.lm.models import LanguageModel
from zojax.lm.prediction._continuation import MAX_NEW_TOKENS, Continuations, Prompt
from zojax.lm.prediction._in_batches import InBatches, Result
from zojax.lm.prediction._of_a_task import batches_of
from zojax.lm.sequences import SequenceKind, SequenceTokens
from zojax.lm.tasks import Example, Task, TaskKind
from zojax.lm.training import FinetuneConfig, Observer, Saved, Which, load_from_run

Text: TypeAlias = str | Mapping[str, str]
"""A text, or the text of each field of the task's prompt."""


class Prediction(NamedTuple):
    """The class that a model predicts for a text."""

    label: str  # the name of the most likely class
    scores: dict[str, float]  # the probability of each class, by its name; they add up to 1


class TunedRun:
    """A finished run; made by :func:`load_run`.

    Programs are compiled when they are first needed and kept, so that a second call starts at once.

    Args:
      saved: The model of the run.
      announce: Called with a line that says what is being compiled.
    """

    def __init__(self, saved: Saved, announce: Callable[[str], None]) -> None:
        self._saved = saved
        self._batches: InBatches[Example] | None = None
        self._continuations: Continuations | None = None
        model, tokens, spread = saved.model, saved.tokens, saved.spread
        if isinstance(tokens, SequenceTokens):
            self._continuations = Continuations(model, tokens, announce, spread)
        else:
            self._batches = batches_of(model, tokens, announce, spread)

    @property
    def config(self) -> FinetuneConfig:
        """The configuration of the run."""
        return self._saved.config

    @property
    def model(self) -> LanguageModel:
        """The tuned model, with its adapter if there is one."""
        return self._saved.model

    @property
    def task(self) -> Task:
        """The task that the run was tuned for.

        Raises:
          ValueError: The run was tuned on chats, instructions or plain text; see :attr:`kind`.
        """
        if isinstance(self._saved.tokens, SequenceTokens):
            raise ValueError(  # noqa: TRY004 - the run's data, as for every other run
                f"load_run: the run must be one of a task, got one on rows of kind {self.kind}. It "
                "has generate alone."
            )
        return self._saved.tokens.task

    @property
    def kind(self) -> TaskKind | SequenceKind:
        """The kind of the run's task, or of its rows."""
        tokens = self._saved.tokens
        return tokens.kind if isinstance(tokens, SequenceTokens) else tokens.task.kind

    @property
    def labels(self) -> tuple[str, ...]:
        """The names of the classes, class 0 first; empty for a task without classes."""
        return () if self._continuations is not None else self.task.class_names

    def predict(self, texts: Iterable[Text], *, batch_size: int = 64) -> list[Prediction]:
        """Predict the class of each text.

        Args:
          texts: The texts, or for each the texts of the prompt's fields by name.
          batch_size: Most texts of a forward pass.

        Returns:
          A prediction for each text, in order.

        Cost: one forward pass over each text; for label words of several tokens, over each text
          with each label.

        Raises:
          ValueError: A text is blank or lacks a field, or the task has no classes.
        """
        return [found for found in self.predict_each(texts, batch_size=batch_size) if found]

    def predict_each(
        self, texts: Iterable[Text | None], *, batch_size: int = 64
    ) -> Iterator[Prediction | None]:
        """Predict the class of each text as it comes, and read at most four batches ahead.

        Args:
          texts: As for :meth:`predict`, or None, for which None is yielded: a stand-in for a row
            without a text.
          batch_size: Most texts of a forward pass.

        Raises:
          ValueError: As for :meth:`predict`.
        """
        for found in self._results("predict", "classification", texts, batch_size):
            if found is None:
                yield None
                continue
            choice, scores = found
            by_name = dict(zip(self.labels, scores.tolist(), strict=True))
            yield Prediction(self.labels[int(choice)], by_name)

    def generate(
        self,
        prompts: Iterable[Text | Prompt],
        *,
        max_new_tokens: int | None = None,
        batch_size: int = 16,
    ) -> list[str]:
        """Generate an answer to each prompt, always with the most likely token.

        Args:
          prompts: For a task, the texts that fill its template: one, or the prompt's fields by
            name. For a run on chats, the user's message, or the list of all messages so far, each
            with ``role`` and ``content``. For other rows, the text to go on with.
          max_new_tokens: Most tokens of an answer; without it, 128, or those of a run that raised
            a reward. A task has its own number.
          batch_size: Most prompts that are answered at once.

        Returns:
          An answer to each prompt, in order. For a task it is the text up to its first line break;
          of a chat, the turn; of a prompt, the completion, both without white space around them;
          after a plain text, what follows, as it is.

        Cost: one forward pass over each prompt, and one over each further token of an answer.

        Raises:
          ValueError: A prompt is blank, too long or lacks a field, or the task does not generate.
        """
        answers = self.generate_each(prompts, max_new_tokens=max_new_tokens, batch_size=batch_size)
        return [answer for answer in answers if answer is not None]

    def generate_each(
        self,
        prompts: Iterable[Text | Prompt | None],
        *,
        max_new_tokens: int | None = None,
        batch_size: int = 16,
    ) -> Iterator[str | None]:
        """Generate an answer to each prompt as it comes, and read at most four batches ahead.

        Args:
          prompts: As for :meth:`generate`, or None, for which None is yielded.
          max_new_tokens: As for :meth:`generate`.
          batch_size: Most prompts that are answered at once.

        Raises:
          ValueError: As for :meth:`generate`.
        """
        if self._continuations is not None:
            _check("generate", prompts, batch_size)
            scoring = self.config.scoring
            usual = MAX_NEW_TOKENS if scoring.reward is None else scoring.most_new_tokens
            most = usual if max_new_tokens is None else max_new_tokens
            each = cast("Iterable[Prompt | None]", prompts)
            yield from self._continuations.each(each, most, batch_size)
            return
        if max_new_tokens is not None:
            raise ValueError(
                f"generate: max_new_tokens must be left out for {self.task.name}, a task, which "
                f"has its own number, {self.task.max_new_tokens}, got {max_new_tokens}."
            )
        prompts = cast("Iterable[Text | None]", prompts)
        for found in self._results("generate", "generation", prompts, batch_size):
            yield None if found is None else decoded(self.model.tokenizer, found[0][None])[0]

    def _results(
        self, name: str, kind: TaskKind, texts: Iterable[Text | None], batch_size: int
    ) -> Iterator[Result | None]:
        """Yield the arrays of each text; refuse what ``name``, the called method, cannot take."""
        if self._continuations is not None:
            raise ValueError(
                f"{name}: the run's task must be one of {kind}, got a run on rows of kind "
                f"{self.kind}. Use generate."
            )
        if self.task.kind != kind or self._batches is None:
            raise ValueError(
                f"{name}: the run's task must be one of {kind}, got {self.task.name}, "
                f"{_INSTEAD[self.task.kind]}"
            )
        _check(name, texts, batch_size)
        examples = (
            None if text is None else self._example(name, place, text)
            for place, text in enumerate(texts)
        )
        return self._batches.stream(examples, batch_size)

    def _example(self, name: str, place: int, text: Text) -> Example:
        fields = self.task.fields
        if isinstance(text, str):
            if len(fields) != 1:
                raise ValueError(
                    f"{name}: text {place} must be a dict of {', '.join(fields)}, the fields of "
                    f"{self.task.name}, got one string, {text!r}."
                )
            text = {fields[0]: text}
        for field in fields:
            value = text.get(field)
            if not isinstance(value, str) or not value.strip():
                raise ValueError(
                    f"{name}: text {place} must have a non-empty string for {field}, got {value!r}."
                )
        # A generated answer does not depend on the right one, which an example must have.
        return Example(text, answers=(".",) if self.task.kind == "generation" else ())


def load_run(
    folder: str | Path, *, which: Which = "best", observer: Observer | None = None
) -> TunedRun:
    """Load a finished run, to predict with it.

    Args:
      folder: A run's folder, as ``finetune`` printed it.
      which: ``"best"`` for the parameters of the step that scored best on dev, which may be those
        before the first step; ``"last"`` for those after the last step.
      observer: Called as the run is loaded and as programs are compiled.

    Returns:
      The run, with ``predict`` for a task of classification, and ``generate`` for one of generation
      and for runs on chats, instructions and plain text.
      It has the run's mesh where there are as many devices, otherwise one device.

    Cost: the memory of the model's parameters; the run's data are not read.

    Raises:
      FileNotFoundError: The folder is not a run, or it has no such model.
      ValueError: ``which`` is unknown, or a file of the run is damaged.

    Example::

        run = zojax.lm.load_run("runs/mine")
        for label, scores in run.predict(["a film to remember", "two long hours"]):
            print(label, scores[label])
    """
    observer = observer or Observer()
    observer.status(f"loading {folder}")
    return TunedRun(load_from_run(Path(folder), which, "load_run"), observer.status)


def _check(name: str, texts: object, batch_size: int) -> None:
    if batch_size < 1:
        raise ValueError(f"{name}: batch_size must be >= 1, got {batch_size}.")
    if isinstance(texts, str | Mapping):
        raise ValueError(  # noqa: TRY004 - as for every other wrong text
            f"{name}: texts must be a list of texts, got one. Write [text]."
        )


_INSTEAD = {
    "classification": "which has classes. Use predict.",
    "generation": "which generates answers. Use generate.",
    "multiple_choice": (
        "whose rows have choices of their own. `zojax eval RUN --data FILE` measures it on rows "
        "with their choices; texts alone can be predicted for tasks of classification and "
        "generation."
    ),
}
