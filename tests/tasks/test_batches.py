"""Batches: few shapes, little padding, every example once, the same for the same seed."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterable

import numpy as np
import pytest

from zojax.tasks import (
    Batch,
    Example,
    PromptSet,
    PromptTokens,
    bucket_lengths,
    evaluation_batches,
    training_batches,
)


class WordCounter:
    """A tokenizer for which the text "7 3" is 7 tokens of the number 103."""

    bos_token_id = None

    def __call__(self, texts: list[str], **_: object) -> dict[str, list[list[int]]]:
        return {"input_ids": [self._tokens(text) for text in texts]}

    def _tokens(self, text: str) -> list[int]:
        words = text.split()
        return [100 + int(words[1])] * int(words[0]) if len(words) == 2 else []


def prompts(lengths: Iterable[int], label_ids: Iterable[Iterable[int]] = ((1,), (2,))) -> PromptSet:
    """Examples of these lengths; the one with index i has tokens 100 + i and label i % 2."""
    from zojax.tasks import Prompt

    ids = np.array(label_ids, np.int32)
    mask = (ids > 0).astype(np.float32)
    tokens = PromptTokens(ids, mask, Prompt("{text}{label}"), WordCounter(), 10_000)
    examples = [Example(f"{length} {i}", i % 2) for i, length in enumerate(lengths)]
    return PromptSet.of(examples, tokens)


def members(batch: Batch) -> list[int]:
    return [int(row[0]) - 100 for row in batch.input_ids[batch.weights > 0]]


@pytest.mark.parametrize("num_buckets", [1, 2, 3])
def test_bucket_lengths_pad_least(num_buckets: int):
    lengths = np.random.default_rng(0).integers(3, 61, 200)
    chosen = bucket_lengths(lengths, num_buckets)

    def padded(buckets: tuple[int, ...]) -> int:
        return sum(min(b for b in buckets if b >= length) for length in lengths)

    every = itertools.combinations(range(8, 65, 8), num_buckets)
    assert padded(chosen) == min(padded(b) for b in every if b[-1] >= lengths.max())
    assert len(chosen) == num_buckets


def test_bucket_lengths_of_a_few_or_long_rows():
    assert bucket_lengths(np.array([5]), 3) == (8,)
    assert bucket_lengths(np.array([8, 8]), 3) == (8,)
    long = bucket_lengths(np.array([10, 2000]), 2)
    assert len(long) == 2
    assert long[0] < 64
    assert 2000 <= long[1] < 2064
    with pytest.raises(ValueError, match="num_buckets must be >= 1, got 0"):
        bucket_lengths(np.array([5]), 0)


def test_a_batch_is_padded_on_the_right_and_filled_up():
    batch = prompts([3, 5, 2]).batch(np.array([1, 2]), 8, 4)
    assert batch.input_ids.tolist() == [
        [101] * 5 + [0] * 3,
        [102] * 2 + [0] * 6,
        [101] * 5 + [0] * 3,
        [101] * 5 + [0] * 3,
    ]
    np.testing.assert_array_equal(batch.attention_mask, batch.input_ids > 0)
    assert batch.last.tolist() == [4, 1, 4, 4]
    assert batch.labels.tolist() == [1, 0, 1, 1]
    assert batch.weights.tolist() == [1, 1, 0, 0]


def test_label_words_of_several_tokens_take_a_row_each():
    data = prompts([3, 2], label_ids=[[7, 0], [8, 9]])
    assert data.lengths.tolist() == [4, 3]
    batch = data.batch(np.array([0, 1]), 8, 2)
    assert [row[row > 0].tolist() for row in batch.input_ids] == [
        [100] * 3,
        [100] * 3 + [8],
        [101] * 2,
        [101] * 2 + [8],
    ]
    assert batch.last.tolist() == [2, 2, 1, 1]
    assert batch.labels.tolist() == [0, 1]


def test_an_epoch_has_every_example_once_but_for_less_than_a_batch():
    lengths = np.random.default_rng(0).integers(1, 41, 107)
    data = prompts(lengths)
    buckets = bucket_lengths(lengths, 3)
    batches = training_batches(data, buckets, 8, seed=5)
    for _ in range(3):
        epoch = list(itertools.islice(batches, 107 // 8))
        seen = Counter(itertools.chain.from_iterable(members(batch) for batch in epoch))
        assert set(seen.values()) == {1}
        assert len(seen) == 104
        assert {batch.input_ids.shape for batch in epoch} == {(8, length) for length in buckets}
        assert all(batch.weights.all() for batch in epoch)


def test_batches_depend_on_the_seed_alone():
    data = prompts([4, 9, 17] * 8)

    def first(seed: int) -> list[list[int]]:
        batches = training_batches(data, (8, 24), 4, seed)
        return [members(batch) for batch in itertools.islice(batches, 12)]

    assert first(1) == first(1)
    assert first(1) != first(2)
    assert first(1)[:6] != first(1)[6:]


def test_a_batch_needs_as_many_examples():
    with pytest.raises(ValueError, match=r"batch_size must lie within 1 … 3, .* got 4"):
        training_batches(prompts([4, 4, 4]), (8,), 4, seed=0)


def test_evaluation_has_every_example_once():
    data = prompts([4, 9, 17, 30, 31] * 7)
    batches = list(evaluation_batches(data, (8, 16, 32), 4))
    assert sorted(itertools.chain.from_iterable(map(members, batches))) == list(range(35))
    assert {batch.input_ids.shape for batch in batches} == {(4, 8), (4, 16), (4, 32)}


def test_labels_are_classes_of_the_prompt():
    tokens = prompts([4]).tokens
    with pytest.raises(ValueError, match=r"labels must lie within 0 … 1, .* got \[0, 2\]"):
        PromptSet.of([Example("4 0", 0), Example("4 1", 2)], tokens)
