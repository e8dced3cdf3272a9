"""Prompts without a candidate: one row for an example, whatever the label words are."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from zojax.lm.models import load_input
from zojax.lm.tasks import Example, PromptSet, evaluation_batches, load_task, tokenize

pytestmark = pytest.mark.quick

EXAMPLES = [Example("a film to love", 0), Example("two long hours", 1), Example("well", 0)]
WORDS = ("great", "terrible beyond any words")  # several tokens: a row for each candidate


def prompts(model: str) -> PromptSet:
    reads = load_input(model)
    task = dataclasses.replace(load_task("sst2"), label_words=WORDS, masked_label_words=())
    return PromptSet.of(EXAMPLES, tokenize(task, reads.tokenizer, 40, kind=reads.kind))


@pytest.mark.parametrize("model", ["opt-mini", "roberta-mini"])
def test_a_prompt_is_one_row_that_no_label_is_in(model: str):
    data = prompts(model)
    lengths = data.lengths_of("prompt")
    (batch,) = evaluation_batches(data, (int(lengths.max()),), 3, "prompt")
    (candidates,) = evaluation_batches(data, (int(data.lengths.max()),), 3)
    assert len(candidates.input_ids) == 6
    assert (batch.input_ids.shape[0], batch.positions.shape) == (3, (3, 1))
    reads = load_input(model).tokenizer
    for row, mask, position, member in zip(
        batch.input_ids, batch.attention_mask, batch.positions[:, 0], batch.members, strict=True
    ):
        ids = row[: mask.sum()].tolist()
        assert len(ids) == lengths[member]
        # The first rows of the candidates are those of class 0, up to the label.
        first = np.flatnonzero(candidates.members == member)[0] * 2
        assert candidates.positions[first, 0] == position
        if model == "roberta-mini":  # reads what comes after the mask, too
            assert ids[position] == reads.mask_token_id
            assert ids[-1] == reads.eos_token_id
            assert position < len(ids) - 2
        else:
            assert position == len(ids) - 1
            assert reads.decode(ids).endswith("It was")
    np.testing.assert_array_equal(batch.labels[np.argsort(batch.members)], [0, 1, 0])
