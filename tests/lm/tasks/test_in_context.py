"""Demonstrations: balanced, solved, as many as fit, the same for the same seed."""

from __future__ import annotations

from collections import Counter

import pytest

from zojax.lm.models import Tokenizer
from zojax.lm.tasks import Example, Task, in_context, tokenize

pytestmark = pytest.mark.quick

TASK = Task(
    "t", "classification", "{text} It was {label}", ("terrible", "great"), "{text} {label}."
)
TRAIN = tuple(Example(f"film {i}", int(i >= 20)) for i in range(24))
PROMPT = Example("a story", 1)


def shown(tokenizer: Tokenizer, task: Task, max_length: int, **options) -> list[str]:
    tokens = in_context(tokenize(task, tokenizer, 200), TRAIN, max_length, **options)
    ((row,),) = tokens.encode([PROMPT])
    assert row.ids[0] == tokenizer.bos_token_id
    assert len(row.ids) < max_length
    assert row.positions == [len(row.ids) - 1]
    return tokenizer.decode(row.ids[1:]).split("\n\n")


def test_demonstrations_are_solved_and_balanced(tokenizer: Tokenizer):
    *demonstrations, prompt = shown(tokenizer, TASK, 9999, count=8)
    assert prompt == "a story It was"
    texts = {f"{e.text} It was {TASK.label_words[e.label]}" for e in TRAIN}
    assert len(set(demonstrations)) == 8
    assert set(demonstrations) <= texts
    for pair in zip(demonstrations[::2], demonstrations[1::2], strict=True):
        assert Counter(text.split()[-1] for text in pair) == {"terrible": 1, "great": 1}
    order = [text.split()[-1] for text in demonstrations[::2]]
    assert len(set(order)) == 2  # no class always goes first


def test_an_exhausted_class_leaves_the_rest_to_the_others(tokenizer: Tokenizer):
    *demonstrations, _ = shown(tokenizer, TASK, 9999)
    assert len(set(demonstrations)) == 24


def test_the_draw_depends_on_the_seed(tokenizer: Tokenizer):
    first = shown(tokenizer, TASK, 9999, count=6)
    assert first == shown(tokenizer, TASK, 9999, count=6)
    assert first != shown(tokenizer, TASK, 9999, count=6, seed=1)


def test_as_many_as_fit(tokenizer: Tokenizer):
    """Room is kept for the label word, or for what the model may write."""
    writing = Task("t", "generation", "{text}: {label}", max_new_tokens=9)
    solved = [Example(e.text, answers=("great",)) for e in TRAIN]
    question = Example("a story", answers=("great",))
    for task, train, prompt, kept in ((TASK, TRAIN, PROMPT, 1), (writing, solved, question, 9)):
        tokens = tokenize(task, tokenizer, 200)
        ((row,),) = in_context(tokens, train, 9999, count=3).encode([prompt])
        whole = tokenizer.decode(row.ids).split("\n\n")
        assert len(whole) == 4
        for spare, expected in ((0, 4), (-1, 3)):
            length = row.positions[0] + 1 + kept + spare
            ((fitting,),) = in_context(tokens, train, length).encode([prompt])
            some = tokenizer.decode(fitting.ids).split("\n\n")
            assert some == [*whole[: expected - 1], whole[-1]]


def test_none_fits(tokenizer: Tokenizer):
    message = r"in_context: max_length must leave room for a demonstration .* example 0, got 14"
    with pytest.raises(ValueError, match=message):
        shown(tokenizer, TASK, 14)


def test_pieces_join_as_the_whole_text(tokenizer: Tokenizer, spaced_tokenizer: Tokenizer):
    for each in (tokenizer, spaced_tokenizer):
        tokens = in_context(tokenize(TASK, each, 200), TRAIN[:1], 999)
        ((row,),) = tokens.encode([PROMPT])
        whole = "film 0 It was terrible\n\na story It was"
        assert row.ids == [each.bos_token_id, *each(whole, add_special_tokens=False).input_ids]


def test_choices_and_answers_show_the_right_one(tokenizer: Tokenizer):
    task = Task("t", "multiple_choice", "{text} {label}")
    example = Example({"text": ("a", "b")}, 1, choices=("x", "y"))
    (rows,) = in_context(tokenize(task, tokenizer, 99), [example], 99).encode([example])
    texts = [tokenizer.decode([*row.ids, row.targets[-1]][1:]) for row in rows]
    assert texts == ["b y\n\na x", "b y\n\nb y"]

    task = Task("t", "generation", "{text}: {label}", max_new_tokens=5)
    example = Example("a", answers=("x", "z"))
    ((row,),) = in_context(tokenize(task, tokenizer, 99), [example], 99).encode([example])
    assert tokenizer.decode([*row.ids, row.targets[-1]][1:]) == "a: x\n\na: x\n"


def test_what_makes_no_sense(tokenizer: Tokenizer, masked_tokenizer: Tokenizer):
    with pytest.raises(ValueError, match="the model must be causal"):
        in_context(tokenize(TASK, masked_tokenizer, 99, kind="masked"), TRAIN, 99)
    tokens = tokenize(TASK, tokenizer, 99)
    with pytest.raises(ValueError, match="count must be >= 1 and train not empty, got 0 and 24"):
        in_context(tokens, TRAIN, 99, count=0)
    with pytest.raises(ValueError, match="train not empty, got 32 and 0"):
        in_context(tokens, [], 99)
