"""Programs of real models' sizes, compiled without their weights and without the GPU."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

import zojax
from zojax import planning

OPT_SIZES: dict[str, dict[str, int]] = {
    "tiny": {"num_hidden_layers": 1, "vocab_size": 512},
    "125m": {},
    "1.3b": {
        "hidden_size": 2048,
        "num_hidden_layers": 24,
        "num_attention_heads": 32,
        "ffn_dim": 8192,
        "word_embed_proj_dim": 2048,
    },
}


class Workload(NamedTuple):
    """A model's abstract parameters and tokens, and its loss on them."""

    params: Any  # ShapeDtypeStruct leaves
    tokens: jax.ShapeDtypeStruct  # int32 [batch, length]
    loss: Callable[[Any, jax.Array], jax.Array]

    @property
    def nbytes(self) -> int:
        return sum(leaf.size * leaf.dtype.itemsize for leaf in jax.tree.leaves(self.params))

    @property
    def largest_leaf(self) -> int:
        return max(leaf.size * leaf.dtype.itemsize for leaf in jax.tree.leaves(self.params))


def opt(size: str, dtype: Any, batch: int, length: int) -> Workload:
    """Transformers' OPT with the language model's loss over all tokens; run without strictness."""
    from transformers import OPTConfig
    from transformers.models.opt.modeling_flax_opt import FlaxOPTForCausalLM

    model = FlaxOPTForCausalLM(OPTConfig(**OPT_SIZES[size]), dtype=dtype, _do_init=False)
    shapes = jax.eval_shape(lambda: model.init_weights(jax.random.key(0), (1, 8)))
    params = jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(leaf.shape, dtype), shapes)

    def loss(params: Any, tokens: jax.Array) -> jax.Array:
        logits = model(tokens, params=params, deterministic=True).logits[:, :-1]
        losses = optax.softmax_cross_entropy_with_integer_labels(
            logits.astype(jnp.float32), tokens[:, 1:]
        )
        return losses.mean()

    return Workload(params, jax.ShapeDtypeStruct((batch, length), jnp.int32), loss)


def forward_memory(workload: Workload, target: str) -> planning.Memory:
    """Memory of one forward pass on ``target``: ``"cpu"`` or a device of zojax.planning."""
    return planning.memory(_compile(target, workload.loss, (), workload.params, workload.tokens))


def step_memory(
    workload: Workload, target: str, optimizer: optax.GradientTransformationExtraArgs
) -> planning.Memory:
    """Memory of one training step, written as a user would, with donated parameters and state."""

    def step(params: Any, state: Any, tokens: jax.Array) -> tuple[Any, Any]:
        def value_fn(perturbed: Any) -> jax.Array:
            return workload.loss(perturbed, tokens)

        updates, state = optimizer.update(None, state, params, value_fn=value_fn)
        return optax.apply_updates(params, updates), state

    state = jax.eval_shape(optimizer.init, workload.params)
    return planning.memory(_compile(target, step, (0, 1), workload.params, state, workload.tokens))


def _compile(
    target: str, function: Callable[..., Any], donated: tuple[int, ...], *args: Any
) -> jax.stages.Compiled:
    if target == "cpu":
        options = zojax.compiler_options()
        jitted = jax.jit(function, donate_argnums=donated, compiler_options=options)
        return jitted.lower(*args).compile()
    return planning.compile_for(target, jax.jit(function, donate_argnums=donated), *args)
