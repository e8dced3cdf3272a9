"""Batches: few shapes, little padding, every example once, the same for the same seed."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterable

import numpy as np
import pytest

from zojax.lm.tasks import (
    Batch,
    Example,
    PromptSet,
    Task,
    View,
    bucket_lengths,
    decoding_batches,
    evaluation_batches,
    tokenize,
    training_batches,
)

pytestmark = pytest.mark.quick


class WordCounter:
    """A tokenizer for which the text "7 3" is 7 tokens of the number 103; of "7 -93", of 7."""

    bos_token_id = eos_token_id = mask_token_id = None

    def __call__(self, texts: list[str], **_: object) -> dict[str, list[list[int]]]:
        return {"input_ids": [self._tokens(text) for text in texts]}

    def _tokens(self, text: str) -> list[int]:
        words = text.split()
        return [100 + int(words[1])] * int(words[0]) if len(words) == 2 else []


def prompts(lengths: Iterable[int], words: tuple[str, ...] = ("1 -93", "1 -92")) -> PromptSet:
    """Examples of these lengths; the one with index i has tokens 100 + i and label i % 2."""
    task = Task("t", "classification", "{text}{label}", words)
    examples = [Example(f"{length} {i}", i % 2) for i, length in enumerate(lengths)]
    return PromptSet.of(examples, tokenize(task, WordCounter(), 10_000))


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
    assert batch.positions.tolist() == [[4], [1], [4], [4]]
    assert batch.targets.tolist() == [[8], [7], [8], [8]]
    assert batch.target_weights.tolist() == [[1.0]] * 4
    assert batch.labels.tolist() == [1, 0, 1, 1]
    assert batch.right.tolist() == [[False, True], [True, False], [False, True], [False, True]]
    assert batch.weights.tolist() == [1, 1, 0, 0]
    assert batch.members.tolist() == [1, 2, 1, 1]


def test_label_words_of_several_tokens_take_a_row_each():
    data = prompts([3, 2], words=("1 -93", "2 -92"))
    assert data.lengths.tolist() == [4, 3]
    batch = data.batch(np.array([0, 1]), 8, 2)
    assert [row[row > 0].tolist() for row in batch.input_ids] == [
        [100] * 3,
        [100] * 3 + [8],
        [101] * 2,
        [101] * 2 + [8],
    ]
    assert batch.positions.tolist() == [[2, 0], [2, 3], [1, 0], [1, 2]]
    assert batch.targets.tolist() == [[7, 0], [8, 8], [7, 0], [8, 8]]
    assert batch.target_weights.tolist() == [[1.0, 0.0], [0.5, 0.5]] * 2
    assert batch.labels.tolist() == [0, 1]
    assert batch.right.tolist() == [[True, False], [False, True]]


def options() -> PromptSet:
    """Two examples: of three choices the last two are right, of two the second."""
    examples = [
        Example("3 0", 1, choices=("1 1", "2 2", "9 3"), right=(1, 2)),
        Example("2 4", 1, choices=("1 5", "3 6")),
    ]
    task = Task("t", "multiple_choice", "{text}{label}")
    return PromptSet.of(examples, tokenize(task, WordCounter(), 10_000))


def test_choices_train_on_the_right_one():
    data = options()
    batch = data.batch(np.array([1, 0]), 16, 3)
    assert [row[row > 0].tolist() for row in batch.input_ids] == [
        [104] * 2 + [106] * 2,
        [100] * 3 + [102],
        [104] * 2 + [106] * 2,
    ]
    assert batch.targets[:, :3].tolist() == [[106] * 3, [102, 102, 0], [106] * 3]
    assert batch.positions[:, :3].tolist() == [[1, 2, 3], [2, 3, 0], [1, 2, 3]]
    np.testing.assert_allclose(batch.target_weights.sum(1), 1)
    assert batch.labels.tolist() == [0, 0, 0]
    assert batch.right.tolist() == [[True]] * 3
    assert batch.targets.shape == (3, 16)  # 9 tokens, in eights


def test_fewer_choices_are_filled_up_with_rows_that_weigh_nothing():
    data = options()
    batch = data.batch(np.array([0, 1]), 16, 2, "candidates")
    assert batch.input_ids.shape == (6, 16)
    np.testing.assert_allclose(batch.target_weights.sum(1), [1, 1, 1, 1, 1, 0])
    np.testing.assert_array_equal(batch.input_ids[5], batch.input_ids[3])
    assert batch.labels.tolist() == [1, 1]
    assert batch.right.tolist() == [[False, True, True], [False, True, False]]


def answers() -> PromptSet:
    examples = [Example(f"{n} {n}", answers=("2 50", "1 60")) for n in (3, 9, 4, 20, 5)]
    task = Task("t", "generation", "{text}{label}")
    return PromptSet.of(examples, tokenize(task, WordCounter(), 10_000))


def test_an_answer_is_read_but_for_its_last_token():
    data = answers()
    assert data.lengths.tolist() == [4, 10, 5, 21, 6]
    batch = data.batch(np.array([0]), 8, 2)
    assert batch.input_ids[0].tolist() == [103] * 3 + [150] + [0] * 4
    assert batch.targets[0].tolist() == [150, 150] + [0] * 6
    assert batch.target_weights[0].tolist() == [0.5, 0.5] + [0] * 6
    assert batch.positions[0, :2].tolist() == [2, 3]
    assert batch.weights.tolist() == [1, 0]


def test_prompts_to_write_answers_to():
    data = answers()
    assert data.prompt_lengths.tolist() == [3, 9, 4, 20, 5]
    batches = list(decoding_batches(data, (8, 24), 2))
    assert [len(decoding.examples) for decoding in batches] == [2, 1, 2]
    for batch, examples in batches:
        for row, mask, last, example in zip(*batch[:3], examples, strict=False):
            length = int(example.text.split()[0])
            assert row[:length].tolist() == [100 + length] * length
            assert mask.sum() == length
            assert last.tolist() == [length - 1]
            assert example.answers == ("2 50", "1 60")
        assert batch.positions.shape == (2, 1)
        assert batch.weights.sum() == len(examples)
    assert {e for d in batches for e in d.examples} == set(data.examples)


def test_training_on_prompts_alone():
    """Of their own lengths, without end, and with the places of their examples."""
    data = answers()
    endless = training_batches(data, (8, 24), 2, seed=0, view="prompt")
    batches = list(itertools.islice(endless, 6))
    assert {batch.input_ids.shape for batch in batches} == {(2, 8), (2, 24)}
    for batch in batches:
        rows = zip(batch.input_ids, batch.attention_mask, batch.members, strict=True)
        for row, mask, place in rows:
            length = int(data.examples[place].text.split()[0])
            assert row[:length].tolist() == [100 + length] * length
            assert mask.sum() == length
    seen = Counter(place for batch in batches for place in batch.members.tolist())
    assert set(seen.values()) <= {1, 2, 3}  # 3 epochs of 2 batches, one example left out of each


@pytest.mark.parametrize("view", ["training", "candidates", "prompt"])
@pytest.mark.parametrize("data", [prompts([3, 9]), options(), answers()], ids=lambda d: "")
def test_the_abstract_batch_is_like_those_of_training(data: PromptSet, view: View):
    length = int(data.lengths_of(view).max())
    abstract = data.abstract_batch(length, 2, view)
    batch = next(training_batches(data, (length,), 2, seed=0, view=view))
    for expected, x in zip(abstract, batch, strict=True):
        assert (expected.shape, expected.dtype) == (x.shape, x.dtype)


def test_training_on_all_candidates():
    batch = next(training_batches(options(), (16,), 2, seed=0, view="candidates"))
    assert batch.input_ids.shape == (6, 16)


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
    with pytest.raises(ValueError, match=r"got \[\]"):
        PromptSet.of([], tokens)
    with pytest.raises(ValueError, match=r"labels must lie within 0 … 1, .* got \[0, 2\]"):
        PromptSet.of([Example("4 0", 0), Example("4 1", 2)], tokens)
