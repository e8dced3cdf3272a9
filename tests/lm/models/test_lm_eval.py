"""A saved folder scored by the harness that model cards quote, lm-eval.

It is in no extra: ``pip install lm-eval`` beside ``.[test-with-transformers-5]``.
"""

import jax
import jax.numpy as jnp
import pytest

from zojax.lm import models

pytestmark = pytest.mark.slow
PAIRS = (("A film that is", " great"), ("It was all", " terrible and dull"))


def test_log_likelihoods_are_those_of_the_model(tmp_path, standard_promotion):
    """Of a continuation of one token, and of several."""
    huggingface = pytest.importorskip("lm_eval.models.huggingface", reason="lm-eval is missing")
    from lm_eval.api.instance import Instance

    model = models.load("opt-mini")
    model.save(model.params, tmp_path / "folder")
    harness = huggingface.HFLM(
        pretrained=str(tmp_path / "folder"), device="cpu", batch_size=2, dtype="float32"
    )

    requests = [Instance("loglikelihood", {}, pair, i) for i, pair in enumerate(PAIRS)]
    found = [score for score, _ in harness.loglikelihood(requests, disable_tqdm=True)]

    expected = [_log_likelihood(model, harness.tok_encode, *pair) for pair in PAIRS]
    assert found == pytest.approx(expected, abs=1e-4)


def _log_likelihood(model, encode, context, continuation):
    start, ids = len(encode(context)), jnp.array([encode(context + continuation)])
    logits = model.apply(model.params, ids, jnp.ones_like(ids))
    scores = jax.nn.log_softmax(logits.astype(jnp.float32))[0, start - 1 : -1]
    return float(jnp.sum(jnp.take_along_axis(scores, ids[0, start:, None], 1)))
