"""A step of a module of nnx."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
from flax import nnx

import zojax
from zojax.flax._takes_losses import check_takes_losses


def update_module(
    optimizer: nnx.Optimizer[Any], module: Any, loss_fn: Callable[[Any], Any], **extra_args: Any
) -> jax.Array:
    """One step of an ``nnx.Optimizer`` whose transformation takes losses; call it in ``nnx.jit``.

    ``loss_fn`` is evaluated on modules whose parameters are perturbed and whose other variables are
    those before the step. So dropout draws one mask for all points of a step (common random
    numbers), and no point sees another's running statistics: the slope is that of one function.
    What a forward pass changes besides, running statistics and the counters of random streams,
    changes once a step, by a forward pass without perturbation. What it sows is dropped.

    Args:
      optimizer: Its ``wrt`` decides which variables move.
      module: Changed in place, as is the optimizer.
      loss_fn: From a module like it to the loss, float32 []; as for ``nnx.value_and_grad``.
      **extra_args: Of the transformation's ``update``, such as ``meter``.

    Returns:
      float32 []: the mean of the step's losses, :func:`zojax.last_loss`.

    Cost: that of the transformation; one more forward pass where the module has running statistics.
      For dropout alone a compiled step only counts.

    Raises:
      TypeError: ``loss_fn`` does not return one real number.
      ValueError: ``optimizer`` is one that takes gradients.

    Examples:
      >>> import jax.numpy as jnp, zojax, zojax.flax
      >>> from flax import nnx
      >>> rngs = nnx.Rngs(0)
      >>> module = nnx.Sequential(nnx.Linear(4, 8, rngs=rngs), nnx.Dropout(0.1, rngs=rngs))
      >>> optimizer = nnx.Optimizer(module, zojax.mezo(1e-2, eps=1e-3, key=0), wrt=nnx.Param)
      >>> @nnx.jit
      ... def step(module, optimizer, inputs):
      ...     loss_fn = lambda module: jnp.mean(module(inputs) ** 2)
      ...     return zojax.flax.update_module(optimizer, module, loss_fn)
      >>> step(module, optimizer, jnp.ones((2, 4))).shape
      ()
    """
    check_takes_losses("update_module", "optimizer", optimizer.opt_state)
    graph, params, others = nnx.split(module, optimizer.wrt, ...)

    def module_at(params: Any) -> Any:
        # A copy: the variables of others must be as they are for the next point.
        return nnx.merge(graph, params, others, copy=True)

    after = None
    if jax.tree.leaves(others):
        seen = module_at(params)
        loss_fn(seen)
        # What was sown would grow with every step, and with it what is compiled.
        after = nnx.state(seen, nnx.Not(nnx.Any(optimizer.wrt, nnx.Intermediate)))
    optimizer.update(module, None, value_fn=lambda at: loss_fn(module_at(at)), **extra_args)
    if after is not None:
        nnx.update(module, after)
    return zojax.last_loss(nnx.as_pure(optimizer.opt_state))
