"""The script that makes the embedded models: what it masks, asks, writes and goes on with."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import jax
import numpy as np
import pretrain_mini
import pytest
from transformers import (
    FlaxOPTForCausalLM,
    FlaxRobertaForMaskedLM,
    OPTConfig,
    RobertaConfig,
)

import zojax.lm.models
from pretraining import batches, opt, roberta, rows, verdicts, vocabulary
from pretraining.corpus import Corpus
from zojax.lm.tasks.rotten_tomatoes import Example

FAMILIES = pytest.mark.parametrize("family", [opt, roberta], ids=["opt", "roberta"])
WORDS = ["great", "terrible", "good", "bad", "plot", "actor", "scene", "music", "a", "of", "film"]


@pytest.fixture(autouse=True)
def promotion():
    """transformers' own code promotes dtypes."""
    with jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"):
        yield


@pytest.fixture(scope="module")
def corpus() -> Corpus:
    rng = np.random.default_rng(0)

    def text() -> str:
        return "It works. " + ". ".join(" ".join(rng.choice(WORDS, 6)) for _ in range(4)) + "."

    reviews = tuple(Example(text(), i % 2) for i in range(60))
    sentences = tuple(text().lower() for _ in range(20))
    return Corpus(reviews[8:], reviews[:8], (text(),), sentences, reviews[:12])


def tokenizer_of(family: ModuleType, corpus: Corpus):
    return family.make_tokenizer(vocabulary.train_bpe(corpus, family.SPECIAL_TOKENS))


def tiny_model(family: ModuleType, vocab_size: int, seed: int):
    sizes = dict(vocab_size=vocab_size, hidden_size=16, num_hidden_layers=1, num_attention_heads=2)
    if family is opt:
        config = OPTConfig(
            **sizes, ffn_dim=16, word_embed_proj_dim=16, max_position_embeddings=256, dropout=0.0
        )
        return FlaxOPTForCausalLM(config, seed=seed, input_shape=(1, 8))
    config = RobertaConfig(
        **sizes, intermediate_size=16, max_position_embeddings=258, type_vocab_size=1
    )
    return FlaxRobertaForMaskedLM(config, seed=seed, input_shape=(1, 8))


@pytest.mark.quick
def test_the_demo_s_words_are_never_verdicts():
    words = [*verdicts.ADJECTIVES[0], *verdicts.ADJECTIVES[1]]
    words += [w for _, both in verdicts.OTHER_VERDICTS for some in both for w in some]
    assert not {" great", " terrible"} & set(words)


@FAMILIES
def test_a_verdict_of_the_label_follows_a_review(family: ModuleType, corpus: Corpus):
    tokenizer = tokenizer_of(family, corpus)
    positive = Corpus(tuple(replace(r, label=1) for r in corpus.reviews), (), (), (), ())
    maker = rows.RowMaker(positive, tokenizer, np.random.default_rng(0))
    good = {*verdicts.ADJECTIVES[1], *(w for _, (_, p) in verdicts.OTHER_VERDICTS for w in p)}
    for _ in range(50):
        row = maker.segment()
        weighed = [i for i, w in zip(row.ids, row.weights, strict=True) if w > 1]
        assert tokenizer.decode(weighed) in good
        assert (row.ids[0], row.ids[-1]) == (tokenizer.bos_token_id, tokenizer.eos_token_id)


@FAMILIES
def test_every_verdict_word_is_a_target(family: ModuleType, corpus: Corpus):
    maker = rows.RowMaker(corpus, tokenizer_of(family, corpus), np.random.default_rng(0))
    some = [maker.segment() for _ in range(16)]
    ids, weights = batches.pad(some, 256, 256)
    batch = family.make_batch(ids, weights, np.random.default_rng(1))
    expected = np.flatnonzero(weights > 1)
    weighed = batch.weights > 1
    shift = 1 if family is opt else 0  # a decoder predicts from the place before
    np.testing.assert_array_equal(np.sort(batch.places[weighed] + shift), expected)
    np.testing.assert_array_equal(batch.targets, ids.ravel()[batch.places + shift])
    assert len(batch.places) == family.TARGETS_PER_STEP


@pytest.mark.quick
def test_what_is_masked():
    rng = np.random.default_rng(0)
    ids = rng.integers(5, 300, (20, 1024)).astype(np.int32)
    ids[:, ::16] = rng.integers(0, 3, (20, 64))
    weights = np.ones(ids.shape, np.float32)
    weights[:, 5] = rows.VERDICT_WEIGHT
    made = [roberta.make_batch(ids[i : i + 1], weights[i : i + 1], rng) for i in range(len(ids))]
    asked = [batch.places[batch.weights == 1] for batch in made]
    text = np.sum((ids > 2) & (weights == 1))
    np.testing.assert_allclose(sum(map(len, asked)) / text, roberta.MASKED_SHARE, atol=0.01)
    seen = np.concatenate([b.ids.ravel()[p] for b, p in zip(made, asked, strict=True)])
    real = np.concatenate([i[p] for i, p in zip(ids, asked, strict=True)])
    np.testing.assert_allclose(np.mean(seen == roberta.MASK_ID), 0.8, atol=0.03)
    np.testing.assert_allclose(np.mean(seen == real), 0.1, atol=0.03)
    assert real.min() > 2
    for row, batch in zip(ids, made, strict=True):
        assert batch.ids[0, 5] == roberta.MASK_ID
        unasked = np.setdiff1d(np.arange(row.size), batch.places[batch.weights > 0])
        np.testing.assert_array_equal(batch.ids[0, unasked], row[unasked])


@pytest.mark.slow
@FAMILIES
def test_logits_are_the_model_s(family: ModuleType):
    model = tiny_model(family, 40, 0)
    ids, _ = batches.pad(
        [rows.Row([0, 7, 8, 4, 2], [1.0] * 5), rows.Row([0, 4, 2], [1.0] * 3)], 6, 6
    )
    places = np.array([3, 7])
    mask = (ids != vocabulary.PAD_ID).astype(np.int32)
    expected = model(ids, mask).logits.reshape(-1, 40)[places]
    got = family.logits_at(model, model.params, ids, places)
    np.testing.assert_allclose(got, expected, atol=1e-5)


@pytest.mark.slow
def test_a_run_and_its_continuation(
    corpus: Corpus, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(roberta, "make_model", lambda size, seed: tiny_model(roberta, size, seed))
    monkeypatch.setattr(batches, "VALIDATION_BATCHES", 1)
    unlink = Path.unlink

    def keep_checkpoints(path: Path, missing_ok: bool = False) -> None:
        if path.suffix != ".msgpack":
            unlink(path, missing_ok=missing_ok)

    monkeypatch.setattr(Path, "unlink", keep_checkpoints)
    for steps, resume in ((2, False), (3, True)):
        budget = pretrain_mini.Budget(None, steps * batches.TOKENS_PER_STEP)
        pretrain_mini.pretrain(roberta, corpus, tmp_path, budget, resume=resume)
    log = [json.loads(s) for s in (tmp_path / "training_log.jsonl").read_text().splitlines()]
    assert [entry["step"] for entry in log] == [2, 3]
    assert log[1]["seconds"] > log[0]["seconds"]
    # Nothing is missing, and nothing is left over.
    flax, ours = (
        zojax.lm.models.load(tmp_path, implementation=kind) for kind in ("transformers", "zojax")
    )
    ids = np.array([[0, 7, 8, 4, 2]], np.int32)
    logits = [model.apply(model.params, ids, np.ones_like(ids)) for model in (flax, ours)]
    np.testing.assert_allclose(*logits, atol=1e-5)
