"""Prompts: their fields, their tokens, and truncation that spares the template."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from transformers import AutoTokenizer, PreTrainedTokenizerBase

from zojax.tasks import Prompt, tokenize


@pytest.fixture(scope="module")
def tokenizer(tiny_opt: Path) -> PreTrainedTokenizerBase:
    return AutoTokenizer.from_pretrained(tiny_opt)


def ids(tokenizer: PreTrainedTokenizerBase, text: str) -> list[int]:
    return tokenizer(text, add_special_tokens=False).input_ids


def test_prompt_is_the_whole_text_in_tokens(tokenizer: PreTrainedTokenizerBase):
    prompt = Prompt("Review: {text} It was {label}")
    (encoded,) = tokenize(prompt, tokenizer, 48).encode(["  a film "])
    assert encoded == [tokenizer.bos_token_id, *ids(tokenizer, "Review: a film It was")]


def test_label_words_are_tokens_as_they_stand_after_the_prompt(tokenizer: PreTrainedTokenizerBase):
    tokens = tokenize(Prompt(), tokenizer, 48)
    assert tokens.one_token
    assert tokens.label_ids.tolist() == [ids(tokenizer, " terrible"), ids(tokenizer, " great")]
    text = "a film It was great"
    assert [*tokens.encode(["a film"])[0], tokens.label_ids[1, 0]] == [
        tokenizer.bos_token_id,
        *ids(tokenizer, text),
    ]


def test_label_words_of_unlike_length_are_filled_up(tokenizer: PreTrainedTokenizerBase):
    tokens = tokenize(Prompt(label_words=("great", "so bad")), tokenizer, 48)
    long = ids(tokenizer, " so bad")
    assert not tokens.one_token
    assert tokens.label_ids.shape == (2, len(long))
    np.testing.assert_array_equal(tokens.label_ids[1], long)
    np.testing.assert_array_equal(tokens.label_mask.sum(1), [1, len(long)])


def test_truncation_spares_template_and_label_word(tokenizer: PreTrainedTokenizerBase):
    prompt = Prompt("Film: {text} It was {label}")
    whole, cut = (
        tokenize(prompt, tokenizer, length).encode(["story " * 30])[0] for length in (999, 24)
    )
    last = ids(tokenizer, " It was")
    assert len(cut) == 24 - 1  # room for the label word
    assert cut[-len(last) :] == last
    assert cut[: -len(last)] == whole[: 23 - len(last)]


def test_no_room_for_text(tokenizer: PreTrainedTokenizerBase):
    with pytest.raises(ValueError, match=r"max_length must leave room .* got 3"):
        tokenize(Prompt(), tokenizer, 3).encode(["a"])


@pytest.mark.parametrize("template", ["It was {label}", "{text} {text} {label}", "{text}"])
def test_template_has_both_fields_once(template: str):
    with pytest.raises(ValueError, match=r"must have \{text\} and \{label\} once each"):
        Prompt(template)


def test_template_ends_in_the_label():
    with pytest.raises(ValueError, match=r"must end in \{label\}"):
        Prompt("{label}: {text}")


@pytest.mark.parametrize("words", [("good",), ("good", " good"), ("good", " ")])
def test_label_words_are_distinct(words: tuple[str, ...]):
    with pytest.raises(ValueError, match="two or more distinct words"):
        Prompt(label_words=words)


def test_label_words_have_distinct_tokens(tokenizer: PreTrainedTokenizerBase):
    class Deaf:
        bos_token_id = None

        def __call__(self, texts: list[str], **_: object) -> dict[str, list[list[int]]]:
            return {"input_ids": [[5] for _ in texts]}

    with pytest.raises(ValueError, match="must have distinct tokens"):
        tokenize(Prompt(), Deaf(), 48)
