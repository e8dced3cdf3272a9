"""The embedded roberta-mini is whole, small, and knows a little before it is tuned."""

from __future__ import annotations

from pathlib import Path

import jax
import numpy as np
import pytest
from flax.traverse_util import flatten_dict
from safetensors.numpy import load_file
from transformers import AutoTokenizer, FlaxRobertaForMaskedLM, RobertaTokenizerFast

import zojax.lm.models
from zojax.lm.tasks import rotten_tomatoes

FOLDER = Path(zojax.lm.models.__file__).parent / "roberta_mini"


@pytest.fixture(scope="module")
def tokenizer() -> RobertaTokenizerFast:
    return AutoTokenizer.from_pretrained(FOLDER)


@pytest.mark.quick
def test_weights_are_small_and_complete():
    weights = load_file(FOLDER / "model.safetensors")
    assert {str(leaf.dtype) for leaf in weights.values()} == {"float16"}
    assert sum(leaf.size for leaf in weights.values()) <= 6_000_000
    with jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"):
        model, params = FlaxRobertaForMaskedLM.from_pretrained(FOLDER, _do_init=False)
    assert flatten_dict(params).keys() == model.required_params
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(params))


def test_tokenizer_is_roberta_s(tokenizer: RobertaTokenizerFast):
    assert isinstance(tokenizer, RobertaTokenizerFast)
    ids = tokenizer("a fine film . It was <mask>.", " No.").input_ids
    assert [i for i in ids if i in tokenizer.all_special_ids] == [0, 4, 2, 2, 2]
    assert tokenizer.convert_ids_to_tokens(range(5)) == ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]
    for word in (" great", " terrible"):
        assert len(tokenizer(word, add_special_tokens=False).input_ids) == 1


@pytest.mark.slow
def test_it_knows_a_little_before_it_is_tuned(tokenizer: RobertaTokenizerFast):
    examples = rotten_tomatoes()["dev"][:256]
    batch = tokenizer(
        [e.text + " It was <mask>." for e in examples], padding="longest", return_tensors="np"
    )
    bad, great = (tokenizer(w, add_special_tokens=False).input_ids[0] for w in (" bad", " great"))
    with jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"):
        model = FlaxRobertaForMaskedLM.from_pretrained(FOLDER, dtype=jax.numpy.float32)
        logits = model(**batch, params=model.to_fp32(model.params)).logits
    asked = np.asarray(logits)[batch["input_ids"] == tokenizer.mask_token_id]
    scores = asked[:, great] - asked[:, bad]
    labels = np.array([e.label for e in examples])
    above = np.mean(scores[labels == 1][:, None] > scores[labels == 0][None])
    # Chance is 0.5 with a standard error of 0.036.
    assert above > 0.65
