"""Prompts in tokens: pieces are those of the whole text, and truncation spares the template."""

from __future__ import annotations

import copy
import dataclasses
import itertools

import numpy as np
import pytest

from zojax.lm.models import Tokenizer
from zojax.lm.tasks import Example, PromptTokens, Task, in_context, tokenize
from zojax.lm.tasks._pieces import Pieces

pytestmark = pytest.mark.quick

TEXT = Task("text", "classification", "{text} It was {label}", ("terrible", "great"))
FIRST = Task("first", "classification", "Film: {text} It was {label}", ("terrible", "great"))
OPTIONS = Task("options", "multiple_choice", "{text} {label}")
WRITING = Task("writing", "generation", "{text} {label}", max_new_tokens=4)


def ids(tokenizer: Tokenizer, text: str) -> list[int]:
    return tokenizer(text, add_special_tokens=False).input_ids


def encode(tokens: PromptTokens, text: str) -> list[int]:
    ((row,),) = tokens.encode([Example(text)])
    return row.ids


def test_prompt_is_the_whole_text_in_tokens(tokenizer: Tokenizer):
    row = encode(tokenize(FIRST, tokenizer, 48), "  a film ")
    assert row == [tokenizer.bos_token_id, *ids(tokenizer, "Film: a film It was")]


def test_label_words_are_tokens_as_they_stand_after_the_prompt(tokenizer: Tokenizer):
    tokens = tokenize(TEXT, tokenizer, 48)
    assert tokens.one_token
    assert tokens.label_ids.tolist() == [ids(tokenizer, " terrible"), ids(tokenizer, " great")]
    ((row,),) = tokens.encode([Example("a film", 1)])
    assert [*row.ids, *row.targets] == [
        tokenizer.bos_token_id,
        *ids(tokenizer, "a film It was great"),
    ]
    assert row.positions == [len(row.ids) - 1]


def test_label_words_of_unlike_length_are_filled_up(tokenizer: Tokenizer):
    task = Task("text", "classification", "{text} It was {label}", ("great", "so bad"))
    tokens = tokenize(task, tokenizer, 48)
    long = ids(tokenizer, " so bad")
    assert not tokens.one_token
    assert tokens.label_ids.shape == (2, len(long))
    np.testing.assert_array_equal(tokens.label_ids[1], long)
    np.testing.assert_array_equal(tokens.label_mask.sum(1), [1, len(long)])
    (rows,) = tokens.encode([Example("a film")])
    assert [row.targets for row in rows] == [ids(tokenizer, " great"), long]
    assert rows[1].ids == [*rows[0].ids, *long[:-1]]


@pytest.mark.parametrize("kind", ["causal", "masked"])
@pytest.mark.parametrize(
    ("template", "cut"),
    [
        ("{a}\nQuestion: {b}? Yes or No? {label}", "a"),
        ("{a} ({b}): {label}", "b"),
        ('"{a}" is {b}\n{label}', "b"),
        ("It was {a},  {b} {label}", "a"),
    ],
)
def test_pieces_join_as_the_whole_text(
    kind: str, template: str, cut: str, request: pytest.FixtureRequest
):
    """Also for a tokenizer that puts a space before whatever it is given."""
    words = (" great", "terrible")
    values = {"a": "was it a film. Is it?", "b": "the film"}
    masked = template.replace("{label}", "{label}.")
    task = Task("t", "classification", template, words, masked, truncate=cut)
    causal = ("tokenizer", "spaced_tokenizer")
    for name in causal if kind == "causal" else ("masked_tokenizer",):
        tokenizer = request.getfixturevalue(name)
        rows = tokenize(task, tokenizer, 999, kind=kind).encode([Example(values, 0)])[0]
        whole = (template if kind == "causal" else masked).format(**values, label="great")
        row = rows[0]
        if kind == "causal":
            read = [*row.ids[: row.positions[0] + 1], *row.targets]
            assert read == [tokenizer.bos_token_id, *ids(tokenizer, whole)]
        else:
            places = iter(row.targets)
            read = [
                next(places) if token == tokenizer.mask_token_id else token for token in row.ids
            ]
            ends = tokenizer.bos_token_id, tokenizer.eos_token_id
            assert read == [ends[0], *ids(tokenizer, whole), ends[1]]


def test_a_tokenizer_that_puts_a_space_before_is_found(
    tokenizer: Tokenizer, spaced_tokenizer: Tokenizer
):
    pieces = [("film", True), (" film", False), ("film", False), ("\nfilm", False)]
    assert Pieces(tokenizer).encode(pieces) == [ids(tokenizer, text) for text, _ in pieces]
    vocabulary = spaced_tokenizer.get_vocab()
    assert Pieces(spaced_tokenizer).encode(pieces) == [
        [vocabulary["▁film"]],
        [vocabulary["▁film"]],
        [vocabulary[letter] for letter in "film"],
        [vocabulary["<0x0A>"], *(vocabulary[letter] for letter in "film")],
    ]


def test_truncation_spares_template_and_label_word(tokenizer: Tokenizer):
    whole, cut = (encode(tokenize(FIRST, tokenizer, length), "story " * 30) for length in (999, 24))
    last = ids(tokenizer, " It was")
    assert len(cut) == 24 - 1  # room for the label word
    assert cut[-len(last) :] == last
    assert cut[: -len(last)] == whole[: 23 - len(last)]


def test_truncation_is_alike_for_all_choices(tokenizer: Tokenizer):
    example = Example("story " * 30, choices=("a", "a film of a story"))
    (short, long) = tokenize(OPTIONS, tokenizer, 40).encode([example])[0]
    assert len(long.ids) == 39
    shared = short.positions[0] + 1
    assert short.ids[:shared] == long.ids[:shared]


def test_room_is_kept_for_what_the_model_writes(tokenizer: Tokenizer):
    task = Task("t", "generation", "{text} {label}", max_new_tokens=10)
    long = Example("story " * 60, answers=("a" * 15,))
    short = Example("story " * 60, answers=("a",))
    prompts = [
        row.positions[0] + 1 for (row,) in tokenize(task, tokenizer, 48).encode([long, short])
    ]
    assert prompts == [48 - len(ids(tokenizer, " " + "a" * 15 + "\n")), 48 - 10]


def test_no_room_for_text(tokenizer: Tokenizer):
    message = r"room for a token of text and the \d tokens of example 0 .* got 3"
    with pytest.raises(ValueError, match=message):
        encode(tokenize(TEXT, tokenizer, 3), "a")


def test_label_words_have_distinct_tokens():
    class Deaf:
        bos_token_id = eos_token_id = mask_token_id = None

        def __call__(self, texts: list[str], **_: object) -> dict[str, list[list[int]]]:
            return {"input_ids": [[5] for _ in texts]}

    with pytest.raises(ValueError, match="must have distinct tokens"):
        tokenize(TEXT, Deaf(), 48)


def test_a_masked_model_needs_a_mask_token(tokenizer: Tokenizer):
    task = Task("t", "classification", "{text} {label}", ("a", "b"), "{label} {text}")
    with pytest.raises(ValueError, match="must have a mask token, got Tokenizer"):
        tokenize(task, tokenizer, 48, kind="masked")


def test_choices_may_be_masked_as_well(masked_tokenizer: Tokenizer):
    task = Task("t", "multiple_choice", "{text} {label}", masked_template="{text} {label}.")
    example = Example("a", choices=("great", "so bad"))
    (rows,) = tokenize(task, masked_tokenizer, 48, kind="masked").encode([example])
    mask = masked_tokenizer.mask_token_id
    for row, choice in zip(rows, example.choices, strict=True):
        assert row.targets == ids(masked_tokenizer, f" {choice}")
        assert row.positions == [i for i, token in enumerate(row.ids) if token == mask]
        rest = [token for token in row.ids if token != mask]
        assert masked_tokenizer.decode(rest) == "<s>a.</s>"


def test_every_piece_is_tokenised_once(tokenizer: Tokenizer):
    seen: list[str] = []

    class Listening:
        bos_token_id = eos_token_id = mask_token_id = None

        def __call__(self, texts: list[str], **options: object) -> dict[str, list[list[int]]]:
            seen.extend(texts)
            return tokenizer(texts, **options)

    tokens = tokenize(TEXT, Listening(), 48)
    seen.clear()
    tokens.encode([Example(text) for text, _ in itertools.product("ab", range(50))])
    assert sorted(seen) == ["", " It was", "a", "b"]


@pytest.mark.parametrize(
    ("task", "example", "message"),
    [
        (TEXT, Example("a", 2), "example 1: labels must lie within 0 … 1, its classes, got 2"),
        (TEXT, Example("a", -1), "example 1: labels must lie within 0 … 1, its classes, got -1"),
        (TEXT, Example({"body": "a"}), r"example 1: fields must have text, got \['body'\]"),
        (OPTIONS, Example("a", choices=()), r"example 1: choices must not be empty, got \(\)"),
        (
            OPTIONS,
            Example("a", 2, choices=("b", "c")),
            "labels must lie within 0 … 1, its choices, got 2",
        ),
        (
            OPTIONS,
            Example("a", -1, choices=("b", "c")),
            "labels must lie within 0 … 1, its choices, got -1",
        ),
        (
            OPTIONS,
            Example("a", 0, choices=("b", "c"), right=(0, 7)),
            "labels must lie within 0 … 1, its choices, got 7",
        ),
        (
            OPTIONS,
            Example({"text": ("a", "b", "c")}, choices=("b", "c")),
            r"text must be one text, or one for each of 2 choices, got \('a', 'b', 'c'\)",
        ),
        (WRITING, Example("a"), r"example 1: answers must not be empty, got \(\)"),
    ],
)
def test_examples_that_do_not_fit_the_task(
    task: Task, example: Example, message: str, tokenizer: Tokenizer
):
    right = Example("a", choices=("b", "c"), answers=("d",))
    tokens = tokenize(task, tokenizer, 48)
    with pytest.raises(ValueError, match=message):
        tokens.encode([right, example])
    with pytest.raises(ValueError, match=message):
        in_context(tokens, [right, example], 99).encode([right])


@pytest.mark.parametrize("task", [TEXT, OPTIONS, WRITING], ids=lambda task: task.kind)
def test_tokens_that_the_model_does_not_know(task: Task, tokenizer: Tokenizer):
    """Whatever JAX would clamp: of the text, of a candidate, of the words themselves."""
    plain = Example("a", choices=("b", "c"), answers=("d",))
    unknown = len(tokenizer)
    tokenizer = copy.deepcopy(tokenizer)
    tokenizer.backend.add_tokens(["<new>"])
    tokens = tokenize(task, tokenizer, 48, vocab_size=unknown)
    tokens.encode([plain])
    in_text = Example("a <new>", choices=("b", "c"), answers=("d",))
    examples = [in_text]
    if task.kind != "classification":
        examples.append(Example("a", choices=("b <new>", "c"), answers=("d <new>",)))
    for example in examples:
        with pytest.raises(ValueError, match=rf"within 0 … {unknown - 1}, .* {unknown} in exampl"):
            tokens.encode([plain, example])
    if task.kind == "classification":
        words = dataclasses.replace(task, label_words=("good", "<new>"))
        with pytest.raises(ValueError, match=rf"got {unknown} in the label words"):
            tokenize(words, tokenizer, 48, vocab_size=unknown)
