"""The embedded roberta-mini is whole, small, and knows a little before it is tuned."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file

import zojax.lm.models
from zojax.lm.models import LanguageModel
from zojax.lm.tasks import rotten_tomatoes

FOLDER = Path(zojax.lm.models.__file__).parent / "roberta_mini"


@pytest.fixture(scope="module")
def model() -> LanguageModel:
    return zojax.lm.models.load("roberta-mini")


@pytest.mark.quick
def test_weights_are_small_and_complete(model: LanguageModel):
    weights = load_file(FOLDER / "model.safetensors")
    assert {str(leaf.dtype) for leaf in weights.values()} == {"float16"}
    assert sum(leaf.size for leaf in weights.values()) <= 6_000_000
    assert all(np.isfinite(leaf).all() for leaf in weights.values())
    assert model.kind == "masked"


def test_tokenizer_is_roberta_s(model: LanguageModel):
    vocabulary = model.tokenizer.get_vocab()
    assert [vocabulary[t] for t in ("<s>", "<pad>", "</s>", "<unk>", "<mask>")] == [0, 1, 2, 3, 4]
    ids = model.tokenizer("a fine film . It was <mask>.").input_ids
    assert [i for i in ids if i < 5] == [0, 4, 2]
    for word in (" great", " terrible"):
        assert len(model.tokenizer(word, add_special_tokens=False).input_ids) == 1


@pytest.mark.slow
def test_it_knows_a_little_before_it_is_tuned(model: LanguageModel):
    examples = rotten_tomatoes()["dev"][:256]
    rows = model.tokenizer([e.text + " It was <mask>." for e in examples]).input_ids
    ids = np.full((len(rows), max(map(len, rows))), 1, np.int32)
    for row, tokens in zip(ids, rows, strict=True):
        row[: len(tokens)] = tokens
    words = [model.tokenizer(w, add_special_tokens=False).input_ids[0] for w in (" bad", " great")]
    places = np.argmax(ids == model.tokenizer.mask_token_id, axis=1)[:, None].astype(np.int32)
    mask = (ids != 1).astype(np.int32)
    logits = model.logits_at(model.params, ids, mask, places, np.array(words, np.int32))[:, 0]
    scores = np.asarray(logits[:, 1] - logits[:, 0])
    labels = np.array([e.label for e in examples])
    above = np.mean(scores[labels == 1][:, None] > scores[labels == 0][None])
    # Chance is 0.5 with a standard error of 0.036.
    assert above > 0.65
