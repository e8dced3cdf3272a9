"""Decoding by chance, and a population that writes together."""

from __future__ import annotations

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from zojax.lm.decoding import greedy, row_keys, sample, stop_tokens

IDS = np.array([[2, 40, 50, 60], [2, 70, 80, 1]], np.int32)
MASK = np.array([[1, 1, 1, 1], [1, 1, 1, 0]], np.int32)
KEYS = row_keys(jax.random.key(3), np.arange(2))


def writer(model: Any, **settings: Any) -> Any:
    settings = {"max_new_tokens": 6, "stop_tokens": stop_tokens(model.tokenizer), **settings}
    return partial(sample, model, **settings)


def test_a_low_temperature_writes_what_is_likeliest(load: Any, quick: Any):
    model = load("opt")
    settings = dict(max_new_tokens=6, stop_tokens=stop_tokens(model.tokenizer))
    expected = quick(partial(greedy, model, **settings))(model.params, IDS, MASK)
    got = quick(writer(model, keys=KEYS, temperature=1e-5))(model.params, IDS, MASK)
    np.testing.assert_array_equal(got, expected)


@pytest.mark.parametrize("top_p", [1.0, 0.6])
def test_the_first_token_has_the_models_distribution(load: Any, quick: Any, top_p: float):
    model, draws, temperature = load("opt"), 20_000, 0.7
    # Few distinct prompts: the logits of the first token are those of the prompt.
    logits = np.asarray(model.apply(model.params, jnp.asarray(IDS[:1]), jnp.asarray(MASK[:1])))
    scores = logits[0, -1].astype(np.float64) / temperature
    probabilities = np.exp(scores - scores.max())
    probabilities /= probabilities.sum()
    order = np.argsort(-probabilities)
    needed = int(np.searchsorted(np.cumsum(probabilities[order]), top_p)) + 1
    kept = np.zeros(len(scores), bool)
    kept[order[:needed]] = True
    expected = np.where(kept, probabilities, 0) / probabilities[kept].sum()

    keys = row_keys(jax.random.key(0), np.arange(draws))
    write = writer(model, keys=keys, max_new_tokens=1, temperature=temperature, top_p=top_p)
    rows = np.repeat(IDS[:1], draws, axis=0)
    tokens = np.asarray(quick(write)(model.params, rows, np.ones_like(rows)))[:, 0]
    counts = np.bincount(tokens, minlength=len(scores))
    assert not counts[~kept].any()
    spread = np.sqrt(draws * expected * (1 - expected))
    usual = draws * expected > 20
    assert usual.sum() > 3
    assert np.abs((counts - draws * expected)[usual] / spread[usual]).max() < 4.5


def test_a_row_depends_on_its_own_key_alone(load: Any, quick: Any):
    model = load("opt")
    settings = dict(temperature=3.0, stop_tokens=[])
    both = quick(writer(model, keys=KEYS, **settings))(model.params, IDS, MASK)
    turned = quick(writer(model, keys=KEYS[::-1], **settings))(model.params, IDS[::-1], MASK[::-1])
    np.testing.assert_array_equal(both, np.asarray(turned)[::-1])
    other = row_keys(jax.random.key(4), np.arange(2))
    changed = quick(writer(model, keys=other, **settings))(model.params, IDS, MASK)
    assert (np.asarray(changed) != np.asarray(both)).any(axis=1).all()


def test_keys_of_rows_are_made_of_all_numbers():
    keys = row_keys(jax.random.key(0), 3, np.arange(4), np.arange(4))
    assert keys.shape == (4,)
    data = {tuple(row) for row in np.asarray(jax.random.key_data(keys)).tolist()}
    other = row_keys(jax.random.key(0), 4, np.arange(4), np.arange(4))
    assert len(data | {tuple(x) for x in np.asarray(jax.random.key_data(other)).tolist()}) == 8


def population(model: Any, count: int) -> Any:
    """Parameters with a leading axis of members, of which the first is the model."""
    noise = jax.random.normal(jax.random.key(1), (count,)) * 0.2

    def moved(leaf: Any) -> Any:
        return jnp.stack([leaf * (1 + (noise[i] if i else 0.0)) for i in range(count)])

    return jax.tree.map(moved, model.params)


@pytest.mark.parametrize("by_chance", [False, True])
def test_members_write_together_what_they_write_alone(load: Any, quick: Any, by_chance: bool):
    model = load("opt")
    stops = np.arange(0, 300, 2)  # so many that rows end at different places
    if by_chance:
        write = writer(model, keys=KEYS, temperature=2.0, stop_tokens=stops)
    else:
        write = partial(greedy, model, max_new_tokens=6, stop_tokens=stops)
    members = population(model, 5)
    together = quick(jax.vmap(lambda p: write(p, IDS, MASK)))(members)
    one = quick(lambda p: write(p, IDS, MASK))
    alone = [one(jax.tree.map(lambda x, i=i: x[i], members)) for i in range(5)]
    np.testing.assert_array_equal(together, np.stack(alone))
    lengths = (np.asarray(together) >= 0).sum(axis=-1)
    assert len({*lengths.reshape(-1).tolist()}) > 1


def test_members_share_one_loop_and_one_draw(load: Any):
    """A number of decoded tokens for each member would copy every cache in each round."""
    model = load("opt")
    write = writer(model, keys=KEYS)
    members = population(model, 3)
    jaxpr = jax.make_jaxpr(jax.vmap(lambda p: write(p, IDS, MASK)))(members)
    [loop] = [eqn for eqn in jaxpr.jaxpr.eqns if eqn.primitive.name == "while"]
    body = loop.params["body_jaxpr"].jaxpr
    decoded = [x.aval.shape for x in body.outvars]
    assert decoded.count(()) == 2  # the number of tokens, and of columns of the cache
    drawn = [
        eqn.outvars[0].aval.shape
        for eqn in body.eqns
        if eqn.primitive.name in ("random_bits", "jit") and eqn.outvars
    ]
    assert (2, model.config.vocab_size) in drawn
    assert (3, 2, model.config.vocab_size) not in [
        eqn.outvars[0].aval.shape for eqn in body.eqns if eqn.primitive.name == "random_bits"
    ]


@pytest.mark.quick
@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (dict(temperature=0.0), r"sample: temperature must be > 0 and finite, got 0\.0\."),
        (dict(temperature=float("inf")), "sample: temperature must be > 0"),
        (dict(top_p=0.0), r"sample: top_p must lie within \(0, 1\], got 0\.0\."),
        (dict(top_p=1.5), "sample: top_p"),
        (dict(max_new_tokens=0), "sample: max_new_tokens must be >= 1, got 0."),
    ],
)
def test_wrong_settings_are_refused(load: Any, settings: dict[str, Any], message: str):
    model = load("opt")
    with pytest.raises(ValueError, match=message):
        writer(model, keys=KEYS, **settings)(model.params, IDS, MASK)
