"""Zeroth order below, back-propagation above, and no activation kept below."""

import json

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from sets import slow_except

import zojax
from zojax import planning
from zojax.coordinates import merged, part
from zojax.lm import models

LAYERS = 8


def params():
    keys = jax.random.split(jax.random.key(0), 5)
    layers = [0.5 * jax.random.normal(k, (4, 4)) for k in keys[:3]]
    embed, head = (jax.random.normal(k, (6, 4)) for k in keys[3:])
    return {"embed": embed, "layers": layers, "out": head}


def loss(p):
    x = p["embed"]
    for w in p["layers"]:
        x = jnp.tanh(x @ w)
    return jnp.mean((x - p["out"]) ** 2)


def test_each_part_moves_by_its_own_rule():
    p = params()
    zo = zojax.mezo(0.1, eps=1e-2, key=3)
    tx = zojax.hybrid(zo, optax.sgd(0.5, momentum=0.9), split=2)
    state = tx.init(p)
    # Neither stores anything of the other's part.
    assert len(jax.tree.leaves(state.fo)) == 2
    below = zojax.select(zo, ["embed", "layers/[01]"])
    expected, below_state = below.update(None, below.init(p), p, value_fn=loss)
    updates, state = jax.jit(lambda s: tx.update(None, s, p, value_fn=loss))(state)
    gradient = jax.grad(loss)(p)
    for found, wanted in [
        (updates["embed"], expected["embed"]),
        (updates["layers"][0], expected["layers"][0]),
        (updates["layers"][1], expected["layers"][1]),
        (updates["layers"][2], -0.5 * gradient["layers"][2]),
        (updates["out"], -0.5 * gradient["out"]),
    ]:
        np.testing.assert_allclose(found, wanted, rtol=1e-4, atol=1e-7)
    assert state.zo[0].value == below_state[0].value


@pytest.mark.parametrize(
    "split",
    slow_except(
        {"1": 1, "3": 3, "embed": "embed", "function": lambda path, leaf: "layers" in path},
        *("3", "function"),
    ),
)
@pytest.mark.usefixtures("standard_promotion")  # optax divides integers by floats
def test_lowers_the_loss(split):
    tx = zojax.hybrid(zojax.zo_adam(1e-2, eps=1e-2, key=3), optax.adam(1e-2), split)
    p = params()
    state = tx.init(p)

    @jax.jit
    def step(p, state):
        updates, state = tx.update(None, state, p, value_fn=loss)
        return optax.apply_updates(p, updates), state

    for _ in range(50):
        p, state = step(p, state)
    assert loss(p) < 0.8 * loss(params())
    assert all(
        bool(jnp.any(a != b)) for a, b in zip(*map(jax.tree.leaves, (p, params())), strict=True)
    )


def test_first_order_rules_may_look_at_the_loss():
    tx = zojax.hybrid(
        zojax.mezo(1e-3, eps=1e-2, key=3),
        optax.chain(optax.sgd(1.0), optax.scale_by_backtracking_linesearch(10)),
        split=2,
    )
    p = params()
    updates, _ = tx.update(None, tx.init(p), p, value_fn=loss)
    assert loss(optax.apply_updates(p, updates)) < loss(p)


@pytest.fixture(scope="module")
def workload(tmp_path_factory):
    folder = tmp_path_factory.mktemp("opt")
    config = {
        "model_type": "opt",
        "hidden_size": 32,
        "word_embed_proj_dim": 32,
        "num_hidden_layers": LAYERS,
        "num_attention_heads": 2,
        "ffn_dim": 128,
        "vocab_size": 64,
        "max_position_embeddings": 128,
    }
    (folder / "config.json").write_text(json.dumps(config))
    return models.workload(folder, batch=8, length=128, scan_layers=False)


def temporaries(workload, step, state=()):
    """Bytes that a step needs besides its arguments and results."""
    jitted = jax.jit(step, donate_argnums=(0, 1), compiler_options=zojax.compiler_options())
    lowered = jitted.lower(workload.params, state, workload.batch)
    return planning.memory(lowered.compile()).temp


def backward(workload, kept):
    """SGD by back-propagation on the leaves that are kept."""

    def step(params, state, tokens):
        chosen = [kept(path) for path in zojax.coordinates.slash_paths(params)]
        moving = part(params, chosen)
        gradient = jax.grad(lambda m: workload.loss(merged(m, chosen, params), tokens))(moving)
        moved = jax.tree.map(lambda p, g: p - 1e-3 * g, moving, gradient)
        return merged(moved, chosen, params), state

    return temporaries(workload, step)


def of_hybrid(workload, split):
    tx = zojax.hybrid(zojax.mezo(1e-6, eps=1e-3, key=0), optax.sgd(1e-3), split)

    def step(params, state, tokens):
        updates, state = tx.update(None, state, params, value_fn=lambda p: workload.loss(p, tokens))
        return optax.apply_updates(params, updates), state

    return temporaries(workload, step, jax.eval_shape(tx.init, workload.params))


@pytest.mark.slow
@pytest.mark.usefixtures("standard_promotion")
def test_no_activation_of_the_shallow_part_is_kept(workload):
    def deep(path):
        return path.startswith("norm/") or any(f"layers_{i}/" in path for i in range(5, LAYERS))

    hybrid = of_hybrid(workload, 5)
    full = backward(workload, lambda path: True)
    above = backward(workload, deep)
    # What back-propagation through the deep part alone needs, and nothing of the five layers.
    assert hybrid < 1.05 * above
    assert hybrid < 0.6 * full


@pytest.mark.parametrize(
    ("split", "error", "message"),
    [
        (0, ValueError, "hybrid: split must be >= 1, got 0"),
        (4, ValueError, "hybrid: split must be <= 3, the number of layers, got 4"),
        ("*", ValueError, r"must leave some parameters for back-propagation, got '\*'"),
        ("none/*", ValueError, "hybrid: no parameter matches 'none/"),
        (None, TypeError, "hybrid: split must be a Python int, got None"),
        (0.5, TypeError, "hybrid: split must be a Python int, got 0.5"),
    ],
)
def test_bad_splits_are_refused(split, error, message):
    with pytest.raises(error, match=message):
        zojax.hybrid(zojax.mezo(1e-3, eps=1e-3, key=0), optax.sgd(1e-3), split).init(params())


def encoder_and_decoder():
    keys = jax.random.split(jax.random.key(0), 6)
    first, second, third, fourth, embed, head = (0.5 * jax.random.normal(k, (4, 4)) for k in keys)
    return {
        "decoder": {"layers": [third, fourth]},
        "encoder": {"layers": [first, second]},
        "shared": embed,
        "out": head,
    }


def translation(p):
    x = p["shared"]
    for w in (*p["encoder"]["layers"], *p["decoder"]["layers"]):
        x = jnp.tanh(x @ w)
    return jnp.mean((x - p["out"]) ** 2)


def depth(path, leaf):
    del leaf
    parts = path.split("/")
    if parts[0] == "shared":
        return 0
    return 9 if parts[0] == "out" else 1 + 4 * (parts[0] == "decoder") + int(parts[-1])


def test_an_encoder_and_a_decoder_must_be_told_apart():
    """Guessed, the whole encoder was a head, and back-propagation went through all of it."""
    p = encoder_and_decoder()
    zo, fo = zojax.mezo(1e-2, eps=1e-2, key=0), optax.sgd(0.5, momentum=0.9)
    message = (
        r"hybrid: the layers must be one stack .* got \['decoder/layers/\* \(2\)', "
        r"'encoder/layers/\* \(2\)'\]. Give blocks, .* or name what zo tunes as split"
    )
    with pytest.raises(ValueError, match=message):
        zojax.hybrid(zo, fo, 1).init(p)
    tx = zojax.hybrid(zo, fo, 4, blocks=depth)
    state = tx.init(p)
    # Back-propagation has the decoder's last layer and what comes after it.
    [trace] = (x for x in jax.tree.leaves(state.fo, is_leaf=lambda x: isinstance(x, dict)))
    held = [jax.tree_util.keystr(path) for path, _ in jax.tree_util.tree_leaves_with_path(trace)]
    assert held == ["['decoder']['layers'][1]", "['out']"]
    updates, _ = tx.update(None, state, p, value_fn=translation)
    gradient = jax.grad(translation)(p)
    np.testing.assert_allclose(updates["out"], -0.5 * gradient["out"], rtol=1e-5, atol=1e-7)
    below, _ = zojax.mezo(1e-2, eps=1e-2, key=0).update(
        None, zojax.mezo(1e-2, eps=1e-2, key=0).init(p), p, value_fn=translation
    )
    assert updates["encoder"]["layers"][0].shape == below["encoder"]["layers"][0].shape == (4, 4)
    assert not np.allclose(updates["decoder"]["layers"][0], -0.5 * gradient["decoder"]["layers"][0])


def test_blocks_are_for_a_number_that_counts_them():
    zo, fo = zojax.mezo(1e-2, eps=1e-2, key=0), optax.sgd(0.5)
    with pytest.raises(ValueError, match="hybrid: blocks must not be given where split names"):
        zojax.hybrid(zo, fo, "encoder/*", blocks=depth)
    with pytest.raises(ValueError, match="hybrid: split must be <= 6, the number of blocks, got 7"):
        zojax.hybrid(zo, fo, 7, blocks=depth).init(encoder_and_decoder())
    with pytest.raises(ValueError, match=r"must leave some .* got 6, which takes all"):
        zojax.hybrid(zo, fo, 6, blocks=depth).init(encoder_and_decoder())


def test_value_fn_is_needed():
    tx = zojax.hybrid(zojax.mezo(1e-3, eps=1e-3, key=0), optax.sgd(1e-3), 1)
    with pytest.raises(TypeError, match="hybrid: update needs value_fn"):
        tx.update(None, tx.init(params()), params())
