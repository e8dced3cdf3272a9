"""An optimizer for some of the parameters."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import optax

from zojax import _check
from zojax._types import Array, Params, ValueFn
from zojax.coordinates._parts import merged, part
from zojax.coordinates._where import Where, selected


def select(tx: optax.GradientTransformation, where: Where) -> optax.GradientTransformationExtraArgs:
    r"""Restricts an optimizer to some of the parameters; the others do not change.

    .. math:: \theta_S \leftarrow \theta_S + u(\theta_S), \qquad \theta_{\bar S} \leftarrow
        \theta_{\bar S}

    The optimizer gets a tree without the other parameters: it neither draws noise for them nor
    keeps state. ``value_fn`` always gets the whole tree. (``optax.masked`` and
    ``optax.partition`` would hand it a tree with holes.)

    Args:
      tx: Any optimizer or link, of zojax or optax. Put ``select`` around the whole chain.
      where: Which parameters move, by their '/'-joined paths, such as
        ``"decoder/layers/0/fc1/kernel"``:

        - a glob for the whole path, in which ``*`` stands for any text, slashes too:
          ``"*/layers/1?/*"``;
        - a compiled regular expression, to be found in the path: ``re.compile("q_proj|v_proj")``;
        - a sequence of these, of which each must match something;
        - a function ``where(path, leaf) -> bool`` of a leaf's shape and dtype;
        - a tree of bools like the parameters; one bool may stand for a whole branch.

    Returns:
      An optimizer with the state of ``tx``. Of a parameter that stays, the update is a scalar -0,
      which ``optax.apply_updates`` adds and the compiler drops: a compiled step with donated
      parameters neither reads nor writes it. A mask of weight decay inside ``tx`` must be a
      function, for the tree that it sees is smaller. What stays may be of any dtype. Nothing can
      be added to a PRNG key, though, and ``optax.apply_updates`` refuses every tree with one; its
      update is None, to be left out as in the second example (``equinox.apply_updates`` does so).

    Cost: that of ``tx`` on the parameters that move; forward passes are of the whole model.

    Raises:
      ValueError: A pattern matches nothing, nothing is selected, a tree of bools has another
        structure, or ``update`` got no ``params``.
      TypeError: ``tx`` is no optimizer, or ``where`` gives something else than bools.

    Examples:
      >>> import jax, jax.numpy as jnp, optax, zojax
      >>> tx = zojax.select(zojax.zo_adam(1e-2, eps=1e-3, key=0), "head/*")
      >>> params = {"body": {"w": jnp.ones(3)}, "head": {"w": jnp.ones(3)}}
      >>> state = tx.init(params)
      >>> updates, state = tx.update(
      ...     None, state, params, value_fn=lambda p: (p["body"]["w"] * p["head"]["w"]).sum()
      ... )
      >>> params = optax.apply_updates(params, updates)
      >>> params["body"]["w"].tolist(), bool((params["head"]["w"] != 1).all())
      ([1.0, 1.0, 1.0], True)

      A model that carries a key with its weights:

      >>> tx = zojax.select(zojax.mezo(1e-2, eps=1e-3, key=0), "w")
      >>> params = {"dropout": jax.random.key(1), "w": jnp.ones(3)}
      >>> def value_fn(p):
      ...     return p["w"].sum(where=jax.random.bernoulli(p["dropout"], 0.5, 3))
      >>> @jax.jit
      ... def step(params, state):
      ...     updates, state = tx.update(None, state, params, value_fn=value_fn)
      ...     add = lambda p, u: p if u is None else p + u
      ...     return jax.tree.map(add, params, updates), state
      >>> params, state = step(params, tx.init(params))
      >>> params["dropout"] == jax.random.key(1), bool((params["w"] != 1).all())
      (Array(True, dtype=bool), True)
    """
    _check.transformation("select", "tx", tx)
    inner = optax.with_extra_args_support(tx)

    def init(params: Params) -> Any:
        return inner.init(part(params, selected("select", where, params)))

    def update(
        updates: Any,
        state: Any,
        params: Any = None,
        *,
        value_fn: ValueFn | None = None,
        obj_fn: ValueFn | None = None,
        **extra_args: Any,
    ) -> tuple[Any, Any]:
        _check.params_given("select", params)
        # The loss sees arrays at every step, also of what begins as a number and stays.
        params = jax.tree.map(_as_array, params)
        chosen = selected("select", where, params)
        loss = _check.loss_function("select", value_fn, obj_fn)
        if loss is not None:
            extra_args["value_fn"] = lambda moving: loss(merged(moving, chosen, params))
        updates = None if updates is None else part(updates, chosen)
        moving = part(params, chosen)
        updates, state = inner.update(updates, state, moving, **extra_args)
        # A selection within this one may have given None for a key.
        moved = iter(jax.tree.structure(moving).flatten_up_to(updates))
        leaves, tree = jax.tree.flatten(params)
        kept = [
            next(moved) if moves else no_update(leaf)
            for leaf, moves in zip(leaves, chosen, strict=True)
        ]
        return jax.tree.unflatten(tree, kept), state

    return optax.GradientTransformationExtraArgs(init, update)


def _as_array(leaf: Any) -> Any:
    return leaf if hasattr(leaf, "dtype") else jnp.asarray(leaf, jnp.result_type(leaf))


def no_update(parameter: Any) -> Array | None:
    """The update of a parameter that stays."""
    # x + -0 is x to the bit, also for x = -0, so compilers may drop it. A scalar, because outside
    # of jit zeros of the parameter's shape would be real memory.
    dtype = getattr(parameter, "dtype", None) or jnp.result_type(parameter)
    if jnp.issubdtype(dtype, jax.dtypes.prng_key):
        return None
    return jnp.full((), complex(-0.0, -0.0) if jnp.iscomplexobj(parameter) else -0.0, dtype)
