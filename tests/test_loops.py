"""The loop of the README, in the frameworks that it names, with each named optimizer."""

from functools import partial

import jax
import jax.numpy as jnp
import optax
import pytest
from flax import linen as nn
from flax import nnx
from sets import slow_except

import zojax

OPTIMIZERS = {
    "mezo": lambda rate: zojax.mezo(learning_rate=rate, eps=1e-3, key=jax.random.key(0)),
    "zo_adamu": lambda rate: zojax.zo_adamu(
        learning_rate=rate, eps=1e-3, key=jax.random.key(0), phases=(20, 80, 100)
    ),
}

every_optimizer = pytest.mark.parametrize("optimizer", OPTIMIZERS.values(), ids=OPTIMIZERS)


def train(tx, params, loss, batch, steps=100):
    """DESIGN's loop; the loss before, the parameters and the state after."""
    tx = optax.chain(tx, optax.add_decayed_weights(0.0))
    state = tx.init(params)
    before = float(loss(params, batch))

    @partial(jax.jit, donate_argnums=(0, 1), compiler_options=zojax.compiler_options())
    def step(params, state, batch):
        updates, state = tx.update(None, state, params, value_fn=lambda p: loss(p, batch))
        return optax.apply_updates(params, updates), state

    for _ in range(steps):
        params, state = step(params, state, batch)
    assert step._cache_size() == 1
    return before, params, state


def regression():
    inputs = jax.random.normal(jax.random.key(1), (32, 6))
    return inputs, inputs.sum(axis=1, keepdims=True)


class Mlp(nn.Module):
    @nn.compact
    def __call__(self, x):
        return nn.Dense(1)(nn.tanh(nn.LayerNorm()(nn.Dense(16)(x))))


@pytest.mark.quick
@every_optimizer
def test_linen(optimizer):
    module, batch = Mlp(), regression()

    def loss(params, batch):
        inputs, targets = batch
        return jnp.mean((module.apply(params, inputs) - targets) ** 2)

    params = module.init(jax.random.key(0), batch[0])
    before, params, state = train(optimizer(2e-3), params, loss, batch)
    assert loss(params, batch) < 0.8 * before
    assert optax.tree_utils.tree_get(state, "value") < before


class Network(nnx.Module):
    def __init__(self, rngs):
        self.hidden = nnx.Linear(6, 16, rngs=rngs)
        self.norm = nnx.LayerNorm(16, rngs=rngs)
        self.out = nnx.Linear(16, 1, rngs=rngs)

    def __call__(self, x):
        return self.out(nnx.tanh(self.norm(self.hidden(x))))


def nnx_loss(graph, params, batch):
    inputs, targets = batch
    return jnp.mean((nnx.merge(graph, params)(inputs) - targets) ** 2)


@every_optimizer
def test_nnx_split(optimizer):
    batch = regression()
    graph, params = nnx.split(Network(nnx.Rngs(0)), nnx.Param)
    loss = partial(nnx_loss, graph)
    before, params, _ = train(optimizer(2e-3), params, loss, batch)
    assert loss(params, batch) < 0.8 * before


@every_optimizer
def test_nnx_optimizer(optimizer):
    batch = regression()
    module = Network(nnx.Rngs(0))
    state = nnx.Optimizer(module, optimizer(2e-3), wrt=nnx.Param)

    @nnx.jit
    def step(module, state, batch):
        graph, _ = nnx.split(module, nnx.Param)
        state.update(module, None, value_fn=lambda params: nnx_loss(graph, params, batch))

    before = float(nnx_loss(*nnx.split(module, nnx.Param), batch))
    for _ in range(100):
        step(module, state, batch)
    assert nnx_loss(*nnx.split(module, nnx.Param), batch) < 0.8 * before
    assert int(optax.tree_utils.tree_get(state.opt_state, "count")[...]) == 100


@pytest.mark.flax_classes
@every_optimizer
@pytest.mark.parametrize("dtype", slow_except(["float32", "bfloat16"], "float32"))
@pytest.mark.usefixtures("standard_promotion")
def test_transformers_flax_opt(optimizer, dtype):
    from transformers import OPTConfig
    from transformers.models.opt.modeling_flax_opt import FlaxOPTForCausalLM

    config = OPTConfig(
        vocab_size=64,
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=4,
        ffn_dim=64,
        max_position_embeddings=32,
        word_embed_proj_dim=32,
    )
    model = FlaxOPTForCausalLM(config, seed=0, dtype=jnp.dtype(dtype))
    params = jax.tree.map(lambda x: x.astype(dtype), model.params)
    tokens = jnp.tile(jnp.arange(4, 12, dtype=jnp.int32), (4, 1))

    def loss(params, tokens):
        logits = model(tokens, params=params, deterministic=True).logits[:, :-1]
        losses = optax.softmax_cross_entropy_with_integer_labels(
            logits.astype(jnp.float32), tokens[:, 1:]
        )
        return losses.mean()

    before, tuned, _ = train(optimizer(1e-3), params, loss, tokens)
    assert loss(tuned, tokens) < before - 0.1
    assert all(leaf.dtype == dtype for leaf in jax.tree.leaves(tuned))
