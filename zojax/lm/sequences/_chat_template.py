"""A tokenizer's chat template, which writes a conversation as one text."""

from __future__ import annotations

import datetime as dt
import functools
import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NoReturn

if TYPE_CHECKING:
    from zojax.lm.models import AnyTokenizer

Messages = Sequence[Mapping[str, Any]]
"""A conversation: messages with at least ``role`` and ``content``."""

_ANSWER = "zojax"


class ChatError(ValueError):
    """A conversation that a template refuses, or whose answers cannot be found in its text."""


class ChatTemplate:
    """A Jinja template of a chat, in Jinja's sandbox: templates come with models of others.

    It has what transformers gives templates: ``raise_exception``, ``strftime_now``, ``tojson``
    without HTML's escapes, ``break`` and ``continue``, and blocks of ``generation``.

    Args:
      source: The template.
      bos, eos: The tokens that begin and end a sequence, as text.
      day: What ``strftime_now`` takes for today, so that a run reads the same on another day.

    Attributes:
      day: The same.
      tells_day: Whether the template asks for it.

    Raises:
      ImportError: jinja2 is not installed.
      ValueError: The template is no Jinja template.
    """

    def __init__(self, source: str, *, bos: str, eos: str, day: dt.date) -> None:
        try:
            import jinja2
            from jinja2.sandbox import ImmutableSandboxedEnvironment

            from zojax.lm.sequences._generation_block import GenerationBlock
        except ModuleNotFoundError as error:
            raise ImportError('finetune: chats need jinja2: pip install "zojax[hf]".') from error
        environment = ImmutableSandboxedEnvironment(
            trim_blocks=True,
            lstrip_blocks=True,
            extensions=[GenerationBlock, "jinja2.ext.loopcontrols"],
        )
        environment.filters["tojson"] = _to_json
        now = dt.datetime.combine(day, dt.time())
        given: dict[str, Any] = environment.globals  # pyright: ignore[reportAssignmentType]
        given |= {"raise_exception": _refuse, "strftime_now": now.strftime}
        try:
            self._template = environment.from_string(source)
        except jinja2.TemplateSyntaxError as error:
            raise ValueError(
                "finetune: the tokenizer's chat template must be a Jinja template, got an error in "
                f"line {error.lineno}: {error.message}. Correct it in the model's folder."
            ) from error
        self.day = day
        self.tells_day = "strftime_now" in source
        self._settings: dict[str, Any] = {"bos_token": bos, "eos_token": eos}
        self._settings |= {"tools": None, "documents": None}

    def render(self, messages: Messages, *, add_generation_prompt: bool = False) -> str:
        """Write a conversation as a text.

        Args:
          messages: The conversation.
          add_generation_prompt: End with what comes before an answer.

        Raises:
          ChatError: The template refuses the conversation.
        """
        try:
            return self._template.render(
                messages=[dict(message) for message in messages],
                add_generation_prompt=add_generation_prompt,
                **self._settings,
            )
        except Exception as error:  # a template may fail with any error of Python
            raise ChatError(f"the chat template refuses it ({error})") from error

    @functools.cached_property
    def end_of_turn(self) -> str:
        """The text that the template writes after an answer, without the white space around it.

        Empty where it writes white space alone, or does not take the conversation that is tried.
        """
        question = {"role": "user", "content": "question"}
        answer = {"role": "assistant", "content": _ANSWER}
        try:
            text = self.render([question, answer])
        except ChatError:
            return ""
        return text.rpartition(_ANSWER)[2].strip()


def read_chat_template(
    tokenizer: AnyTokenizer, model: str, day: dt.date | None = None
) -> ChatTemplate:
    """Return the chat template of a model's tokenizer.

    Args:
      tokenizer: The model's tokenizer.
      model: The model's name, for errors.
      day: What the template takes for today; None for the day that it is.

    Raises:
      ImportError: jinja2 is not installed.
      ValueError: The tokenizer has no chat template, or a wrong one.
    """
    source = tokenizer.chat_template
    if isinstance(source, Mapping):  # transformers keeps several by name
        source = source.get("default")
    if not isinstance(source, str):
        raise ValueError(  # noqa: TRY004 - the model's fault, as for every other model
            f"finetune: chats need a model whose tokenizer has a chat template, got {model}, which "
            "has none. Take a model that was tuned for chats, put a chat_template.jinja into the "
            "model's folder, or give rows of a prompt and a completion."
        )
    bos, eos = (_text(tokenizer, one) for one in (tokenizer.bos_token_id, tokenizer.eos_token_id))
    return ChatTemplate(source, bos=bos, eos=eos, day=day or dt.date.today())


def _text(tokenizer: AnyTokenizer, token: int | None) -> str:
    return "" if token is None else str(tokenizer.decode([token], skip_special_tokens=False))


def _refuse(message: str) -> NoReturn:
    raise ChatError(message)


def _to_json(value: Any, indent: int | None = None, **settings: Any) -> str:
    return json.dumps(value, ensure_ascii=False, indent=indent, **settings)
