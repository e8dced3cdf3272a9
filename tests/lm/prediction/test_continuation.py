"""What is written after prompts: the most likely tokens, up to the end of a turn."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import jax
import numpy as np
import pytest
from chats import CHATML, PLAIN, chat, chat_tokenizer, write_chat_model

from zojax.lm.models import LanguageModel, load
from zojax.lm.prediction._continuation import Continuations, Prompt
from zojax.lm.processes import Spread
from zojax.lm.sequences import (
    SequenceKind,
    answer_stops,
    read_chat_template,
    sequence_tokens,
)

Write = Callable[..., list[str | None]]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> LanguageModel:
    return load(write_chat_model(tmp_path_factory.mktemp("models") / "chat"))


@pytest.fixture
def write(model: LanguageModel) -> Write:
    def write(
        kind: SequenceKind,
        prompts: Iterable[Prompt | None],
        count: int = 6,
        size: int = 4,
        source: str = CHATML,
    ) -> list[str | None]:
        tokenizer = chat_tokenizer(source)
        template = read_chat_template(tokenizer, "it") if kind == "chat" else None
        tokens = sequence_tokens(kind, tokenizer, 90, template=template)
        found = Continuations(model, tokens, lambda _: None, Spread())
        return list(found.each(prompts, count, size))

    return write


def most_likely(model: LanguageModel, text: str, count: int, *, begin: tuple[int, ...]) -> str:
    """The most likely tokens one by one, without a cache."""
    tokenizer = chat_tokenizer()
    ids = [*begin, *tokenizer(text, add_special_tokens=False).input_ids]
    apply, read = jax.jit(model.apply), len(ids)
    for _ in range(count):
        row = np.pad(ids, (0, 90 - len(ids)))[None]
        logits = apply(model.params, row, np.arange(90)[None] < len(ids))
        ids.append(int(logits[0, len(ids) - 1].argmax()))
        if ids[-1] in (2, tokenizer.backend.token_to_id("<|im_end|>")):
            break
    return tokenizer.decode(ids[read:], skip_special_tokens=True)


def test_a_turn_is_written_after_the_generation_prompt(model: LanguageModel, write: Write):
    talk = chat("a film?", "great", "sure?", system="brief")
    found = write("chat", ["a film?", None, talk])
    assert found[1] is None
    asked = "<|im_start|>{}\n{}<|im_end|>\n".format
    last = "<|im_start|>assistant\n"
    helped = asked("system", "help") + asked("user", "a film?") + last
    assert found[0] == most_likely(model, helped, 6, begin=()).strip()
    whole = "".join(asked(m["role"], m["content"]) for m in talk) + last
    assert found[2] == most_likely(model, whole, 6, begin=()).strip()


@pytest.mark.slow
def test_a_text_goes_on_where_it_ends(model: LanguageModel, write: Write):
    expected = most_likely(model, "a film. It", 6, begin=(1,))
    assert write("text", ["a film. It"]) == [expected]
    assert write("instruction", ["a film. It"]) == [expected.strip()]


@pytest.mark.quick
@pytest.mark.parametrize(
    ("kind", "prompt", "count", "message"),
    [
        ("chat", " ", 4, "prompt 0 must not be blank"),
        ("chat", [], 4, "prompt 0 must be a string, or a list of messages"),
        ("chat", [{"role": "user"}], 4, "prompt 0 must be a string, or a list of messages"),
        ("chat", {"role": "user", "content": "a"}, 4, "must be a string, or a list of messages"),
        ("text", chat("a"), 4, "must be a string for a run on rows of kind text, got messages"),
        ("text", "a film " * 60, 4, r"must have 1 … 92 tokens, for the model has 96 positions and"),
        ("text", "a", 0, "max_new_tokens must lie within 1 … 95, for the model has 96 positions"),
        ("text", "a", 96, "max_new_tokens must lie within 1 … 95, for the model has 96 positions"),
    ],
)
def test_what_cannot_be_gone_on_with(
    kind: SequenceKind, prompt: Prompt, count: int, message: str, write: Write
):
    with pytest.raises(ValueError, match=f"generate: .*{message}"):
        write(kind, [prompt], count)


@pytest.mark.quick
def test_a_prompt_that_the_template_refuses_is_named(write: Write):
    source = "{{ raise_exception('no') }}"
    with pytest.raises(ValueError, match=r"prompt 0: the chat template refuses it \(no\)"):
        write("chat", ["a"], source=source)


@pytest.mark.quick
def test_where_a_turn_ends():
    def stops(source: str) -> list[int]:
        tokenizer = chat_tokenizer(source)
        template = read_chat_template(tokenizer, "it")
        tokens = sequence_tokens("chat", tokenizer, 90, template=template)
        return answer_stops(tokenizer, tokens).tolist()

    end = chat_tokenizer().backend.token_to_id("<|im_end|>")
    assert stops(CHATML) == [2, end]
    assert stops(PLAIN) == [2]
