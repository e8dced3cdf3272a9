"""A step that tunes an adapter needs the memory of inference, and none for the base's noise."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import optax
import pytest

import zojax
from zojax.lm.adapters import LoRA

IDS = jnp.full((2, 16), 5, jnp.int32)


@pytest.mark.slow
def test_a_step_of_lora_holds_nothing_of_the_base_size(load):
    base = load(
        "opt", hidden_size=256, word_embed_proj_dim=256, ffn_dim=1024, num_attention_heads=4
    )
    model = LoRA().adapt(base, 0)

    def loss(params):
        return model.logits_at(params, IDS, IDS, IDS[:, :1], IDS[0, :1]).mean()

    def temporaries(where: str, evaluation: str) -> int:
        tx = zojax.select(zojax.mezo(1e-3, eps=1e-2, key=0, evaluation=evaluation), where)

        def step(params, state):
            updates, state = tx.update(None, state, params, value_fn=loss)
            return optax.apply_updates(params, updates), state

        jitted = jax.jit(step, donate_argnums=(0, 1), compiler_options=zojax.compiler_options())
        memory = jitted.lower(model.params, tx.init(model.params)).compile().memory_analysis()
        # All that is donated is written in place.
        assert memory.alias_size_in_bytes >= parameters + own
        return memory.temp_size_in_bytes

    parameters, own = (
        sum(leaf.nbytes for leaf in jax.tree.leaves(model.params[part]))
        for part in ("model", "adapter")
    )
    inference = jax.jit(loss, compiler_options=zojax.compiler_options())
    forward = inference.lower(model.params).compile().memory_analysis().temp_size_in_bytes
    # Beyond that, the adapter's noise and update.
    assert temporaries("adapter/*", "streamed") - forward < 3 * own < 0.05 * parameters
    # The bound can fail: copies of the base would be noticed.
    assert temporaries("model/*", "copy") - forward > 0.1 * parameters
