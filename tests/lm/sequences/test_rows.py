"""Rows of tokens: whole texts, what is cut, and the arrays of batches."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from chats import chat_tokenizer, write_chat_model

from zojax.lm.models import LanguageModel, load
from zojax.lm.sequences import (
    NextToken,
    Segment,
    SequenceKind,
    SequenceSet,
    SequenceTokens,
    TokenText,
    sequence_tokens,
)
from zojax.lm.tasks import bucket_lengths, training_batches
from zojax.lm.training._step import in_parts

pytestmark = pytest.mark.quick

BOS, EOS = 1, 2


def tokens_of(kind: SequenceKind, max_length: int = 40) -> SequenceTokens:
    return sequence_tokens(kind, chat_tokenizer(), max_length)


def instruction(prompt: str, completion: str) -> tuple[Segment, Segment]:
    return Segment(prompt, learnt=False), Segment(completion, learnt=True)


def test_a_completion_is_learnt_with_the_end_of_sequence():
    (found,) = tokens_of("instruction").encode([instruction("a film.", " great")])
    tokenizer = chat_tokenizer()
    assert (found.ids[0], found.ids[-1]) == (BOS, EOS)
    assert tokenizer.decode(found.ids[found.learnt]) == " great</s>"
    assert tokenizer.decode(found.ids[~found.learnt]) == "<s>a film."


def test_no_token_has_a_part_of_a_prompt_and_of_a_completion():
    tokenizer = chat_tokenizer()
    whole, apart = (tokenizer(texts)["input_ids"] for texts in (["great"], ["gre", "at"]))
    assert len(whole[0]) < sum(map(len, apart))  # the word is one token
    (found,) = tokens_of("instruction").encode([instruction("gre", "at")])
    assert found.ids.tolist() == [BOS, *apart[0], *apart[1], EOS]
    assert tokenizer.decode(found.ids[found.learnt]) == "at</s>"


@pytest.mark.parametrize("length", [2, 3, 7, 40])
def test_every_token_of_a_plain_text_is_predicted_once(length: int):
    tokens = tokens_of("text", length)
    (text,) = tokens.encode([(Segment("a film. It was great", learnt=True),)])
    pieces = SequenceSet.of([text], tokens).rows
    assert all(2 <= len(piece.ids) <= length for piece in pieces)
    predicted = [token for piece in pieces for token in piece.ids[1:][piece.learnt[1:]]]
    assert predicted == text.ids[1:].tolist()
    assert predicted[-1] == EOS


def test_a_long_row_loses_its_end_and_one_without_an_answer_is_left_out():
    tokens = tokens_of("instruction", 12)
    texts = tokens.encode(
        [
            instruction("a film.", " great"),
            instruction("a", " film" * 30),
            instruction("a" * 20, "b"),
        ]
    )
    found = SequenceSet.of(texts, tokens)
    assert (len(found), found.cut, found.left_out) == (2, 2, 1)
    assert [len(row.ids) <= 12 for row in found.rows] == [True, True]
    assert EOS in found.rows[0].ids
    assert EOS not in found.rows[1].ids
    with pytest.raises(ValueError, match=r"max_length must reach an answer .* got 12 for 1 rows"):
        SequenceSet.of(texts[2:], tokens)
    with pytest.raises(ValueError, match="max_length must be >= 2 for text rows, got 1"):
        tokens_of("text", 1)


def test_what_follows_the_last_answer_is_not_read():
    ids, learnt = np.arange(6, dtype=np.int32), np.array([0, 0, 1, 1, 0, 0], bool)
    cut = TokenText(ids, learnt).cut(40)
    assert cut.ids.tolist() == [0, 1, 2, 3]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> LanguageModel:
    return load(write_chat_model(tmp_path_factory.mktemp("models") / "chat"))


@pytest.fixture(scope="module")
def rows() -> SequenceSet:
    tokens = tokens_of("instruction")
    pairs = [
        ("a film.", " great"),
        ("It was", " a film" * 4),
        ("so", " no"),
        ("a", " film. It was"),
    ]
    return SequenceSet.of(tokens.encode([instruction(*pair) for pair in pairs]), tokens)


@pytest.fixture(scope="module")
def by_hand(model: LanguageModel, rows: SequenceSet) -> list[list[float]]:
    """The losses of the learnt tokens of each row, which is read by itself, in float64."""
    apply = jax.jit(model.apply)
    losses: list[list[float]] = []
    for ids, learnt in rows.rows:
        row, mask = np.pad(ids[:-1], (0, 48 - len(ids)))[None], np.arange(47)[None] < len(ids) - 1
        logits = np.asarray(apply(model.params, row, mask), np.float64)[0]
        log_p = logits - np.logaddexp.reduce(logits, axis=-1, keepdims=True)
        losses.append([-log_p[i, ids[i + 1]] for i in range(len(ids) - 1) if learnt[i + 1]])
    return losses


def test_the_loss_is_the_mean_over_the_learnt_tokens_of_a_batch(
    model: LanguageModel, rows: SequenceSet, by_hand: list[list[float]]
):
    task = NextToken(model, tokens_of("instruction"))
    batch = rows.batch(np.arange(4), 40, 4)
    expected = np.mean(np.concatenate(by_hand))
    loss_of, totals_of = jax.jit(task.loss), jax.jit(task.totals)
    assert float(loss_of(model.params, batch)) == pytest.approx(expected, rel=1e-5)
    # Not the mean of the rows' means, which answers of unequal length tell apart.
    rowwise = np.mean([np.mean(losses) for losses in by_hand])
    assert abs(rowwise - expected) > 1e-3
    # Rows that fill a batch up count for nothing.
    padded = rows.batch(np.arange(3), 40, 4)
    expected = np.mean(np.concatenate(by_hand[:3]))
    assert float(loss_of(model.params, padded)) == pytest.approx(expected, rel=1e-5)
    measured = rows.batch(np.arange(3), 40, 4, "candidates")
    loss, tokens, examples = (float(x) for x in totals_of(model.params, measured))
    assert (tokens, examples) == (sum(row.num_learnt for row in rows.rows[:3]), 3)
    assert loss / tokens == pytest.approx(expected, rel=1e-5)


def test_parts_of_a_batch_have_the_mean_of_the_batch(model: LanguageModel, rows: SequenceSet):
    loss = NextToken(model, tokens_of("instruction")).loss
    batch = rows.batch(np.arange(4), 40, 4)
    whole = float(jax.jit(loss)(model.params, batch))
    in_two = float(jax.jit(in_parts(loss, 2))(model.params, batch))
    assert in_two == pytest.approx(whole, rel=1e-6)


def test_shapes_are_those_that_are_compiled_for(rows: SequenceSet):
    lengths = bucket_lengths(rows.lengths, 3)
    batches = training_batches(rows, lengths, 1, seed=0)
    for _, batch in zip(range(8), batches, strict=False):
        expected = rows.abstract_batch(batch.input_ids.shape[1], 1)
        for array, abstract in zip(batch, expected, strict=True):
            assert (array.shape, array.dtype) == (abstract.shape, abstract.dtype)
        # The head is applied to no more positions than rows of this length can need.
        assert batch.positions.shape[1] <= batch.input_ids.shape[1]


def test_a_prompt_is_read_whole(rows: SequenceSet):
    batch = rows.batch(np.array([1]), 40, 2, "prompt")
    count = len(rows.rows[1].ids)
    assert batch.positions.tolist() == [[count - 1], [count - 1]]
    assert int(jnp.sum(batch.attention_mask[0])) == count
    assert rows.lengths_of("prompt")[1] == count
