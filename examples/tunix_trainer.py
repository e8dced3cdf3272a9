"""A trainer of google-tunix that takes zeroth-order optimizers: forward passes, no gradients.

:class:`ForwardTrainer` is tunix's ``PeftTrainer`` with another step. Data, hooks, metrics,
checkpoints and evaluation are tunix's own. Here it teaches a tiny random Qwen3 a row of numbers.

    pip install . google-tunix
    python examples/tunix_trainer.py
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import nnx
from tunix.models.qwen3 import model as qwen3
from tunix.sft import peft_trainer

import zojax


class ForwardTrainer(peft_trainer.PeftTrainer):
    """``PeftTrainer`` for an optimizer that takes losses instead of gradients.

    The parameters that move are those of ``PeftTrainer``: LoRA's if the model has them, otherwise
    all. The metric ``grad_norm`` is the norm of the update.

    Args:
      model, optimizer, training_config: As of ``PeftTrainer``; the optimizer is one of zojax.

    Raises:
      ValueError: ``gradient_accumulation_steps`` is set. ``optax.MultiSteps``, which does it, would
        drop batches; more queries or larger batches are what the optimizer has instead.
    """

    def __init__(self, model: nnx.Module, optimizer: Any, training_config: Any, **others: Any):
        if training_config.gradient_accumulation_steps is not None:
            raise ValueError(
                "ForwardTrainer: gradient_accumulation_steps must be None, got "
                f"{training_config.gradient_accumulation_steps}. Give the optimizer num_queries, "
                "or a larger batch."
            )
        super().__init__(model, optimizer, training_config, **others)

    def with_loss_fn(self, loss_fn: Callable[..., Any], has_aux: bool = False) -> ForwardTrainer:
        """Set the loss, as in ``PeftTrainer``, which returns nothing besides."""
        if has_aux:
            raise ValueError(
                "ForwardTrainer: has_aux must be False, since a step takes the loss at several "
                "points, got True. Return the loss alone."
            )
        return super().with_loss_fn(loss_fn)

    def _train_step(self, model: nnx.Module, optimizer: nnx.Optimizer, inputs: Any):
        inputs = self.gen_model_input_fn(inputs)
        moving = nnx.LoRAParam if self._lora_enabled else nnx.Param
        graph, _, others = nnx.split(model, moving, ...)

        def value_fn(params):
            return self.loss_fn(nnx.merge(graph, params, others), **inputs)

        updates = optimizer.update(model, None, value_fn=value_fn)
        loss = zojax.last_loss(optimizer.opt_state)[...]
        return loss, None, optax.global_norm(updates)


def tiny_qwen3() -> qwen3.Qwen3:
    """A random Qwen3 of two layers."""
    config = qwen3.ModelConfig(
        num_layers=2,
        vocab_size=64,
        embed_dim=32,
        hidden_dim=64,
        num_heads=4,
        head_dim=8,
        num_kv_heads=2,
        rope_theta=10_000,
        norm_eps=1e-6,
        use_tied_embedding=True,
    )
    return qwen3.Qwen3(config, rngs=nnx.Rngs(0))


def model_inputs(batch: peft_trainer.TrainingInput) -> dict[str, Any]:
    """The arguments of tunix's loss for rows without padding."""
    rows, length = batch.input_tokens.shape
    causal = jnp.tril(jnp.ones((length, length), bool))
    return {
        "input_tokens": batch.input_tokens,
        "input_mask": batch.input_mask,
        "positions": jnp.broadcast_to(jnp.arange(length), (rows, length)),
        "attention_mask": jnp.broadcast_to(causal, (rows, length, length)),
    }


def batches(steps: int) -> list[peft_trainer.TrainingInput]:
    """The same batch for each step: 0 to 7."""
    tokens = np.tile(np.arange(8, dtype=np.int32), (4, 1))
    batch = peft_trainer.TrainingInput(input_tokens=tokens, input_mask=np.ones_like(tokens, bool))
    return [batch] * steps


def main() -> None:
    steps = 300
    trainer = ForwardTrainer(
        tiny_qwen3(),
        zojax.zo_adam(3e-3, eps=1e-3, key=jax.random.key(0), num_queries=4),
        peft_trainer.TrainingConfig(eval_every_n_steps=steps, max_steps=steps),
    ).with_gen_model_input_fn(model_inputs)
    trainer.train(batches(steps))
    print(f"loss of the last step: {zojax.last_loss(trainer.optimizer.opt_state)[...]:.3f}")


if __name__ == "__main__":
    main()
