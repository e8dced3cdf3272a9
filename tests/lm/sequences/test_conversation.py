"""Where the answers are, in the templates of several families."""

from __future__ import annotations

import datetime as dt
import re
import sys

import pytest
from chats import CHATML, ENDS, FORGETFUL, GEMMA, LLAMA, MISTRAL, PLAIN, chat, chat_tokenizer
from tiny_models import spaced_tokenizer

from zojax.lm.sequences import (
    ChatError,
    ChatTemplate,
    TokenText,
    read_chat_template,
    segments_of,
    sequence_tokens,
)

pytestmark = pytest.mark.quick

TALK = chat("a film?", "It was great", "Was it  long?", "no, <b>short</b>", "So?", "great!")
# The text around an answer, found without the template.
SPANS = {
    CHATML: r"(?<=<\|im_start\|>assistant\n).*?<\|im_end\|>",
    LLAMA: r"(?<=<\|start_header_id\|>assistant<\|end_header_id\|>\n\n).*?<\|eot_id\|>",
    GEMMA: r"(?<=<start_of_turn>model\n).*?<end_of_turn>",
    MISTRAL: r"(?<=\[/INST\]).*?</s>",
    PLAIN: r"(?<=\nassistant:).*?\n",
}
NAMES = {"chatml": CHATML, "llama": LLAMA, "gemma": GEMMA, "mistral": MISTRAL, "plain": PLAIN}


def made(template: str) -> ChatTemplate:
    return read_chat_template(chat_tokenizer(template), "it")


def tokenised(template: str, messages: list[dict[str, str]]) -> TokenText:
    tokenizer = chat_tokenizer(template)
    tokens = sequence_tokens("chat", tokenizer, 500, template=made(template))
    (found,) = tokens.encode([segments_of(messages, made(template))])
    return found


@pytest.mark.parametrize("name", NAMES)
def test_the_learnt_tokens_are_those_of_the_answers(name: str):
    template, backend = NAMES[name], chat_tokenizer().backend
    text = made(template).render(TALK)
    spans = [match.span() for match in re.finditer(SPANS[template], text)]
    assert [text[a:b].strip().removesuffix(ENDS[template]) for a, b in spans] == [
        message["content"] for message in TALK if message["role"] == "assistant"
    ]
    whole = backend.encode(text, add_special_tokens=False)
    inside = [any(a <= start and end <= b for a, b in spans) for start, end in whole.offsets]
    found = tokenised(template, TALK)
    # After the last answer nothing is read.
    read = len(found.ids)
    assert found.ids.tolist() == whole.ids[:read]
    assert found.learnt.tolist() == inside[:read]
    assert not any(inside[read:])


@pytest.mark.parametrize("name", NAMES)
def test_a_prompt_reads_as_the_tokens_before_an_answer(name: str):
    template = NAMES[name]
    found = tokenised(template, TALK)
    tokens = sequence_tokens("chat", chat_tokenizer(), 500, template=made(template))
    asked = made(template).render(TALK[:-1], add_generation_prompt=True)
    before = tokens.encode_prompt(asked).tolist()
    assert found.ids[: len(before)].tolist() == before
    assert found.learnt[len(before) :].all()


def test_a_system_message_and_one_answer():
    found = tokenised(CHATML, chat("a film?", "great", system="brief"))
    decoded = chat_tokenizer().decode(found.ids[found.learnt])
    assert decoded == "great<|im_end|>"
    whole = chat_tokenizer().decode(found.ids)
    assert whole == (
        "<|im_start|>system\nbrief<|im_end|>\n<|im_start|>user\na film?<|im_end|>\n"
        "<|im_start|>assistant\ngreat<|im_end|>"
    )


def test_messages_that_a_template_changes_are_not_guessed_at():
    once = chat("a film?", "<think>well</think>great")
    assert tokenised(FORGETFUL, once).num_learnt
    with pytest.raises(ChatError, match=r"message 1, an answer, in another way .* a row for each"):
        segments_of([*once, *chat("and?", "no")], made(FORGETFUL))


@pytest.mark.parametrize(
    ("messages", "reason"),
    [
        (chat("a", "b", system="c"), r"refuses it \(System role not supported\)"),
        (chat("a", "b")[::-1], r"refuses it \(Conversation roles must alternate\)"),
    ],
)
def test_a_template_may_refuse(messages: list[dict[str, str]], reason: str):
    with pytest.raises(ChatError, match=reason):
        segments_of(messages, made(GEMMA))


@pytest.mark.parametrize("name", NAMES)
def test_the_end_of_a_turn(name: str):
    assert made(NAMES[name]).end_of_turn == ENDS[NAMES[name]]


def test_what_templates_are_given():
    source = (
        "{% for m in messages %}{% if loop.index0 == 2 %}{% break %}{% endif %}"
        "{% generation %}{{ m | tojson }}{% endgeneration %}{% endfor %}"
        "{{ bos_token }}{{ eos_token }}{{ tools is none }}{{ strftime_now('%d %b %Y') }}"
    )
    tokenizer = chat_tokenizer(source)
    template = read_chat_template(tokenizer, "it", dt.date(2026, 1, 31))
    assert template.tells_day
    assert template.render(chat("<é>", "b", "c")) == (
        '{"role": "user", "content": "<é>"}{"role": "assistant", "content": "b"}'
        "<s></s>True31 Jan 2026"
    )


@pytest.mark.parametrize(
    "source",
    [
        "{{ messages.append(1) }}",
        "{{ messages.__class__.__mro__ }}",
        "{{ raise_exception.__globals__['sys'] }}",
        "{{ messages[9].role.upper() }}",
    ],
)
def test_templates_are_sandboxed_and_their_errors_are_told(source: str):
    template = read_chat_template(chat_tokenizer(source), "it")
    with pytest.raises(ChatError, match="refuses it"):
        template.render(chat("a"))


def test_no_template_and_a_wrong_one():
    with pytest.raises(ValueError, match=r"got opt-mini, which has none\. .*chat_template\.jinja"):
        read_chat_template(chat_tokenizer(None), "opt-mini")
    with pytest.raises(ValueError, match="must be a Jinja template, got an error in line 2"):
        read_chat_template(chat_tokenizer("a\n{% for %}"), "it")


def test_without_jinja2_the_fix_is_named(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "jinja2", None)
    with pytest.raises(ImportError, match=r'pip install "zojax\[hf\]"'):
        read_chat_template(chat_tokenizer(), "it")


def test_a_tokenizer_that_puts_a_space_before_every_text():
    tokenizer = spaced_tokenizer()
    tokenizer.chat_template = MISTRAL
    template = read_chat_template(tokenizer, "it")
    tokens = sequence_tokens("chat", tokenizer, 500, template=template)
    talk = chat("a film?", "It was great", "a film?", "terrible")
    (found,) = tokens.encode([segments_of(talk, template)])
    whole = tokenizer(template.render(talk), add_special_tokens=False).input_ids
    assert found.ids.tolist() == whole
    learnt = tokenizer.backend.decode(found.ids[found.learnt].tolist(), skip_special_tokens=False)
    assert learnt.split() == ["It", "was", "great</s>", "terrible</s>"]


def test_of_several_templates_the_default_is_taken():
    tokenizer = chat_tokenizer(None)
    tokenizer.chat_template = {"tool_use": GEMMA, "default": CHATML}  # as transformers keeps them
    assert read_chat_template(tokenizer, "it").end_of_turn == ENDS[CHATML]
